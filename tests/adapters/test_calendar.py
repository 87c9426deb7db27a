"""Rules of what is sent to calendars, by the letter of RFC 5545."""

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.adapters.calendar_bench import START, check_lines, make_event
from zlh_hooks.adapters.calendar import Publisher, choose_method, render_calendar, render_event

PUBLISHER = Publisher("https://status.example/maintenance", "noc@example.com")


def test_an_event_says_who_made_it_and_all_that_a_calendar_needs() -> None:
    lines = check_lines(render_event(make_event(sequence=2), PUBLISHER))
    assert lines[0] == "BEGIN:VCALENDAR" and lines[-1] == "END:VCALENDAR"
    assert {"VERSION:2.0", "PRODID:-//zlh-hooks//maintenance//EN", "CALSCALE:GREGORIAN", "METHOD:PUBLISH"} <= {*lines}
    assert sorted(lines[lines.index("BEGIN:VEVENT") + 1 : lines.index("END:VEVENT")]) == [
        "DESCRIPTION:About 1m of interruption.",
        "DTEND:20261201T050000Z",
        "DTSTAMP:20261123T040506Z",
        "DTSTART:20261201T030000Z",
        "ORGANIZER:mailto:noc@example.com",
        "SEQUENCE:2",
        "STATUS:CONFIRMED",
        "SUMMARY:Maintenance: game-base 2026.11.1",
        "TRANSP:TRANSPARENT",
        "UID:r7-1@zlh-hooks",
        "URL:https://status.example/maintenance",
    ]


def test_a_moved_event_keeps_its_uid_and_its_sequence_grows() -> None:
    first, second = (check_lines(render_event(make_event(sequence=number), PUBLISHER)) for number in (0, 1))
    assert set(second) - set(first) == {"SEQUENCE:1"}


def test_a_cancelled_event_takes_itself_out_of_the_calendar() -> None:
    event = make_event(sequence=3, cancelled=True)
    lines = check_lines(render_event(event, PUBLISHER))
    assert {"METHOD:CANCEL", "STATUS:CANCELLED", "SEQUENCE:3", "UID:r7-1@zlh-hooks"} <= {*lines}
    assert choose_method(event) == "CANCEL"


def test_times_in_any_zone_are_written_as_utc_instants() -> None:
    local = replace(make_event(), start=START.astimezone(ZoneInfo("America/St_Johns")))
    assert check_lines(render_event(local, PUBLISHER)) == check_lines(render_event(make_event(), PUBLISHER))


def test_what_is_not_known_is_left_out() -> None:
    lines = check_lines(render_event(make_event(), Publisher()))
    assert not [line for line in lines if line.startswith(("URL", "ORGANIZER"))]


@pytest.mark.parametrize("letter", ["ä", "株", "😀", "e\u0301", "a"])
def test_long_lines_are_folded_between_characters_whatever_the_script(letter: str) -> None:
    lines = check_lines(render_event(make_event(summary=letter * 400), PUBLISHER))
    assert f"SUMMARY:{letter * 400}" in lines


def test_a_text_cannot_bring_properties_of_its_own() -> None:
    event = make_event(summary="a\r\nSTATUS:CANCELLED", description="b\r\nEND:VEVENT\nc;d,e\\f\rg\x00\x07\u2028h")
    lines = check_lines(render_event(event, PUBLISHER))
    assert "SUMMARY:a STATUS:CANCELLED" in lines
    assert r"DESCRIPTION:b\nEND:VEVENT\nc\;d\,e\\f\ng\nh" in lines
    assert [line for line in lines if line.startswith("STATUS")] == ["STATUS:CONFIRMED"]


@given(st.text(), st.text())
def test_any_text_makes_a_well_formed_document(summary: str, description: str) -> None:
    lines = check_lines(render_event(make_event(summary=summary, description=description), PUBLISHER))
    assert (lines.count("BEGIN:VEVENT"), lines.count("END:VEVENT"), lines.count("END:VCALENDAR")) == (1, 1, 1)
    assert len(lines) == 19


def test_a_feed_says_its_name_and_how_often_to_come_back() -> None:
    lines = check_lines(render_calendar([make_event(1), make_event(2, cancelled=True)], PUBLISHER))
    wanted = {"X-WR-CALNAME:Maintenance", "REFRESH-INTERVAL;VALUE=DURATION:PT15M", "X-PUBLISHED-TTL:PT15M"}
    assert wanted | {"NAME:Maintenance", "METHOD:PUBLISH"} <= {*lines}
    assert [line for line in lines if line.startswith("UID")] == ["UID:r7-1@zlh-hooks", "UID:r7-2@zlh-hooks"]
    assert [line for line in lines if line.startswith("STATUS")] == ["STATUS:CONFIRMED", "STATUS:CANCELLED"]


def test_the_same_events_make_the_same_document() -> None:
    later = replace(make_event(), end=START + timedelta(hours=3))
    assert render_calendar([make_event()], PUBLISHER) == render_calendar([make_event()], PUBLISHER)
    assert render_calendar([later], PUBLISHER) != render_calendar([make_event()], PUBLISHER)
