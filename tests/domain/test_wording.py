"""Rules of wording: what people read is what the engine keeps."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from zlh_hooks.domain.availability_rules import Behind
from zlh_hooks.domain.notice_rules import Ladder
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.probe import TcpProbe
from zlh_hooks.domain.rollout_rules import RolloutRules
from zlh_hooks.domain.window import list_occurrences
from zlh_hooks.domain.window_rule import Freeze, WindowRule
from zlh_hooks.domain.wording import (
    WEEKDAYS,
    render_behind,
    render_cutoff,
    render_freeze,
    render_leads,
    render_length,
    render_list,
    render_number,
    render_size,
    render_threshold,
    render_waves,
    render_window,
)

NIGHT = {"name": "night", "start": "04:00", "length_minutes": 120}
BERLIN = "Europe/Berlin"


def make_rule(rule: str, **changes: Any) -> WindowRule:
    return WindowRule.model_validate(NIGHT | {"rule": rule} | changes)


@pytest.mark.parametrize(
    ("rule", "changes", "words"),
    [
        ("FREQ=WEEKLY;BYDAY=TU", {}, "every Tuesday, 04:00 to 06:00 (Europe/Berlin)"),
        ("FREQ=WEEKLY;BYDAY=MO,TU,TH", {}, "every Monday, Tuesday and Thursday, 04:00 to 06:00 (Europe/Berlin)"),
        ("FREQ=DAILY", {"time_zone": "UTC"}, "every day, 04:00 to 06:00 (UTC)"),
        ("FREQ=DAILY", {"start": "22:30"}, "every day, 22:30 to 00:30 on the next day (Europe/Berlin)"),
        ("FREQ=DAILY", {"start": "22:00"}, "every day, 22:00 to midnight (Europe/Berlin)"),
        ("FREQ=MONTHLY;BYDAY=1WE", {}, "on the first Wednesday of every month, 04:00 to 06:00 (Europe/Berlin)"),
        ("FREQ=MONTHLY;BYDAY=-1SU", {}, "on the last Sunday of every month, 04:00 to 06:00 (Europe/Berlin)"),
        ("FREQ=MONTHLY;BYMONTHDAY=1,15", {}, "on day 1 and 15 of every month, 04:00 to 06:00 (Europe/Berlin)"),
        ("FREQ=WEEKLY;BYDAY=TU;UNTIL=20261231", {}, "every Tuesday until 31 December 2026, 04:00 to 06:00 (Europe/Berlin)"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=SU", {"anchor": "2026-11-22"}, "every second Sunday from 22 November 2026 on, 04:00 to 06:00 (Europe/Berlin)"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TU", {"anchor": "2026-11-22"}, "every second week on Monday and Tuesday from 22 November 2026 on, 04:00 to 06:00 (Europe/Berlin)"),
        ("FREQ=WEEKLY;BYDAY=FR", {"start": "00:00", "length_minutes": 4380}, "from Friday 00:00 to Monday 01:00 of every week (Europe/Berlin)"),
        ("FREQ=MONTHLY;BYDAY=1MO", {"length_minutes": 2880}, "on the first Monday of every month, from 04:00 for 2 days (Europe/Berlin)"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=3", {}, "on the dates of the rule FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=3, 04:00 to 06:00 (Europe/Berlin)"),
        ("FREQ=MONTHLY;BYMONTHDAY=-1", {}, "on the dates of the rule FREQ=MONTHLY;BYMONTHDAY=-1, 04:00 to 06:00 (Europe/Berlin)"),
    ],
)  # fmt: skip
def test_a_window_is_told_by_its_days_its_hours_and_its_zone(rule: str, changes: dict[str, Any], words: str) -> None:
    assert render_window(make_rule(rule, **changes), BERLIN) == words


@pytest.mark.parametrize("days", ["MO", "TU,TH", "FR,SA,SU", "MO,TU,WE,TH,FR,SA,SU"])
@pytest.mark.parametrize(("start", "minutes"), [("04:00", 120), ("23:15", 30), ("20:00", 300)])
def test_the_days_and_hours_that_are_told_are_those_at_which_it_is_open(days: str, start: str, minutes: int) -> None:
    rule = make_rule(f"FREQ=WEEKLY;BYDAY={days}", start=start, length_minutes=minutes)
    policy = Policy(time_zone=BERLIN, windows=(rule,))
    now = datetime(2026, 12, 1, tzinfo=UTC)
    found = list_occurrences(policy, "template", now, now + timedelta(days=14))
    words = render_window(rule, BERLIN)
    assert {f"{one.local_start:%A}" for one in found} == {day for day in WEEKDAYS.values() if day in words}
    for one in found:
        end = one.end.astimezone(one.local_start.tzinfo)
        assert f"{one.local_start:%H:%M} to {end:%H:%M}" in words


def test_a_cutoff_is_told_as_the_last_start() -> None:
    assert render_cutoff(make_rule("FREQ=DAILY", cutoff_minutes=30)) == "Nothing starts after 05:30"
    assert render_cutoff(make_rule("FREQ=DAILY", start="23:00", cutoff_minutes=30)) == (
        "Nothing starts after 00:30 on the next day"
    )
    assert render_cutoff(make_rule("FREQ=DAILY")) == ""


@pytest.mark.parametrize(
    ("length", "words"),
    [
        ({}, "no time"),
        ({"seconds": 90}, "1 minute 30 seconds"),
        ({"minutes": 90}, "1 hour 30 minutes"),
        ({"hours": 24}, "24 hours"),
        ({"hours": 72}, "3 days"),
        ({"days": 2, "hours": 1}, "2 days 1 hour"),
    ],
)
def test_a_length_is_told_as_people_say_it(length: dict[str, int], words: str) -> None:
    assert render_length(timedelta(**length)) == words


@pytest.mark.parametrize(
    ("parts", "words"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_a_list_is_told_as_people_say_it(parts: list[str], words: str) -> None:
    assert render_list(parts) == words


def test_a_freeze_says_what_still_starts() -> None:
    freeze = Freeze.model_validate({"name": "x", "first": "2026-12-18", "last": "2027-01-06"})
    assert render_freeze(freeze) == "from 18 December 2026 to 6 January 2027: nothing"
    spares = freeze.model_copy(update={"stops": "all-but-security", "last": freeze.first})
    assert render_freeze(spares) == "on 18 December 2026: security fixes only"


def test_a_ladder_is_told_by_the_interruptions_that_it_is_for() -> None:
    long = Ladder.model_validate({"over": "15m", "leads": ["7d", "24h", "1h"]})
    short = Ladder.model_validate({"leads": ["72h"]})
    assert (render_size(long, False), render_leads(long)) == (
        "an interruption longer than 15 minutes",
        "7 days, 24 hours and 1 hour before",
    )
    assert [render_size(short, is_only) for is_only in (False, True)] == ["a shorter one", "an interruption"]
    assert render_leads(short) == "3 days before"


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"waves": ["10%", "25%", "100%"]}, "one server first, then waves of 10 % and 25 %, then all others"),
        ({"canary": 2, "waves": [5]}, "2 servers first, then 5 servers at a time"),
        ({"canary": "1%", "waves": [3, "50%"]}, "1 % first, then waves of 3 servers, then 50 % at a time"),
    ],
)
def test_waves_are_told_to_the_last_server(rules: dict[str, Any], words: str) -> None:
    assert render_waves(RolloutRules.model_validate(rules)) == words


@pytest.mark.parametrize(
    ("behind", "words"),
    [
        ({"all": True}, "all servers"),
        ({"kinds": ["game"]}, "servers of kind game"),
        ({"nodes": ["n1", "n2"], "lines": ["game-base"]}, "servers of line game-base or on host n1 and n2"),
    ],
)
def test_who_is_behind_a_watched_point_is_said_by_what_is_common_to_them(behind: dict[str, Any], words: str) -> None:
    assert render_behind(Behind.model_validate(behind)) == words


@pytest.mark.parametrize(("failures", "words"), [(1, "one failure"), (3, "3 failures in a row, 30 seconds apart")])
def test_what_counts_as_away_is_said_by_the_number_of_failures(failures: int, words: str) -> None:
    probe = TcpProbe(kind="tcp", port=443, interval=timedelta(seconds=30), needed_failures=failures)
    assert render_threshold(probe) == words


@pytest.mark.parametrize(("number", "words"), [("99.500", "99.5"), ("50", "50"), ("100", "100"), ("0", "0")])
def test_a_number_has_no_noughts_that_say_nothing(number: str, words: str) -> None:
    assert render_number(Decimal(number)) == words
