"""What a guest hook can meet on a node, and what Proxmox does to call it: plain values that travel as JSON."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum

SPOOL = "/var/spool/zlh-hooks"
CONFIGS = "/etc/pve"
FORMER = "/etc/vzdump.conf.zlh-former"
NODE = "pve-2"
HOST = f"{NODE}.example.com"
HANG_SECONDS = 30.0
"""Far more than any call takes on the busiest machine: what is not back by then hangs."""


class Spool(StrEnum):
    """How the place of the notes is."""

    GOOD = "good"
    FULL = "full"
    NO_INODES = "no-inodes"
    READ_ONLY = "read-only"
    MISSING = "missing"
    NOT_ROOTS = "not-roots"
    GROUP_MAY_WRITE = "group-may-write"
    ALL_MAY_WRITE = "all-may-write"
    SYMLINK = "symlink"
    FILE = "file"
    HANGS = "hangs"


class Configs(StrEnum):
    """How the cluster's file system is. Two of them hang: who asks cannot even be killed, or can."""

    GOOD = "good"
    NO_QUORUM = "no-quorum"
    GONE = "gone"
    BROKEN = "broken"
    SWALLOWS = "swallows"
    DEAF = "deaf"

    @property
    def are_readable(self) -> bool:
        return self in (Configs.GOOD, Configs.NO_QUORUM)

    @property
    def hang(self) -> bool:
        return self in (Configs.SWALLOWS, Configs.DEAF)


@dataclass(frozen=True, slots=True)
class Environment:
    """One node. ``former``: the text of a script that backups had before ours, empty if they had none."""

    spool: Spool = Spool.GOOD
    configs: Configs = Configs.GOOD
    former: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One phase of one guest. ``config``: as many bytes as latin-1 letters; None if the guest has none here.

    ``place``: the folder below ``/etc/pve`` that holds the config. ``mended``: seconds from now to the config's
    modification time. ``clock``: what libfaketime makes of the clock, empty for the real one. ``closed``: streams that it
    gets closed. ``unheard``: standard error is a pipe that nobody reads any more.
    """

    words: tuple[str, ...]
    config: str | None = None
    place: str = "lxc"
    mended: int = 0
    clock: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    closed: tuple[int, ...] = ()
    unheard: bool = False

    @property
    def guest(self) -> str:
        """The word that is a number, wherever the hook takes it; empty without one."""
        return next((word for word in self.words if word.isdecimal()), "")


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended. ``exit_code``: None if it hung; ``seconds``: from spawn to exit.

    ``let_go``: no process that it left behind holds a descriptor that it inherited. ``late``: seconds that each call took
    before this one, which a busy machine made miss the hook's deadlines, so that it was repeated.
    """

    exit_code: int | None
    out: str
    err: str
    seconds: float
    let_go: bool
    late: tuple[float, ...] = ()

    @property
    def attempts(self) -> int:
        """With the repeated ones."""
        return 1 + len(self.late)


@dataclass(frozen=True, slots=True)
class Performance:
    """Answers in the order of their calls; ``notes``: what the spool holds at the end, by name.

    ``elsewhere``: names in what a symlink in the spool's place leads to;
    ``left``: how many processes of the hook are still there, once those that can end have had the time.
    """

    answers: tuple[Answer, ...]
    notes: dict[str, str]
    elsewhere: tuple[str, ...]
    left: int


def pack(environment: Environment, calls: tuple[Call, ...], script: str, at_once: int) -> dict[str, object]:
    """For :func:`unpack`, as JSON."""
    return {
        "environment": asdict(environment),
        "calls": [asdict(call) for call in calls],
        "script": script,
        "at_once": at_once,
    }
