"""Release keys say which bytes are good, operators who gets them: a guest installs only what both say."""

from tuf.api.metadata import TargetFile

from agent_plugin.desired import ANY_MACHINE, Build, Decision, Guest, Pin, meets
from agent_plugin.refusal import Refusal, Refused
from agent_plugin.wanted import Wanted

RELEASE = "x-zlh-release"


def path_of(decision: Decision, guest: Guest) -> str:
    """The file that the decision means."""
    pin, _ = _parts_of(decision)
    machine = guest.machine if guest.machine in pin.builds else ANY_MACHINE
    return f"releases/zlh-agent-{pin.version}-{machine}.tar.gz"


def agree(decision: Decision, guest: Guest, file: TargetFile | None) -> Wanted:
    """What to install; ``Refused`` unless the release keys signed the same bytes and let the guest come."""
    pin, build = _parts_of(decision)
    path = path_of(decision, guest)
    wanted = Wanted(pin.version, build.sha256, build.size, pin.back_to, pin.number, decision.rule)
    if file is None:
        raise Refused(Refusal.NOT_RELEASED, path, "no release key signed it")
    if file.hashes.get("sha256") != wanted.sha256 or file.length != wanted.size:
        raise Refused(Refusal.DISAGREEMENT, path, "operators and release keys signed different bytes")
    said = (file.custom or {}).get(RELEASE) or {}
    come_from, back_to = str(said.get("come_from", "")), str(said.get("back_to", ""))
    if guest.installed is not None and not pin.downgrade and not meets(guest.installed, come_from):
        raise Refused(Refusal.DISAGREEMENT, path, f"it follows {come_from} only, and not {guest.installed}")
    if not all(meets(version, back_to) for version in wanted.back_to):
        raise Refused(Refusal.DISAGREEMENT, path, f"from it the way back is to {back_to or 'any'} only")
    return wanted


def _parts_of(decision: Decision) -> tuple[Pin, Build]:
    if decision.pin is None or decision.build is None:
        raise ValueError(f"nothing is to be installed: {decision.rule}")
    return decision.pin, decision.build
