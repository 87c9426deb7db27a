"""Maintenance as iCalendar (RFC 5545), for Thunderbird, Google, Outlook and whatever else reads it.

All times are UTC instants, so that no reader needs a time zone of ours. An event keeps its UID for life and its
SEQUENCE grows, so that a later document replaces what a calendar already shows, a cancelled event included.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from icalendar import Calendar, Event, vDuration

from zlh_hooks.domain.notice import CalendarEvent
from zlh_hooks.domain.plain_text import render_line, render_lines

PRODUCT = "-//zlh-hooks//maintenance//EN"
TITLE = "Maintenance"
REFRESH = timedelta(minutes=15)
"""How often a reader should fetch the feed again; many ask less often, whatever they are told."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """Whose calendar it is: a URL where it may be read, and the mail address that RFC 5546 asks of a sent event."""

    url: str | None = None
    mail: str | None = None


def render_event(event: CalendarEvent, publisher: Publisher) -> bytes:
    """One event to be sent to somebody; ``choose_method`` must stand in the message's header too."""
    calendar = _start(choose_method(event))
    calendar.add_component(_make_event(event, publisher))
    return _finish(calendar)


def choose_method(event: CalendarEvent) -> str:
    """What the receiver's calendar does with it (RFC 5546)."""
    return "CANCEL" if event.cancelled else "PUBLISH"


def render_calendar(events: Iterable[CalendarEvent], publisher: Publisher) -> bytes:
    """Many events to be subscribed to."""
    calendar = _start("PUBLISH")
    calendar.add("name", TITLE)
    calendar.add("x-wr-calname", TITLE)
    calendar.add("refresh-interval", vDuration(REFRESH), parameters={"VALUE": "DURATION"})
    calendar.add("x-published-ttl", f"PT{REFRESH.total_seconds() / 60:.0f}M")
    for event in events:
        calendar.add_component(_make_event(event, publisher))
    return _finish(calendar)


def _start(method: str) -> Calendar:
    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("calscale", "GREGORIAN")
    calendar.add("method", method)
    return calendar


def _make_event(event: CalendarEvent, publisher: Publisher) -> Event:
    """TRANSPARENT: nobody who looks for a free hour is told that this one is taken."""
    made = Event()
    made.add("uid", render_line(event.uid))
    made.add("sequence", event.sequence)
    for name, moment in (("dtstamp", event.stamp), ("dtstart", event.start), ("dtend", event.end)):
        made.add(name, _in_utc(moment))
    made.add("summary", render_line(event.summary))
    made.add("description", render_lines(event.description))
    made.add("status", "CANCELLED" if event.cancelled else "CONFIRMED")
    made.add("transp", "TRANSPARENT")
    if publisher.url:
        made.add("url", publisher.url)
    if publisher.mail:
        made.add("organizer", f"mailto:{publisher.mail}")
    return made


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


def _finish(calendar: Calendar) -> bytes:
    return bytes(calendar.to_ical())
