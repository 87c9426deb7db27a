"""What a patch costs whoever plays: decided from evidence of what still runs the old files. Pure."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

from agent_plugin.words import make_printable

UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+\.service")
_LINE = re.compile(r"NEEDRESTART-(SVC|SESS|CONT|PID): *(.+)")
_OF_THE_DISTRIBUTION = ("/lib/systemd/system/", "/usr/lib/systemd/system/")
AGENT = "zlh-agent.service"
_NEVER_ALONE = (
    *("dbus*", "*logind.service", "user@*", "*getty@*", "systemd-nspawn@*"),
    *("network*", "systemd-networkd*", "NetworkManager*", "ifup@*", "wpa_supplicant*", "openvpn*", "wg-quick@*"),
    *("tinc*", "bird*", "frr*", "*swan*", "apt-daily*", "unattended-upgrades*"),
)
"""Others hang on them, so that a restart of one alone breaks more than it mends: with the guest only.

These and the next are what needrestart's own settings in Debian 13 never restart, and what else a guest may have.
"""
_CARRIERS = (
    "docker*",
    "containerd*",
    "podman*",
    "libvirt*",
    "lxc*",
    "rc-local.service",
    "supervisor*",
    "runit*",
    "cron-*",
)
"""The distribution's, and what runs in them is somebody's own: their restart is its end."""


class Impact(str, Enum):
    """From nothing to everything. The words are the host's."""

    LIVE = "live"
    RELOAD = "reload"
    RESTART = "restart"
    GUEST_RESTART = "guest-restart"


@dataclass(frozen=True)
class Findings:
    """Who still runs files that were replaced: units as needrestart names them, and all else in its words."""

    units: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()

    def without(self, before: "Findings") -> "Findings":
        """What came since."""
        return Findings(self.units - before.units, self.others - before.others)


@dataclass(frozen=True)
class Unit:
    """A running service. ``file``: where it is defined; ``invocation``: changes with each start."""

    name: str
    file: str = ""
    invocation: str = ""
    pid: int = 0


@dataclass(frozen=True)
class Verdict:
    """``impact`` of this patch; ``restart``: units to restart now; ``waits``: what nobody restarts unasked."""

    impact: Impact
    restart: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()

    @property
    def is_felt(self) -> bool:
        """Whether somebody who plays would feel all of it."""
        return self.impact in (Impact.RESTART, Impact.GUEST_RESTART)


def parse_findings(output: str) -> "Findings | None":
    """What ``needrestart -b -l`` printed; None if that is not its output."""
    if not output.startswith("NEEDRESTART-VER:"):
        return None
    lines = [match.groups() for line in output.splitlines() if (match := _LINE.fullmatch(line.strip()))]
    units = frozenset(name for kind, name in lines if kind == "SVC")
    return Findings(units, frozenset(make_printable(f"{kind}: {name}") for kind, name in lines if kind != "SVC"))


def is_workload(unit: Unit, patterns: Collection[str], agent_is_workload: bool = False) -> bool:
    """Whether it is somebody's own: named so, not defined by a package of the distribution, or made to run others'.

    The agent is not one, unless the game runs in its control group.
    """
    if _is_one_of(unit.name, (*patterns, *_CARRIERS)):
        return True
    if unit.name == AGENT:
        return agent_is_workload
    return not unit.file.startswith(_OF_THE_DISTRIBUTION)


def _is_one_of(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def decide_impact(before: Findings, after: Findings, workload: Collection[str], known: Collection[str]) -> Verdict:
    """``workload``: units that nobody restarts unasked; ``known``: all services that systemd says run.

    The impact counts what came with this patch; what waits and what is restarted is all that is outdated now.
    """
    new, ranks = after.without(before), {name: _rank(name, workload, known) for name in after.units}
    impacts = [ranks[name] for name in new.units] + [Impact.GUEST_RESTART for _ in new.others]
    order = list(Impact)
    impact = max(impacts, key=order.index, default=Impact.LIVE)
    restart = sorted(name for name, rank in ranks.items() if rank is Impact.RELOAD)
    waits = sorted(name for name, rank in ranks.items() if rank is not Impact.RELOAD)
    return Verdict(impact, tuple(restart), (*waits, *sorted(after.others)))


def _rank(name: str, workload: Collection[str], known: Collection[str]) -> Impact:
    if name in workload:
        return Impact.RESTART
    if name not in known or not UNIT.fullmatch(name) or _is_one_of(name, _NEVER_ALONE):
        return Impact.GUEST_RESTART  # systemd itself, SysV scripts, and what nobody knows
    return Impact.RELOAD


def list_restarted(before: "Mapping[str, Unit]", after: "Mapping[str, Unit]") -> "tuple[str, ...]":
    """Units that were started anew, or ended, between two looks."""
    return tuple(
        sorted(name for name, unit in before.items() if after.get(name, Unit(name)).invocation != unit.invocation)
    )
