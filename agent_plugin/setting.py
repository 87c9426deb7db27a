"""The plugin's optional settings file, ``/etc/zlh-agent-plugin.conf``; the defaults suit the ZLH agent.

::

    [agent]
    port = 18888
    handover = socket        # or restart: for agents that cannot take a passed socket
    health = /health         # answers JSON with "version"
    operations = /status     # harmless questions, by spaces; those that were answered before must be answered after
    reach = 10.0.0.5:4000    # servers, by spaces; those that were reached before must be reached after
    helpers = curl           # processes that may be in the agent's control group, by spaces

    [source]
    url = https://updates.example.net/agents     # left out: nothing is asked, releases come from files
    line = game-base         # the line of templates that this guest is of
    vmid = hostname          # its number in Proxmox, or: the number at the end of its host's name
    ca_file = /etc/ssl/zlh-ca.pem                # left out: the distribution's certificates

    [trial]
    bake_seconds = 30
    deadline_seconds = 120
    reserve_mb = 64

    [patch]
    workload = mysql.service # by spaces, with * for any: not restarted unasked, as no unit of /etc is
    lock_seconds = 120       # so long another run of apt or dpkg is waited for
    probe = /usr/local/bin/probe-game --quick    # must end with 0 before and after a patch; no shell sees it
"""

import configparser
import shlex
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from agent_plugin.fault import BadInput

TIMER_SECONDS = 180
"""``OnActiveSec=`` of zlh-agent-revert.timer: the trial must be over before."""
FROM_HOSTNAME = "hostname"
LEAST_VMID = 100
"""Proxmox gives guests no smaller number."""
HANDOVERS = ("socket", "restart")


@dataclass(frozen=True)
class Settings:
    """Checked when made; see the module."""

    port: int = 18888
    handover: str = "socket"
    health: str = "/health"
    operations: tuple[str, ...] = ("/status",)
    reach: tuple[str, ...] = ()
    helpers: tuple[str, ...] = ()
    url: str = ""
    line: str = ""
    vmid: str = FROM_HOSTNAME
    ca_file: str = ""
    bake_seconds: int = 30
    deadline_seconds: int = 120
    reserve_mb: int = 64
    workload: tuple[str, ...] = ()
    lock_seconds: int = 120
    probe: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """``BadInput`` says which value is wrong and what would be right."""
        if self.handover not in HANDOVERS:
            raise BadInput(f"handover {self.handover!r}: socket or restart is wanted")
        if not 0 < self.port < 65536:
            raise BadInput(f"port {self.port}: 1 to 65535 is wanted")
        if not 0 <= self.bake_seconds < self.deadline_seconds <= TIMER_SECONDS - 30:
            raise BadInput(
                f"bake_seconds {self.bake_seconds} must be less than deadline_seconds {self.deadline_seconds},"
                f" and that at most {TIMER_SECONDS - 30}: after {TIMER_SECONDS} s the deadline timer goes back"
            )
        if self.reserve_mb < 0:
            raise BadInput(f"reserve_mb {self.reserve_mb}: 0 or more is wanted")
        self._check_source()
        for path in (self.health, *self.operations):
            if not path.startswith("/") or not path.isprintable() or " " in path:
                raise BadInput(f"path {path!r}: it must begin with / and have no spaces")
        for address in self.reach:
            parse_address(address)

    def _check_source(self) -> None:
        if self.url and not self.line:
            raise BadInput("line is missing: the line of templates that this guest is of is wanted")
        if self.vmid != FROM_HOSTNAME and not (_is_number(self.vmid) and int(self.vmid) >= LEAST_VMID):
            raise BadInput(f"vmid {self.vmid!r}: a number from {LEAST_VMID} on, or {FROM_HOSTNAME}, is wanted")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def parse_address(text: str) -> "tuple[str, int]":
    """``host:port``; an IPv6 address may stand in brackets."""
    host, _, port = text.rpartition(":")
    if not host or not _is_number(port) or not 0 < int(port) < 65536:
        raise BadInput(f"address {text!r}: host:port is wanted")
    return host.strip("[]"), int(port)


def parse_probe(text: str, what: str = "--probe") -> "tuple[str, ...]":
    """The words of a command, which no shell sees; ``BadInput``."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise BadInput(f"{what} {text!r}: {error}") from error
    if words and not PurePosixPath(words[0]).is_absolute():
        raise BadInput(f"{what} {text!r}: the program's whole path is wanted, such as /usr/bin/{words[0]}")
    return words


_SECTIONS = {
    "agent": ("port", "handover", "health", "operations", "reach", "helpers"),
    "source": ("url", "line", "vmid", "ca_file"),
    "trial": ("bake_seconds", "deadline_seconds", "reserve_mb"),
    "patch": ("workload", "lock_seconds", "probe"),
}
_NUMBERS = ("port", "bake_seconds", "deadline_seconds", "reserve_mb", "lock_seconds")
_LISTS = ("operations", "reach", "helpers", "workload")


def read_settings(path: Path) -> Settings:
    """Defaults if there is no file; ``BadInput`` names file and key."""
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=("#",), default_section="")
    try:
        parser.read_string(path.read_text())
        return Settings(**_collect(parser))  # type: ignore[arg-type]
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError, configparser.Error, BadInput) as error:
        raise BadInput(f"{path}: {error}") from error


def _collect(parser: configparser.ConfigParser) -> "dict[str, object]":
    found: dict[str, object] = {}
    for section in parser.sections():
        for key, text in parser.items(section):
            if key not in _SECTIONS.get(section, ()):
                raise BadInput(f"[{section}] {key} is unknown; there are {_SECTIONS}")
            found[key] = _parse(key, text)
    return found


def _parse(key: str, text: str) -> object:
    if key == "probe":
        return parse_probe(text, key)
    if key in _LISTS:
        return tuple(text.split())
    if key not in _NUMBERS:
        return text
    if not _is_number(text):
        raise BadInput(f"{key} {text!r}: a whole number is wanted")
    return int(text)
