"""What a library that did not write our calendars reads in them."""

from datetime import timedelta

import pytest
from ical.calendar_stream import IcsCalendarStream
from ical.event import Event

from tests.adapters.calendar_bench import STAMP, START, make_event
from zlh_hooks.adapters.calendar import Publisher, render_calendar, render_event

PUBLISHER = Publisher("https://status.example/maintenance", "noc@example.com")


def read_events(document: bytes) -> list[Event]:
    return list(IcsCalendarStream.calendar_from_ics(document.decode("utf-8")).events)


def test_another_library_reads_every_fact_of_an_event() -> None:
    (event,) = read_events(render_event(make_event(sequence=4), PUBLISHER))
    assert (event.uid, event.sequence, event.status, event.transparency) == (
        *("r7-1@zlh-hooks", 4, "CONFIRMED", "TRANSPARENT"),
    )
    assert (event.dtstart, event.dtend) == (START, START + timedelta(hours=2))
    assert event.dtstamp == STAMP.replace(microsecond=0)
    assert event.dtstart.utcoffset() == timedelta(0)
    assert (event.summary, event.description) == ("Maintenance: game-base 2026.11.1", "About 1m of interruption.")
    assert str(event.url) == "https://status.example/maintenance"


def test_another_library_sees_that_an_event_is_cancelled() -> None:
    (event,) = read_events(render_event(make_event(cancelled=True), PUBLISHER))
    assert event.status == "CANCELLED"


@pytest.mark.parametrize(
    "text", ["ä" * 200, "株式会社 " * 50, "😀" * 90, "a;b,c\\d:e", "one\ntwo\n\nthree", '"quoted"']
)
def test_another_library_reads_the_text_that_was_written(text: str) -> None:
    (event,) = read_events(render_event(make_event(summary="x", description=text), PUBLISHER))
    assert event.description == text


def test_another_library_reads_a_feed_of_many_events() -> None:
    document = render_calendar([make_event(number, number) for number in range(1, 301)], PUBLISHER)
    calendar = IcsCalendarStream.calendar_from_ics(document.decode("utf-8"))
    assert calendar.prodid == "-//zlh-hooks//maintenance//EN"
    assert {event.uid: event.sequence for event in calendar.events} == {f"r7-{n}@zlh-hooks": n for n in range(1, 301)}
    assert calendar.events[299].dtstart == START + timedelta(days=299)


def test_another_library_reads_a_feed_without_events() -> None:
    assert read_events(render_calendar([], PUBLISHER)) == []
