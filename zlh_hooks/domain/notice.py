"""What customers are told of a change: who they are, when it comes to them, and each message. Pure values.

A change is told in *rounds*. A round is one window and the customers whose guests are changed in it; it keeps its
number for life, and each time its window moves its ``sequence`` grows by one (as an iCalendar event's does, RFC 5545).
Whoever joins later, or is left over when a window closes, gets a round of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol
from zoneinfo import ZoneInfo

OPERATOR = ""
"""The customer to whom guests without an owner belong: whoever runs the platform."""


class Stage(StrEnum):
    """What a notice says of its round."""

    ANNOUNCED = "announced"
    MOVED = "moved"
    REMINDER = "reminder"
    STARTED = "started"
    OVERRUN = "overrun"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    TAKEN_BACK = "taken_back"
    """After the end: what had been finished is as it was before."""


ANNOUNCING = frozenset({Stage.ANNOUNCED, Stage.MOVED})
"""The notices from whose delivery the promised lead time is counted."""


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody with guests. ``time_zone`` is an IANA name; None: the policy's. ``webhook``: a URL, often secret."""

    id: str
    name: str
    guests: frozenset[int]
    mail: str | None = None
    webhook: str | None = field(default=None, repr=False)
    time_zone: str | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """One window (``start`` to ``end``, aware UTC) and whose guests are changed in it.

    ``guests``: customer id to guest numbers. ``lead``: the promise that it was made under, at ``made``. ``emergency``:
    the one under which it keeps no promise, and ``because`` why that was declared; both empty in all other rounds.
    ``deferred_until``: what its guests were deferred to. ``follows``: the round whose event this one replaces in its
    customers' calendars, because all of theirs moved out of it; 0 for none.
    """

    number: int
    sequence: int
    start: datetime
    end: datetime
    lead: timedelta
    guests: Mapping[str, tuple[int, ...]]
    made: datetime
    emergency: str = ""
    because: str = ""
    deferred_until: datetime | None = None
    follows: int = 0

    @property
    def event_number(self) -> int:
        """By which its customers' calendars know it."""
        return self.follows or self.number

    @property
    def version(self) -> tuple[int, int]:
        """Which round, and which date of it."""
        return self.number, self.sequence

    def of(self, vmid: int) -> str | None:
        """The customer whose guest it is here; None if the guest is not in this round."""
        return next((customer for customer, vmids in self.guests.items() if vmid in vmids), None)


@dataclass(frozen=True, slots=True)
class Return:
    """Guests that went back after the end of their maintenance, and from when to when that took (aware UTC)."""

    start: datetime
    end: datetime
    guests: tuple[int, ...]


class Span(Protocol):
    """Whatever begins and ends; aware."""

    @property
    def start(self) -> datetime:
        """When it begins."""

    @property
    def end(self) -> datetime:
        """When it ends."""


def render_span(of: Span, zone: ZoneInfo) -> str:
    """``on Tue 01 Dec 2026 between 04:00 and 06:00 CET (03:00 to 05:00 UTC)``."""
    start, end = of.start.astimezone(zone), of.end.astimezone(zone)
    last = f"{end:%H:%M %Z}" if end.date() == start.date() else f"{end:%a %d %b, %H:%M %Z}"
    utc = f"{of.start.astimezone(UTC):%H:%M} to {of.end.astimezone(UTC):%H:%M} UTC"
    return f"on {start:%a %d %b %Y} between {start:%H:%M} and {last} ({utc})"


@dataclass(frozen=True, slots=True)
class CalendarEvent:
    """A round as a calendar shows it. The same ``uid`` with a higher ``sequence`` replaces what was there before."""

    uid: str
    sequence: int
    start: datetime
    end: datetime
    summary: str
    description: str
    stamp: datetime
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """A notice as a channel sends it. ``id`` is stable: the same notice has the same id after a crash.

    ``text`` is plain; ``facts`` the same as JSON values, for programs.
    """

    id: str
    subject: str
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    event: CalendarEvent | None = None


@dataclass(frozen=True, slots=True)
class Bulletin:
    """A round on the public feed: no customer is named.

    ``state``: scheduled, in_progress, completed, cancelled or taken_back.
    """

    state: str
    event: CalendarEvent
    component: str
    impact: str
    interruption: timedelta
    guests: int
    updated: datetime
