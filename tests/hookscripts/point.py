"""The points at which the guest hook is called: whatever a call is made of, combined. What a node is like, is in ``world``."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from tests.hookscripts.config import CONFIGS
from tests.hookscripts.node import PVE
from tests.hookscripts.world import Call, Configs
from zlh_hooks.domain.guest_note import GuestKind

PHASES = ("pre-start", "post-start", "pre-stop", "post-stop", "pre-flight")
UNKNOWN_PHASE = PHASES[-1]
PLACES = {"lxc": GuestKind.LXC, "qemu-server": GuestKind.QEMU}
RIGHT, BEHIND, AHEAD = "", "2001-02-03 04:05:06", "2099-02-03 04:05:06"
WIPED: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Case:
    """One call, by what it is made of. ``config``: a name in ``CONFIGS``."""

    phase: str
    place: str
    config: str
    clock: str
    environment: tuple[tuple[str, str], ...]

    def as_call(self, guest: int) -> Call:
        words, config = (str(guest), self.phase), CONFIGS[self.config].text
        return Call(words, config, self.place, clock=self.clock, environment=dict(self.environment))


def generate_points(configs: Configs) -> tuple[Case, ...]:
    """Every phase, config, clock and environment, on a node whose ``/etc/pve`` is so."""
    return generate(PHASES, CONFIGS, (RIGHT, BEHIND, AHEAD), configs.are_readable)


def generate(phases: Iterable[str], configs: Iterable[str], clocks: Iterable[str], readable: bool) -> tuple[Case, ...]:
    """All of them; where no config can be read, it makes no difference which."""
    environments = [tuple(PVE.items()), tuple(WIPED.items())]
    places, names = (PLACES, configs) if readable else (["lxc"], ["down"])
    return tuple(Case(*one) for one in product(phases, places, names, clocks, environments))
