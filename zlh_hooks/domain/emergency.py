"""Emergencies: declared, limited allowances that pass over windows and promises, and leave a debt. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.window_rule import Component

DECLARED = "emergency.declared"
ENDED = "emergency.ended"
REVIEWED = "emergency.reviewed"


class EmergencyState(StrEnum):
    """Where an emergency stands. The last three allow nothing any more."""

    OPEN = "open"
    ENDED = "ended"
    EXPIRED = "expired"
    REVIEWED = "reviewed"


@dataclass(frozen=True, slots=True)
class Word:
    """What a person said of it, and when."""

    text: str
    author: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Untold:
    """A customer whose guest was changed under an emergency, at ``at``, and who has no delivered notice of it.

    ``customer`` is None while nobody could find out whose guest it is.
    """

    rollout: str
    vmid: int
    customer: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Debt:
    """What is still owed. ``kind``: ``review`` or ``notice``; ``due``: by when, aware UTC."""

    kind: str
    what: str
    due: datetime


@dataclass(frozen=True, slots=True)
class Emergency:
    """One allowance, ``[declared_at, until)`` unless it was ended before.

    ``without_canary`` is the second reason, for which no first guest has to be proved before the others; else None.
    """

    id: str
    component: Component
    reason: str
    reference: str
    author: str
    declared_at: datetime
    until: datetime
    without_canary: str | None = None
    ended: Word | None = None
    reviewed: Word | None = None

    @property
    def closes_at(self) -> datetime:
        """When it allows nothing any more: ended by a person, or expired by itself."""
        return min(self.until, self.ended.at) if self.ended else self.until

    def is_open(self, now: datetime) -> bool:
        """Whether it allows anything now."""
        return self.declared_at <= now < self.closes_at

    def state(self, now: datetime) -> EmergencyState:
        """How it stands."""
        if self.is_open(now):
            return EmergencyState.OPEN
        if self.reviewed:
            return EmergencyState.REVIEWED
        return EmergencyState.ENDED if self.ended else EmergencyState.EXPIRED

    def debts(self, now: datetime, review_within: timedelta, untold: Iterable[Untold] = ()) -> tuple[Debt, ...]:
        """What is owed, the first due first: a notice at once, to everybody ``untold``; the review after its end."""
        missing = [Debt("notice", f"{_name(one)} was not told of {one.rollout}", one.at) for one in _first(untold)]
        late = self.closes_at + review_within
        words = "to be ended or to expire, then reviewed" if self.is_open(now) else "to be reviewed"
        owed = [] if self.reviewed else [Debt("review", words, late)]
        return tuple(sorted((*missing, *owed), key=lambda debt: debt.due))


def _first(untold: Iterable[Untold]) -> Iterator[Untold]:
    """The first touch of each customer in each rollout; guests without a known owner one by one."""
    seen: set[object] = set()
    for one in sorted(untold, key=lambda one: (one.at, one.vmid)):
        who = (one.rollout, one.customer if one.customer is not None else one.vmid)
        if who not in seen:
            seen.add(who)
            yield one


def _name(one: Untold) -> str:
    return f"customer {one.customer}" if one.customer is not None else f"the owner of guest {one.vmid}, not known yet,"


@dataclass(slots=True)
class EmergencyBook:
    """All emergencies of a ledger, oldest first; ``add`` takes in its entries in their order."""

    emergencies: dict[str, Emergency] = field(default_factory=dict)

    def add(self, entries: Iterable[Entry]) -> "EmergencyBook":
        """Take in more; entries of other things are passed over."""
        for entry in entries:
            if entry.kind is Kind.COMMAND and entry.name == DECLARED:
                found = _parse(entry.data, entry.at)
                self.emergencies[found.id] = found
            elif entry.kind is Kind.COMMAND and entry.name in (ENDED, REVIEWED):
                self._follow(entry)
        return self

    def _follow(self, entry: Entry) -> None:
        known = self.emergencies.get(str(entry.data["id"]))
        if known is None:
            return
        text = entry.data["reason"] if entry.name == ENDED else entry.data["text"]
        word = Word(str(text), str(entry.data["author"]), entry.at)
        if entry.name == REVIEWED:
            self.emergencies[known.id] = replace(known, reviewed=word)
        elif known.is_open(entry.at):
            self.emergencies[known.id] = replace(known, ended=word)

    def find_open(self, component: Component, at: datetime) -> Emergency | None:
        """The one that allows something for the component at that moment."""
        return next((one for one in self.of(component) if one.is_open(at)), None)

    def of(self, component: Component) -> Iterator[Emergency]:
        """Those declared for the component."""
        return (one for one in self.emergencies.values() if one.component is component)


def describe_emergency(one: Emergency) -> dict[str, Any]:
    """What is recorded when it is declared."""
    return {
        "id": one.id,
        "component": one.component,
        "reason": one.reason,
        "reference": one.reference,
        "author": one.author,
        "until": one.until.isoformat(),
        "without_canary": one.without_canary,
    }


def _parse(data: Mapping[str, Any], at: datetime) -> Emergency:
    second = data.get("without_canary")
    return Emergency(
        id=str(data["id"]),
        component=Component(data["component"]),
        reason=str(data["reason"]),
        reference=str(data["reference"]),
        author=str(data["author"]),
        declared_at=at,
        until=datetime.fromisoformat(data["until"]),
        without_canary=None if second is None else str(second),
    )
