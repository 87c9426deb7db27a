"""Moving a line's channels: promote, revoke, restore, mark a candidate.

The tags on the templates are the truth, so each story is a few idempotent tag writes in an order that is right after
each of them; whoever dies in between is completed by running the story again. A new version is pointed to before the
old one is let go, and a version is revoked before its successor is looked for.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from zlh_hooks.application.ports import Ledger
from zlh_hooks.application.retag import CANARY_TAG, STABLE_TAG, ChannelPorts, Retag, recorded
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.errors import NotAllowed, RoadError, SettingsError, TargetError, ZlhError
from zlh_hooks.domain.guest import GuestRef, GuestSummary
from zlh_hooks.domain.line import (
    STABLE,
    Catalogue,
    Promotion,
    TemplateVersion,
    list_claimants,
    parse_catalogue,
    parse_version,
)
from zlh_hooks.domain.tag import REVOKED

__all__ = [
    "ChannelPorts",
    "LineChannels",
    "Moved",
    "Revocation",
    "mark_candidate",
    "promote",
    "restore",
    "revoke",
    "unmark_candidate",
]

PROMOTED, REVOKED_EVENT = "promoted", "revoked"


@dataclass(frozen=True, slots=True)
class Moved:
    """Where ``stable`` points now. ``untold`` says which hooks could not be told, and why."""

    promotion: Promotion
    untold: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Revocation:
    """A version is revoked. ``stable`` is the line's stable version now; ``moved`` is set if this story moved it."""

    revoked: TemplateVersion
    stable: str | None
    moved: Moved | None


def promote(ports: ChannelPorts, line: str, version: str, rollout: str = "") -> Moved:
    """Point ``stable`` to the version on every node, then take it from all others.

    ``NotAllowed`` for a revoked version, ``TargetError`` for an unknown one and for a template that stays locked.
    """
    guests = ports.list_guests()
    target = parse_catalogue(guests).version_of(line, version)
    _refuse_revoked(target)
    with recorded(ports, "promote", _said(target), rollout):
        return _point_stable(ports, guests, line, target)


def revoke(ports: ChannelPorts, line: str, version: str, reason: str, rollout: str = "") -> Revocation:
    """Stop new guests from getting the version, and move ``stable`` back if it pointed there.

    Templates whose tags contradict are revoked as well. ``stable`` goes to a version that already carries it, else to
    the one that the ledger saw promoted last, else to the next lower one; revoked ones never. With none left the line
    has no stable version and nothing can be picked.
    """
    guests = ports.list_guests()
    catalogue = parse_catalogue(guests)
    bad = _find_claimed(catalogue, guests, line, version)
    sound = _list_sound(catalogue, line, bad.version)
    with recorded(ports, "revoke", {**_said(bad), "reason": reason}, rollout):
        marked = Retag(line, bad.version, add=(REVOKED,), drop=(CANARY_TAG,)).write_all(ports, bad.refs)
        if not marked.done:
            marked.raise_first()
        _say_revoked(ports.ledger, {**_said(bad), "reason": reason})
        history = _list_promoted(ports.ledger, line)
        tagged = STABLE in bad.channels or any(STABLE_TAG in tags for tags in marked.done.values())
        moved = None
        if tagged or history[:1] == [bad.version]:
            moved = _point_stable(ports, guests, line, _choose_successor(bad, sound, history))
        marked.raise_first()
    stable = moved.promotion.version if moved else next((v.version for v in reversed(sound) if v.is_stable), None)
    return Revocation(bad, stable, moved)


def restore(ports: ChannelPorts, line: str, version: str | None, instead_of: str, rollout: str = "") -> Moved | None:
    """Give ``stable`` back to the version that had it (None: to nobody), if ``instead_of`` has it now.

    Is the former version revoked or gone by now, its own predecessor gets it. Returns None if there is nothing to do.
    """
    guests = ports.list_guests()
    catalogue = parse_catalogue(guests)
    sound = _list_sound(catalogue, line, instead_of)
    history = _list_promoted(ports.ledger, line)
    target = next((known for known in sound if known.version == version), None)
    refs = list_claimants(guests, line, instead_of)
    tagged = any(STABLE_TAG in ports.inventory.read_config(ref).tags for ref in refs)
    half_told = history[:1] == [instead_of] and target is not None and target.is_stable
    if not tagged and not half_told:
        return None
    if target is None and version is not None:
        target = _choose_successor(TemplateVersion(line, instead_of, refs), sound, history)
    with recorded(ports, "restore", {"line": line, "version": version, "instead_of": instead_of}, rollout):
        return _point_stable(ports, guests, line, target)


def mark_candidate(ports: ChannelPorts, line: str, version: str, rollout: str = "") -> None:
    """Let a share of new guests get the version. A version that is stable already needs no mark."""
    guests = ports.list_guests()
    target = parse_catalogue(guests).version_of(line, version)
    _refuse_revoked(target)
    if target.is_stable:
        return
    with recorded(ports, "mark_candidate", _said(target), rollout):
        Retag(line, target.version, add=(CANARY_TAG,)).write_all(ports, target.refs).raise_first()
        Retag(line, drop=(CANARY_TAG,)).write_all(ports, _others(guests, line, target.refs)).raise_first()


def unmark_candidate(ports: ChannelPorts, line: str, version: str, rollout: str = "") -> None:
    """Send no more new guests to the version. Nothing happens if its templates are gone."""
    refs = list_claimants(ports.list_guests(), line, version)
    with recorded(ports, "unmark_candidate", {"line": line, "version": version}, rollout):
        Retag(line, version, drop=(CANARY_TAG,)).write_all(ports, refs).raise_first()


@dataclass(frozen=True, slots=True)
class LineChannels:
    """The stories as a rollout asks for them. Forward, what stands in the way is a ``TargetError``: people decide.

    On the way back nobody is asked: there it is a ``RoadError``, to be tried again.
    """

    ports: ChannelPorts
    rollout: str = ""

    def offer(self, line: str, version: str) -> None:
        """Mark the version as candidate."""
        with _raising(TargetError, NotAllowed):
            mark_candidate(self.ports, line, version, self.rollout)

    def promote(self, line: str, version: str) -> Moved:
        """Move ``stable`` to the version. A hook that fails holds nothing up."""
        with _raising(TargetError, NotAllowed):
            return promote(self.ports, line, version, self.rollout)

    def withdraw(self, line: str, version: str) -> None:
        """Take the candidate mark away."""
        with _raising(RoadError, NotAllowed, TargetError):
            unmark_candidate(self.ports, line, version, self.rollout)

    def revoke(self, line: str, version: str, reason: str) -> None:
        """Revoke the version, unless its templates are gone already."""
        with _raising(RoadError, NotAllowed, TargetError):
            if list_claimants(self.ports.list_guests(), line, version):
                revoke(self.ports, line, version, reason, self.rollout)

    def restore(self, line: str, version: str | None, instead_of: str) -> None:
        """Give ``stable`` back."""
        with _raising(RoadError, NotAllowed, TargetError):
            restore(self.ports, line, version, instead_of, self.rollout)


@contextmanager
def _raising(wanted: type[ZlhError], *found: type[ZlhError]) -> Iterator[None]:
    try:
        yield
    except found as error:
        raise wanted(str(error)) from error


def _point_stable(
    ports: ChannelPorts, guests: Iterable[GuestSummary], line: str, target: TemplateVersion | None
) -> Moved:
    """Set ``stable`` on all templates of the version, then take it from all others of the line; tell who must know.

    The event comes last: until it stands, whoever repeats the story tells the hooks again.
    """
    version, refs = (target.version, target.refs) if target else (None, ())
    Retag(line, version, add=(STABLE_TAG,), drop=(CANARY_TAG,)).write_all(ports, refs).raise_first()
    Retag(line, drop=(STABLE_TAG,)).write_all(ports, _others(guests, line, refs)).raise_first()
    promotion = Promotion(line, version, {ref.node: ref.vmid for ref in refs}, ports.clock.now())
    untold = _tell_all(ports, promotion)
    ports.ledger.append(Draft(Kind.EVENT, PROMOTED, data={"line": line, "version": version}))
    return Moved(promotion, untold)


def _tell_all(ports: ChannelPorts, promotion: Promotion) -> tuple[str, ...]:
    """A hook that fails does not take a promotion back: it is reported, and told again when it is repeated."""
    untold = []
    for hook in ports.hooks:
        told = {"hook": hook.name, "line": promotion.line, "version": promotion.version}
        try:
            with recorded(ports, "send_promotion", told):
                hook.send_promotion(promotion)
        except (RoadError, SettingsError) as error:
            untold.append(f"{hook.name}: {error}")
    return tuple(untold)


def _say_revoked(ledger: Ledger, data: dict[str, Any]) -> None:
    """Once for each reason: a revocation that a locked template holds up is told again and again."""
    if not any(e.kind is Kind.EVENT and e.name == REVOKED_EVENT and e.data == data for e in ledger.read("")):
        ledger.append(Draft(Kind.EVENT, REVOKED_EVENT, data=data))


def _list_promoted(ledger: Ledger, line: str) -> list[str | None]:
    """Where the line's ``stable`` pointed over time, latest first; None for nowhere."""
    found = (entry for entry in reversed(ledger.read("")) if entry.kind is Kind.EVENT and entry.name == PROMOTED)
    return [entry.data["version"] for entry in found if entry.data["line"] == line]


def _choose_successor(
    bad: TemplateVersion, sound: Sequence[TemplateVersion], history: Iterable[str | None]
) -> TemplateVersion | None:
    """Where ``stable`` goes instead; ``sound`` are the line's other versions, oldest first."""
    stable = [version for version in sound if version.is_stable]
    by_name = {version.version: version for version in sound}
    before = [by_name[name] for name in history if name in by_name]
    lower = [version for version in sound if version.order < bad.order]
    return next(iter((*stable[-1:], *before[:1], *lower[-1:])), None)


def _list_sound(catalogue: Catalogue, line: str, but: str) -> tuple[TemplateVersion, ...]:
    """The line's versions that are not revoked, without that one, oldest first."""
    return tuple(v for v in catalogue.versions if v.line == line and not v.revoked and v.version != but)


def _find_claimed(catalogue: Catalogue, guests: Iterable[GuestSummary], line: str, version: str) -> TemplateVersion:
    """The version with every template that claims it, also where tags contradict and the catalogue leaves it out."""
    wanted = parse_version(version)
    known = next((found for found in catalogue.versions if found.line == line and found.order == wanted), None)
    name = known.version if known else version
    refs = list_claimants(guests, line, name)
    if not refs:
        return catalogue.version_of(line, version)  # raises, and names what there is
    return TemplateVersion(line, name, refs, known.channels if known else frozenset(), revoked=True)


def _refuse_revoked(target: TemplateVersion) -> None:
    if target.revoked:
        raise NotAllowed(f"{target.line} {target.version} is revoked; bring a new version instead")


def _others(guests: Iterable[GuestSummary], line: str, refs: Sequence[GuestRef]) -> tuple[GuestRef, ...]:
    """The line's other templates. All are read again: which of them has the channel is seconds old in the listing."""
    return tuple(ref for ref in list_claimants(guests, line) if ref not in refs)


def _said(target: TemplateVersion) -> dict[str, Any]:
    return {"line": target.line, "version": target.version, "templates": {r.node: r.vmid for r in target.refs}}
