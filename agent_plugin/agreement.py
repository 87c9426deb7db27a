"""Release keys say which bytes are good, operators who gets them: a guest installs only what both say.

Host and guest ask this one function: what ``zlh-hooks agent explain`` says is what the guest does.
"""

from dataclasses import dataclass

from agent_plugin.desired import ANY_MACHINE, Build, Decision, Guest, Nothing, Pin, Ruling, is_led_back, meets
from agent_plugin.refusal import Refusal, Refused
from agent_plugin.wanted import Wanted

RELEASE = "x-zlh-release"
"""The field of a target that holds what release keys signed of it."""


@dataclass(frozen=True)
class Released:
    """What release keys signed of a file: SHA-256 in hex, size in bytes, and two specifiers: who may come to it, and
    whereto one may go back from it.
    """

    sha256: str
    size: int
    come_from: str = ""
    back_to: str = ""


def path_of(decision: Decision, guest: Guest) -> str:
    """The file that the decision means."""
    pin, _ = _parts_of(decision)
    machine = guest.machine if guest.machine in pin.builds else ANY_MACHINE
    return f"releases/zlh-agent-{pin.version}-{machine}.tar.gz"


def agree(decision: Decision, guest: Guest, released: Released | None) -> Wanted | Nothing:
    """What to install, or that this guest may not come to it; ``Refused`` unless release keys signed the same bytes."""
    pin, build = _parts_of(decision)
    path = path_of(decision, guest)
    if released is None:
        raise Refused(Refusal.NOT_RELEASED, path, "no release key signed it")
    if (released.sha256, released.size) != (build.sha256, build.size):
        raise Refused(Refusal.DISAGREEMENT, path, "operators and release keys signed different bytes")
    if not all(meets(version, released.back_to) for version in pin.back_to):
        raise Refused(Refusal.DISAGREEMENT, path, f"from it the way back is to {released.back_to} only")
    led_back = guest.installed is not None and is_led_back(pin, guest.installed)
    fault = None if led_back else _find_fault(guest.installed, released)
    if fault:
        return Nothing(Ruling.NOT_FROM_HERE, f"{decision.rule}; {fault}", pin=pin.number)
    ways = (*pin.back_to, guest.installed) if led_back and pin.back_to and guest.installed else pin.back_to
    return Wanted(pin.version, build.sha256, build.size, ways, pin.number, decision.rule)


def _find_fault(installed: str | None, released: Released) -> str | None:
    """Why release keys do not let whoever has that version come to this one."""
    if installed is None:
        return None
    if not meets(installed, released.come_from):
        return f"release keys let only {released.come_from} come to it, and {installed} is installed"
    if not meets(installed, released.back_to):
        return f"release keys let nobody go back from it but to {released.back_to}, and {installed} is installed"
    return None


def _parts_of(decision: Decision) -> tuple[Pin, Build]:
    if decision.pin is None or decision.build is None:
        raise ValueError(f"nothing is to be installed: {decision.rule}")
    return decision.pin, decision.build
