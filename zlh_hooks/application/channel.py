"""Moving a line's channels: promote, revoke, mark a candidate.

The tags on the templates are the truth, so each story is a few idempotent tag writes in an order that is right after
each of them; whoever dies in between is completed by running the story again. A new version is pointed to before the
old one is let go, and a version is revoked before its successor is looked for.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from zlh_hooks.application.ports import Clock, GuestEditor, Inventory, Ledger, PromotionHook
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.errors import ConfigChanged, GuestLocked, NotAllowed, RoadError, TargetError, Unanswered, ZlhError
from zlh_hooks.domain.guest import GuestConfig, GuestRef, GuestSummary
from zlh_hooks.domain.line import (
    CANARY,
    STABLE,
    Catalogue,
    Promotion,
    TemplateVersion,
    list_claimants,
    parse_catalogue,
    parse_version,
)
from zlh_hooks.domain.tag import CHANNEL, LINE, REVOKED, VERSION, render_tags

STABLE_TAG = CHANNEL + STABLE
CANARY_TAG = CHANNEL + CANARY
PROMOTED = "promoted"
POLL = timedelta(seconds=1)
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ChannelPorts:
    """What these stories ask of the world. ``patience``: how long in all to wait for locks, e.g. a running clone's."""

    inventory: Inventory
    editor: GuestEditor
    ledger: Ledger
    clock: Clock
    hooks: Sequence[PromotionHook] = ()
    patience: timedelta = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Moved:
    """Where ``stable`` points now. ``untold`` says which hooks could not be told, and why."""

    promotion: Promotion
    untold: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Revocation:
    """A version is revoked. ``stable`` is the line's stable version now; ``moved`` is set if that changed."""

    revoked: TemplateVersion
    stable: str | None
    moved: Moved | None


@dataclass(frozen=True, slots=True)
class Written(Generic[Result]):
    """What became of writes to several guests."""

    done: Mapping[GuestRef, Result]
    failed: Mapping[GuestRef, ZlhError]

    def raise_first(self) -> None:
        """Raise the first failure, if any."""
        for error in self.failed.values():
            raise error


def promote(ports: ChannelPorts, line: str, version: str, rollout: str = "") -> Moved:
    """Point ``stable`` to the version on every node, then take it from all others.

    ``NotAllowed`` for a revoked version, ``TargetError`` for an unknown one and for a template that stays locked.
    """
    guests = ports.inventory.list_guests()
    target = parse_catalogue(guests).version_of(line, version)
    _refuse_revoked(target)
    with recorded(ports, "promote", _said(target), rollout):
        return _point_stable(ports, guests, line, target, rollout)


def revoke(ports: ChannelPorts, line: str, version: str, reason: str, rollout: str = "") -> Revocation:
    """Stop new guests from getting the version, and move ``stable`` back if it pointed there.

    Templates whose tags contradict are revoked as well. ``stable`` goes to a version that already carries it, else to
    the one that the ledger saw promoted last, else to the next lower one; revoked ones never. With none left the line
    has no stable version and nothing can be picked.
    """
    guests = ports.inventory.list_guests()
    catalogue = parse_catalogue(guests)
    bad = _find_claimed(catalogue, guests, line, version)
    with recorded(ports, "revoke", {**_said(bad), "reason": reason}, rollout):
        marked = _retag_all(ports, bad.refs, _Retag(line, bad.version, add=(REVOKED,), drop=(CANARY_TAG,)))
        if not marked.done:
            marked.raise_first()
        ports.ledger.append(Draft(Kind.EVENT, "revoked", data={**_said(bad), "reason": reason}))
        sound = tuple(v for v in catalogue.versions if v.line == line and not v.revoked and v.version != bad.version)
        moved = None
        if STABLE in bad.channels or any(STABLE_TAG in tags for tags in marked.done.values()):
            moved = _point_stable(ports, guests, line, _choose_successor(ports.ledger, bad, sound), rollout)
        marked.raise_first()
    stable = moved.promotion.version if moved else next((v.version for v in reversed(sound) if v.is_stable), None)
    return Revocation(bad, stable, moved)


def mark_candidate(ports: ChannelPorts, line: str, version: str, rollout: str = "") -> None:
    """Let a share of new guests get the version. A version that is stable already needs no mark."""
    guests = ports.inventory.list_guests()
    target = parse_catalogue(guests).version_of(line, version)
    _refuse_revoked(target)
    if target.is_stable:
        return
    with recorded(ports, "mark_candidate", _said(target), rollout):
        _retag_all(ports, target.refs, _Retag(line, target.version, add=(CANARY_TAG,))).raise_first()
        _retag_all(ports, _others(guests, line, target), _Retag(line, drop=(CANARY_TAG,))).raise_first()


def unmark_candidate(ports: ChannelPorts, line: str, version: str, rollout: str = "") -> None:
    """Send no more new guests to the version. Nothing happens if its templates are gone."""
    refs = list_claimants(ports.inventory.list_guests(), line, version)
    with recorded(ports, "unmark_candidate", {"line": line, "version": version}, rollout):
        _retag_all(ports, refs, _Retag(line, version, drop=(CANARY_TAG,))).raise_first()


def write_all(ports: ChannelPorts, refs: Iterable[GuestRef], write: Callable[[GuestRef], Result]) -> Written[Result]:
    """Call ``write`` for each guest; come back to those that are locked or were changed meanwhile.

    ``write`` must read before it writes: after a lost answer it is called again. One guest that fails, or stays locked
    beyond the patience, does not keep the others from being written.
    """
    deadline = ports.clock.monotonic() + ports.patience.total_seconds()
    done: dict[GuestRef, Result] = {}
    failed: dict[GuestRef, ZlhError] = {}
    waiting: Mapping[GuestRef, ZlhError | None] = dict.fromkeys(refs)
    while waiting:
        later: dict[GuestRef, ZlhError] = {}
        for ref in waiting:
            try:
                done[ref] = write(ref)
            except (GuestLocked, ConfigChanged, Unanswered) as error:
                later[ref] = error
            except TargetError as error:
                failed[ref] = error
        if later and ports.clock.monotonic() >= deadline:
            return Written(done, failed | later)
        if later:
            ports.clock.sleep(POLL)
        waiting = later
    return Written(done, failed)


@dataclass(frozen=True, slots=True)
class _Retag:
    """A change of tags on templates of a line (and version)."""

    line: str
    version: str | None = None
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()

    def write(self, ports: ChannelPorts, ref: GuestRef) -> frozenset[str]:
        """Change the tags of one template unless they are right; returns those found."""
        config = ports.inventory.read_config(ref)
        found = frozenset(config.tags)
        self._check(config, found)
        wanted = (found - set(self.drop)) | set(self.add)
        if wanted != found:
            ports.editor.write_config(ref, {"tags": render_tags(wanted)}, config.digest)
        return found

    def _check(self, config: GuestConfig, tags: frozenset[str]) -> None:
        """The listing is seconds old: the number may be another guest's by now, the version revoked."""
        claimed = LINE + self.line in tags and (self.version is None or VERSION + self.version in tags)
        if not config.flag("template") or not claimed:
            name = " ".join(filter(None, (self.line, self.version)))
            raise TargetError(f"guest {config.ref} is no template of {name} any more; run it again")
        if REVOKED in tags and {STABLE_TAG, CANARY_TAG} & set(self.add):
            raise NotAllowed(f"{self.line} {self.version} was revoked meanwhile (template {config.ref})")


def _retag_all(ports: ChannelPorts, refs: Iterable[GuestRef], change: _Retag) -> Written[frozenset[str]]:
    return write_all(ports, refs, lambda ref: change.write(ports, ref))


def _point_stable(
    ports: ChannelPorts, guests: Iterable[GuestSummary], line: str, target: TemplateVersion | None, rollout: str
) -> Moved:
    """Set ``stable`` on all templates of the version, then take it from all others of the line; tell who must know."""
    version, refs = (target.version, target.refs) if target else (None, ())
    _retag_all(ports, refs, _Retag(line, version, add=(STABLE_TAG,), drop=(CANARY_TAG,))).raise_first()
    _retag_all(ports, _others(guests, line, target), _Retag(line, drop=(STABLE_TAG,))).raise_first()
    promotion = Promotion(line, version, {ref.node: ref.vmid for ref in refs}, ports.clock.now())
    if target:
        ports.ledger.append(Draft(Kind.EVENT, PROMOTED, data=_said(target)))
    return Moved(promotion, _tell_all(ports, promotion, rollout))


def _tell_all(ports: ChannelPorts, promotion: Promotion, rollout: str) -> tuple[str, ...]:
    """A hook that fails does not take a promotion back: it is reported, and told again by the next run."""
    untold = []
    for hook in ports.hooks:
        try:
            with recorded(ports, f"tell {hook.name}", {"line": promotion.line, "version": promotion.version}, rollout):
                hook.send_promotion(promotion)
        except RoadError as error:
            untold.append(f"{hook.name}: {error}")
    return tuple(untold)


def _choose_successor(ledger: Ledger, bad: TemplateVersion, sound: Sequence[TemplateVersion]) -> TemplateVersion | None:
    """Where ``stable`` goes back to; ``sound`` are the line's other versions that are not revoked, oldest first."""
    stable = [version for version in sound if version.is_stable]
    if stable:
        return stable[-1]
    by_name = {version.version: version for version in sound}
    for entry in reversed(ledger.read("")):
        if entry.kind is Kind.EVENT and entry.name == PROMOTED and entry.data["line"] == bad.line:
            before = by_name.get(entry.data["version"])
            if before:
                return before
    lower = [version for version in sound if version.order < bad.order]
    return lower[-1] if lower else None


def _find_claimed(catalogue: Catalogue, guests: Iterable[GuestSummary], line: str, version: str) -> TemplateVersion:
    """The version with every template that claims it, also where tags contradict and the catalogue leaves it out."""
    parse_version(version)
    known = next((v for v in catalogue.versions if v.line == line and v.order == parse_version(version)), None)
    name = known.version if known else version
    refs = list_claimants(guests, line, name)
    if not refs:
        return catalogue.version_of(line, version)  # raises, and names what there is
    return TemplateVersion(line, name, refs, known.channels if known else frozenset(), revoked=True)


def _refuse_revoked(target: TemplateVersion) -> None:
    if target.revoked:
        raise NotAllowed(f"{target.line} {target.version} is revoked; bring a new version instead")


def _others(guests: Iterable[GuestSummary], line: str, target: TemplateVersion | None) -> tuple[GuestRef, ...]:
    """The line's other templates. All are read again: which of them has the channel is seconds old in the listing."""
    return tuple(ref for ref in list_claimants(guests, line) if target is None or ref not in target.refs)


def _said(target: TemplateVersion) -> dict[str, Any]:
    return {"line": target.line, "version": target.version, "templates": {r.node: r.vmid for r in target.refs}}


@contextmanager
def recorded(ports: ChannelPorts, name: str, data: Mapping[str, Any], rollout: str = "") -> Iterator[None]:
    """Intent before, done or failed after. Filed under no rollout: these stories are repeated whole, not resumed."""
    data = {**data, "rollout": rollout} if rollout else dict(data)
    ports.ledger.append(Draft(Kind.INTENT, name, data=data))
    try:
        yield
    except ZlhError as error:
        ports.ledger.append(Draft(Kind.FAILED, name, data={**data, "reason": str(error)}))
        raise
    ports.ledger.append(Draft(Kind.DONE, name, data=data))
