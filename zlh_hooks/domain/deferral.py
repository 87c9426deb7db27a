"""Deferrals: a guest's date is moved, at most as far as the policy's cap. Pure.

A claim is a command in the ledger. It counts from the moment it is written: the gate reads it, and the herald tells.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from zlh_hooks.domain.entry import Entry
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.window import decide, list_occurrences
from zlh_hooks.domain.window_rule import Component

TAKEN = "deferral.taken"
CANCELLED = "deferral.cancelled"
INDIVIDUAL = frozenset({Component.TEMPLATE, Component.AGENT})
"""What is changed for each guest by itself. All else is shared: its date is the same for everybody."""
MOMENT = timedelta(minutes=1)
"""How long before its date a guest may still be deferred at the latest: it is begun by somebody who reads the same
ledger, but not at the same instant."""


@dataclass(frozen=True, slots=True)
class Deferral:
    """A guest does not begin before ``until``, the start of a window. ``link``: the ticket by which it was asked."""

    vmid: int
    until: datetime
    author: str
    at: datetime
    link: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """A window to which a date may be moved."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Room:
    """How far a date can be moved: ``first`` was announced first, nothing is later than ``latest``."""

    first: datetime
    latest: datetime
    offers: tuple[Offer, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """A date as somebody types it, on the policy's clock; at midnight the whole day is meant."""

    moment: datetime

    @property
    def is_day(self) -> bool:
        """Whether no time of day is said."""
        return self.moment.hour == self.moment.minute == 0

    def means(self, start: datetime) -> bool:
        """Whether it names the window that begins then."""
        same_day = start.astimezone(self.moment.tzinfo).date() == self.moment.date()
        return start == self.moment or (self.is_day and same_day)

    def choose(self, offers: Sequence[Offer]) -> Offer | None:
        """The window that it names, else the one that is open at the time it says."""
        named = [one for one in offers if self.means(one.start)]
        around = [one for one in offers if not self.is_day and one.start <= self.moment < one.end]
        return next(iter((*named, *around)), None)

    def __str__(self) -> str:
        return f"{self.moment:%Y-%m-%d}" if self.is_day else f"{self.moment:%Y-%m-%d %H:%M}"


def find_latest(first: datetime, limit: timedelta, zone: str) -> datetime:
    """The cap's end, UTC: so many days later on the same clock, also where clocks change in between."""
    return (first.astimezone(ZoneInfo(zone)) + limit).astimezone(UTC)


def find_room(
    policy: Policy, firsts: Iterable[datetime], limit: timedelta, after: datetime, needs: timedelta, security: bool
) -> Room:
    """What can be offered to guests first announced for ``firsts``, from ``after`` on; ``needs``: what one takes."""
    first = min(firsts)
    latest = find_latest(first, limit, policy.time_zone)
    return Room(first, latest, list_offers(policy, after, latest, needs, security))


def list_offers(
    policy: Policy, after: datetime, latest: datetime, needs: timedelta, security: bool
) -> tuple[Offer, ...]:
    """Windows that begin in ``[after, latest]`` and are not denied then, the first first."""
    found: dict[datetime, Offer] = {}
    if after > latest:
        return ()
    for window in list_occurrences(policy, Component.TEMPLATE, after, latest + timedelta.resolution):
        if window.effect != "allow" or window.start < after:
            continue
        decision = decide(policy, Component.TEMPLATE, window.start, needs, security=security)
        start = window.start if decision.allowed else decision.until
        if decision.window is not None and start is not None and start < window.end and start <= latest:
            found.setdefault(start, Offer(start, decision.window.end))
    return tuple(found[start] for start in sorted(found))


def describe_deferral(one: Deferral) -> dict[str, Any]:
    """What is recorded of it; guest and moment are the entry's own."""
    return {"until": one.until.isoformat(), "author": one.author, "link": one.link, "reason": one.reason}


def parse_deferral(entry: Entry) -> Deferral:
    """The claim that an entry holds."""
    data: Mapping[str, Any] = entry.data
    assert entry.target is not None
    until = datetime.fromisoformat(data["until"])
    return Deferral(entry.target, until, str(data["author"]), entry.at, str(data["link"]), str(data["reason"]))
