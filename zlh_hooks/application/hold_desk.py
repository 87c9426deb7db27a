"""Where people hold guests and lines, and let them go. A claim stands on the guest; the ledger says who made it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from zlh_hooks.application.retag import ChannelPorts, Written, recorded, write_all
from zlh_hooks.domain import tag
from zlh_hooks.domain.errors import NotAllowed, SettingsError
from zlh_hooks.domain.guest import GuestConfig, GuestRef, GuestSummary
from zlh_hooks.domain.hold import (
    IGNORED,
    Claim,
    Hold,
    check_end,
    list_holds,
    list_loopholes,
    make_hold,
    without_holds,
)
from zlh_hooks.domain.line import parse_catalogue

Choose = Callable[[tuple[Hold, ...]], tuple[Hold, ...]]


@dataclass(frozen=True, slots=True)
class Place:
    """What a person named: guests by number, all of a node, or a line of templates."""

    vmids: tuple[int, ...] = ()
    node: str | None = None
    line: str | None = None

    def __str__(self) -> str:
        if self.line is not None:
            return f"line {self.line}"
        return f"node {self.node}" if self.node is not None else ", ".join(map(str, self.vmids))


@dataclass(frozen=True, slots=True)
class HeldGuest:
    """One claim and the guest, or template, that carries it.

    ``loopholes``: why the guest would start all the same, of a claim that keeps it down, and what closes them.
    """

    guest: GuestSummary
    hold: Hold
    is_over: bool
    loopholes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HoldDesk:
    """Takes claims. ``author`` is recorded, and is the owner of a claim unless another one is named."""

    ports: ChannelPorts
    author: str

    def find(self, place: Place) -> tuple[GuestSummary, ...]:
        """The guests that are meant; ``NotAllowed`` names what is there instead."""
        guests = self.ports.list_guests()
        if place.line is not None:
            return self._find_templates(guests, place.line)
        known = [guest for guest in guests if not guest.template]
        if place.node is not None:
            return self._find_on(known, place.node)
        missing = sorted(set(place.vmids) - {guest.vmid for guest in known})
        if missing:
            raise NotAllowed(f"there is no guest {', '.join(map(str, missing))}; a template is held by its line")
        return tuple(guest for guest in known if guest.vmid in place.vmids)

    def make(self, claim: Claim, until: datetime, reason: str, owner: str | None = None) -> Hold:
        """A claim that can be carried; ``SettingsError`` for an end that is past or too far, or for no reason."""
        hold = make_hold(claim, until, owner or self.author, reason)
        check_end(self.ports.clock.now(), hold.until or until)
        if not hold.reason or not hold.owner.strip():
            raise SettingsError("hold", "reason", "nothing", "whose it is and why, for whoever meets it at night")
        return hold

    def refuse_loopholes(self, guests: Sequence[GuestSummary]) -> None:
        """``NotAllowed`` if one of them would start although it is marked down; it names the commands that mend it."""
        configs = (self.ports.inventory.read_config(guest.ref) for guest in guests)
        found = [loophole for config in configs for loophole in self._list_loopholes(config)]
        if found:
            raise NotAllowed(
                "\n  ".join(["to be kept down takes this first, typed by root on a node of the cluster:", *found])
            )

    def hold(self, place: Place, hold: Hold) -> Written[tuple[Hold, ...]]:
        """Put the claim on each of the guests; claims that are over go with the same write, and are the answer.

        ``NotAllowed`` if nothing would keep one of them from starting that is to be kept down.
        """
        guests = self.find(place)
        if hold.claim is Claim.DOWN:
            self.refuse_loopholes(guests)
        with recorded(self.ports, "hold", self._describe(place, hold)):
            return self._write(guests, hold, self._list_over)

    def clear(self, place: Place) -> Written[tuple[Hold, ...]]:
        """Take every claim of ours off each of the guests; the answer is what each had."""
        with recorded(self.ports, "hold cleared", self._describe(place)):
            return self._write(self.find(place), None, lambda holds: holds)

    def list_ignored(self, cleared: Written[tuple[Hold, ...]]) -> tuple[GuestRef, ...]:
        """Those that were marked down and that the HA manager ignores still, where the token may know that."""
        free = [ref for ref, holds in cleared.done.items() if any(hold.claim is Claim.DOWN for hold in holds)]
        return tuple(ref for ref in free if self.ports.inventory.read_power(ref).ha_state == IGNORED)

    def list(self) -> tuple[HeldGuest, ...]:
        """Every claim in the cluster, by guest; those of a line stand on its templates."""
        held = (guest for guest in self.ports.list_guests() if _carries(guest))
        return tuple(one for guest in held for one in self._read(guest))

    # --- inside

    def _find_templates(self, guests: Sequence[GuestSummary], line: str) -> tuple[GuestSummary, ...]:
        catalogue = parse_catalogue(guests)
        refs = {ref for version in catalogue.versions_of(line) for ref in version.refs}
        return tuple(guest for guest in guests if guest.ref in refs)

    def _find_on(self, guests: Sequence[GuestSummary], node: str) -> tuple[GuestSummary, ...]:
        found = tuple(guest for guest in guests if guest.ref.node == node)
        if not found:
            nodes = ", ".join(sorted({guest.ref.node for guest in guests})) or "none"
            raise NotAllowed(f"there is no guest on node {node}; nodes that have some: {nodes}")
        return found

    def _read(self, guest: GuestSummary) -> Iterator[HeldGuest]:
        config, now = self.ports.inventory.read_config(guest.ref), self.ports.clock.now()
        for hold in list_holds(config.tags, _notes_of(config)):
            if guest.template == (hold.claim is Claim.LINE):
                keeps_down = hold.claim is Claim.DOWN and not hold.is_over(now)
                loopholes = self._list_loopholes(config) if keeps_down else ()
                yield HeldGuest(guest, hold, hold.is_over(now), loopholes)

    def _list_loopholes(self, config: GuestConfig) -> tuple[str, ...]:
        return list_loopholes(config, self.ports.inventory.read_power(config.ref), self.ports.clock.now())

    def _list_over(self, holds: tuple[Hold, ...]) -> tuple[Hold, ...]:
        return tuple(hold for hold in holds if hold.is_over(self.ports.clock.now()))

    def _write(self, guests: Sequence[GuestSummary], add: Hold | None, choose: Choose) -> Written[tuple[Hold, ...]]:
        return write_all(self.ports, [guest.ref for guest in guests], lambda ref: self._write_one(ref, add, choose))

    def _write_one(self, ref: GuestRef, add: Hold | None, choose: Choose) -> tuple[Hold, ...]:
        """One write, guarded by the digest: a claim never stands without its reason. Returns what it takes away."""
        config = self.ports.inventory.read_config(ref)
        new, gone = [add] if add else [], choose(list_holds(config.tags))
        tags = (set(config.tags) - {hold.tag for hold in gone}) | {hold.tag for hold in new}
        notes = [without_holds(_notes_of(config), [*gone, *new]), *(hold.render_note() for hold in new)]
        wanted = {"tags": tag.render_tags(tags), "description": "\n".join(filter(None, notes))}
        present = {"tags": tag.render_tags(config.tags), "description": _notes_of(config)}
        changed = {key: value for key, value in wanted.items() if value != present[key]}
        if changed:
            kept = {key: value for key, value in changed.items() if value}
            self.ports.editor.write_config(ref, kept, config.digest, delete=[*(changed.keys() - kept.keys())])
        return tuple(gone)

    def _describe(self, place: Place, hold: Hold | None = None) -> dict[str, str]:
        said = {"owner": hold.owner, "reason": hold.reason, "tag": hold.tag} if hold else {}
        return {"place": str(place), "author": self.author, **said}


def _carries(guest: GuestSummary) -> bool:
    return any(text.startswith(claim.value) for text in guest.tags for claim in Claim)


def _notes_of(config: GuestConfig) -> str:
    return config.values.get("description", "").rstrip("\n")
