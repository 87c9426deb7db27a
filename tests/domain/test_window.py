"""Rules of windows: when restricted work may start, over changes of clocks, midnight, freezes, denials and cutoffs."""

import time
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from zlh_hooks.domain.policy import Component, Policy
from zlh_hooks.domain.window import (
    HORIZON,
    decide,
    find_denial,
    list_hints,
    list_occurrences,
    next_occurrence,
)

NIGHT = {"name": "night", "rule": "FREQ=DAILY", "start": "04:00", "length_minutes": 120, "cutoff_minutes": 20}
BERLIN, NEW_YORK, SYDNEY, SANTIAGO = "Europe/Berlin", "America/New_York", "Australia/Sydney", "America/Santiago"


def make_policy(*windows: dict[str, Any], zone: str = BERLIN, freezes: list[dict[str, Any]] | None = None) -> Policy:
    return Policy.model_validate({"time_zone": zone, "windows": windows, "freezes": freezes or []})


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def starts_on(policy: Policy, day: str, component: str = "template") -> list[Any]:
    """Occurrences whose local start lies on that date."""
    near = utc(day)
    found = list_occurrences(policy, component, near - timedelta(days=3), near + timedelta(days=3))
    return [one for one in found if f"{one.local_start:%Y-%m-%d}" == day]


# ------------------------------------------------------------------------------------------------- changes of clocks

GAPS = [
    (BERLIN, "2027-03-28", "02:30", "03:30", "2027-03-28T01:30"),
    (NEW_YORK, "2027-03-14", "02:30", "03:30", "2027-03-14T07:30"),
    (SYDNEY, "2027-10-03", "02:30", "03:30", "2027-10-02T16:30"),
    (SANTIAGO, "2027-09-05", "00:15", "01:15", "2027-09-05T04:15"),
]
FOLDS = [
    (BERLIN, "2027-10-31", "02:30", "2027-10-31T00:30"),
    (NEW_YORK, "2027-11-07", "01:30", "2027-11-07T05:30"),
    (SYDNEY, "2027-04-04", "02:30", "2027-04-03T15:30"),
    (SANTIAGO, "2027-04-03", "23:30", "2027-04-04T02:30"),
]


@pytest.mark.parametrize(("zone", "day", "wanted", "shown", "instant"), GAPS)
def test_a_start_that_clocks_skip_comes_later_by_the_gap_and_says_so(
    zone: str, day: str, wanted: str, shown: str, instant: str
) -> None:
    [found] = starts_on(make_policy(NIGHT | {"start": wanted}, zone=zone), day)
    assert found.start == utc(instant)
    assert f"{found.local_start:%H:%M}" == shown
    assert found.moved and f"clocks skip {wanted}" in found.moved and shown in found.moved


@pytest.mark.parametrize(("zone", "day", "wanted", "shown", "instant"), GAPS)
def test_a_window_may_leave_out_the_date_on_which_clocks_skip_its_start(
    zone: str, day: str, wanted: str, shown: str, instant: str
) -> None:
    policy = make_policy(NIGHT | {"start": wanted, "on_gap": "skip"}, zone=zone)
    near = utc(instant)
    found = list_occurrences(policy, "template", near - timedelta(days=2), near + timedelta(days=2))
    dates = [one.local_start.date() for one in found]
    left_out = date.fromisoformat(day)
    assert left_out not in dates
    assert {left_out - timedelta(days=1), left_out + timedelta(days=1)} <= set(dates)


@pytest.mark.parametrize(("zone", "day", "wanted", "instant"), FOLDS)
def test_a_start_that_clocks_show_twice_is_the_first_and_says_so(
    zone: str, day: str, wanted: str, instant: str
) -> None:
    [found] = starts_on(make_policy(NIGHT | {"start": wanted}, zone=zone), day)
    assert found.start == utc(instant)
    assert found.moved and f"clocks show {wanted} twice" in found.moved


@pytest.mark.parametrize(("zone", "day"), [(case[0], case[1]) for case in (*GAPS, *FOLDS)])
def test_a_window_over_a_change_of_clocks_is_as_long_as_any_other(zone: str, day: str) -> None:
    policy = make_policy(NIGHT | {"start": "00:45", "length_minutes": 300}, zone=zone)
    [found] = starts_on(policy, day)
    assert found.end - found.start == timedelta(hours=5)
    assert found.cutoff == found.end - timedelta(minutes=20)


def test_a_window_on_a_usual_date_has_nothing_to_say_about_clocks() -> None:
    [found] = starts_on(make_policy(NIGHT), "2027-03-27")
    assert (found.start, found.moved) == (utc("2027-03-27T03:00"), None)


def test_a_window_may_have_a_zone_of_its_own() -> None:
    [found] = starts_on(make_policy(NIGHT | {"time_zone": SYDNEY}), "2027-01-10")
    assert found.start == utc("2027-01-09T17:00")


def test_a_date_that_a_zone_left_out_is_made_up_for_at_once() -> None:
    """Samoa had no 30 December 2011."""
    policy = make_policy(NIGHT | {"rule": "FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=30"}, zone="Pacific/Apia")
    [found] = list_occurrences(policy, "template", utc("2011-12-01"), utc("2012-01-31"))
    assert f"{found.local_start:%Y-%m-%d %H:%M}" == "2011-12-31 04:00"


# ------------------------------------------------------------------------------------------------------ on the clock


def test_a_window_includes_its_start_and_not_its_end() -> None:
    policy = make_policy(NIGHT | {"cutoff_minutes": 0})
    answers = [
        decide(policy, "template", utc(f"2026-11-24T{at}"), timedelta(0)).allowed
        for at in ("02:59:59", "03:00", "04:59:59", "05:00")
    ]
    assert answers == [False, True, True, False]


def test_a_friday_window_over_midnight_is_open_early_on_saturday_and_not_early_on_friday() -> None:
    policy = make_policy(NIGHT | {"rule": "FREQ=WEEKLY;BYDAY=FR", "start": "22:00", "length_minutes": 240})
    assert decide(policy, "template", utc("2026-11-28T00:00"), timedelta(0)).allowed  # Saturday 01:00 in Berlin
    assert not decide(policy, "template", utc("2026-11-27T00:00"), timedelta(0)).allowed


def test_something_may_start_at_the_cutoff_and_nothing_after_it() -> None:
    policy = make_policy(NIGHT)
    assert decide(policy, "template", utc("2026-11-24T04:40"), timedelta(0)).allowed
    late = decide(policy, "template", utc("2026-11-24T04:40:01"), timedelta(0))
    assert (late.allowed, late.until) == (False, utc("2026-11-25T03:00"))
    assert late.rule == "nothing starts in window 'night' after its cutoff at 2026-11-24 05:40 CET"


def test_what_does_not_fit_before_the_end_waits_for_the_next_window() -> None:
    policy = make_policy(NIGHT)
    needs = timedelta(minutes=45)
    assert decide(policy, "template", utc("2026-11-24T04:15"), needs).allowed
    late = decide(policy, "template", utc("2026-11-24T04:15:01"), needs)
    assert (late.allowed, late.until) == (False, utc("2026-11-25T03:00"))
    assert late.rule == "what takes 45m no longer fits into window 'night', usable until 2026-11-24 06:00 CET"


def test_what_is_longer_than_every_window_is_never_allowed_and_told_so() -> None:
    refusal = decide(make_policy(NIGHT), "template", utc("2026-11-24T03:00"), timedelta(hours=3))
    assert (refusal.allowed, refusal.until, refusal.window) == (False, None, None)
    assert refusal.rule == "no window for template is as long as the work: 3h; the longest has 2h"


def test_outside_a_window_the_answer_says_when_the_next_one_opens() -> None:
    refusal = decide(make_policy(NIGHT), "template", utc("2026-11-24T12:00"), timedelta(0))
    assert (refusal.rule, refusal.until) == ("outside every window for template", utc("2026-11-25T03:00"))


def test_an_answer_stays_the_same_sentence_while_its_reason_does() -> None:
    policy = make_policy(NIGHT)
    at = [utc("2026-11-24T04:50") + second * timedelta(seconds=1) for second in range(5)]
    assert len({decide(policy, "template", now, timedelta(minutes=15)).rule for now in at}) == 1


def test_without_a_window_nothing_is_allowed() -> None:
    refusal = decide(make_policy(), "template", utc("2026-11-24T03:00"), timedelta(0))
    assert (refusal.allowed, refusal.until) == (False, None)
    assert refusal.rule == "no window of the policy allows template"


def test_a_window_is_only_for_its_components() -> None:
    policy = make_policy(NIGHT | {"components": ["pbs"]})
    assert decide(policy, "pbs", utc("2026-11-24T03:30"), timedelta(0)).allowed
    assert not decide(policy, Component.TEMPLATE, utc("2026-11-24T03:30"), timedelta(0)).allowed


def test_a_component_that_does_not_exist_is_an_error_and_not_a_closed_window() -> None:
    with pytest.raises(ValueError, match="templates"):
        decide(make_policy(NIGHT), "templates", utc("2026-11-24T03:30"), timedelta(0))


def test_of_two_open_windows_the_one_with_room_decides() -> None:
    short = NIGHT | {"name": "short", "length_minutes": 60, "cutoff_minutes": 0}
    policy = make_policy(short, NIGHT | {"name": "long", "start": "04:30", "length_minutes": 180})
    answer = decide(policy, "template", utc("2026-11-24T03:50"), timedelta(minutes=30))
    assert answer.allowed and answer.window and answer.window.name == "long"


# ------------------------------------------------------------------------------------------------ denials and freezes


def test_deny_wins_over_allow() -> None:
    deny = {
        "name": "billing",
        "effect": "deny",
        "rule": "FREQ=MONTHLY;BYMONTHDAY=1",
        "start": "00:00",
        "length_minutes": 720,
    }
    policy = make_policy(NIGHT, deny)
    refusal = decide(policy, "template", utc("2026-12-01T03:30"), timedelta(0))
    assert (refusal.allowed, refusal.until) == (False, utc("2026-12-02T03:00"))
    assert refusal.rule == "deny window 'billing' until 2026-12-01 12:00 CET"


def test_a_denial_that_begins_inside_a_window_ends_it_cutoff_and_all() -> None:
    deny = {"name": "backup", "effect": "deny", "rule": "FREQ=DAILY", "start": "05:00", "length_minutes": 30}
    policy = make_policy(NIGHT, deny)
    assert decide(policy, "template", utc("2026-11-24T03:40"), timedelta(minutes=20)).allowed
    late = decide(policy, "template", utc("2026-11-24T03:41"), timedelta(minutes=20))
    assert (late.allowed, late.until) == (False, utc("2026-11-24T04:30"))
    assert "cutoff at 2026-11-24 04:40 CET" in late.rule
    longer = decide(policy, "template", utc("2026-11-24T03:41"), timedelta(minutes=25))
    assert longer.rule.endswith("usable until 2026-11-24 05:00 CET, when deny window 'backup' begins")


def test_after_a_denial_the_rest_of_the_window_is_still_the_same_window() -> None:
    deny = {"name": "backup", "effect": "deny", "rule": "FREQ=DAILY", "start": "04:30", "length_minutes": 30}
    answer = decide(make_policy(NIGHT, deny), "template", utc("2026-11-24T04:10"), timedelta(0))
    assert answer.allowed and answer.window and answer.window.start == utc("2026-11-24T03:00")


def test_a_short_denial_inside_a_long_one_does_not_end_it() -> None:
    long = {"name": "long", "effect": "deny", "rule": "FREQ=DAILY", "start": "04:00", "length_minutes": 90}
    short = long | {"name": "short", "start": "04:10", "length_minutes": 10}
    refusal = decide(make_policy(NIGHT, long, short), "template", utc("2026-11-24T03:30"), timedelta(0))
    assert (refusal.allowed, refusal.until) == (False, utc("2026-11-24T04:30"))


def test_work_starts_in_the_first_stretch_that_is_long_enough_whichever_window_it_belongs_to() -> None:
    """The early window has room before the denial no more, the late one has; after it both do."""
    deny = {"name": "backup", "effect": "deny", "rule": "FREQ=DAILY", "start": "08:00", "length_minutes": 30}
    early = NIGHT | {"name": "early", "length_minutes": 600, "cutoff_minutes": 200}
    late = NIGHT | {"name": "late", "start": "05:00", "length_minutes": 300, "cutoff_minutes": 0}
    answer = decide(make_policy(early, late, deny), "template", utc("2026-11-24T03:45"), timedelta(hours=1))
    assert (answer.until, answer.window and answer.window.name) == (utc("2026-11-24T04:00"), "late")


def test_a_window_with_room_now_is_not_given_up_for_one_that_has_room_later() -> None:
    deny = {"name": "backup", "effect": "deny", "rule": "FREQ=DAILY", "start": "05:00", "length_minutes": 10}
    later = NIGHT | {"name": "later", "start": "04:15", "length_minutes": 240, "cutoff_minutes": 60}
    answer = decide(make_policy(NIGHT, later, deny), "template", utc("2026-11-24T03:30"), timedelta(0))
    assert answer.allowed and answer.window and answer.window.name == "night"


def test_a_window_of_days_is_still_open_on_its_last_one() -> None:
    week = NIGHT | {"rule": "FREQ=MONTHLY;BYMONTHDAY=1", "length_minutes": 7 * 1440}
    assert decide(make_policy(week), "template", utc("2026-12-08T02:00"), timedelta(0)).allowed
    assert not decide(make_policy(week), "template", utc("2026-12-08T03:00"), timedelta(0)).allowed


def test_a_denial_for_another_component_changes_nothing() -> None:
    deny = {
        "name": "pbs",
        "effect": "deny",
        "components": ["pbs"],
        "rule": "FREQ=DAILY",
        "start": "00:00",
        "length_minutes": 1440,
    }
    assert decide(make_policy(NIGHT, deny), "template", utc("2026-11-24T03:30"), timedelta(0)).allowed


FREEZE = {"name": "holidays", "first": "2026-12-23", "last": "2027-01-03", "reason": "nobody in the office"}


@pytest.mark.parametrize(
    ("now", "allowed"),
    [("2026-12-22T22:59", True), ("2026-12-22T23:00", False), ("2027-01-03T22:59", False), ("2027-01-03T23:00", True)],
)
def test_a_freeze_covers_its_first_and_last_local_date_whole(now: str, allowed: bool) -> None:
    always = NIGHT | {"start": "00:00", "length_minutes": 1440, "cutoff_minutes": 0}
    assert decide(make_policy(always, freezes=[FREEZE]), "template", utc(now), timedelta(0)).allowed is allowed


def test_a_freeze_is_named_with_its_reason_and_its_end() -> None:
    refusal = decide(make_policy(NIGHT, freezes=[FREEZE]), "template", utc("2026-12-25T03:30"), timedelta(0))
    assert refusal.rule == "freeze 'holidays' (nobody in the office) until 2027-01-04 00:00 CET"
    assert refusal.until == utc("2027-01-04T03:00")


SPARING = FREEZE | {"stops": "all-but-security"}


@pytest.mark.parametrize(
    ("freeze", "security", "allowed"), [(FREEZE, True, False), (SPARING, True, True), (SPARING, False, False)]
)
def test_a_freeze_lets_security_fixes_through_only_if_it_says_so(
    freeze: dict[str, Any], security: bool, allowed: bool
) -> None:
    now, policy = utc("2026-12-25T03:30"), make_policy(NIGHT, freezes=[freeze])
    assert decide(policy, "template", now, timedelta(0), security=security).allowed is allowed
    following = next_occurrence(policy, "template", now, security=security)
    assert following is not None and (following.start < utc("2027-01-01")) is allowed


def test_a_security_fix_waits_for_windows_and_denials_as_all_else_does() -> None:
    deny = NIGHT | {"name": "weekend", "effect": "deny", "rule": "FREQ=WEEKLY;BYDAY=FR", "cutoff_minutes": 0}
    policy = make_policy(NIGHT, deny, freezes=[SPARING])
    outside, denied = utc("2026-12-24T12:00"), utc("2026-12-25T03:30")
    assert not any(decide(policy, "template", now, timedelta(0), security=True).allowed for now in (outside, denied))


def test_a_freeze_that_spares_security_says_so_to_whoever_it_refuses() -> None:
    refusal = decide(make_policy(NIGHT, freezes=[SPARING]), "template", utc("2026-12-25T03:30"), timedelta(0))
    assert refusal.rule == "freeze 'holidays' (nobody in the office; security fixes go on) until 2027-01-04 00:00 CET"


def test_a_frozen_date_is_the_policys_date_and_not_that_of_a_windows_own_zone() -> None:
    policy = make_policy(NIGHT | {"time_zone": SYDNEY, "start": "20:00"}, freezes=[FREEZE])
    answer = decide(policy, "template", utc("2026-12-23T09:30"), timedelta(0))  # 20:30 in Sydney, 10:30 in Berlin
    assert not answer.allowed


def test_a_frozen_date_without_a_midnight_begins_when_the_clocks_have_moved() -> None:
    always = NIGHT | {"start": "12:00", "length_minutes": 1440, "cutoff_minutes": 0}
    frozen = {"name": "fiestas", "first": "2027-09-05", "last": "2027-09-05"}
    policy = make_policy(always, zone=SANTIAGO, freezes=[frozen])
    answers = [
        decide(policy, "template", utc(at), timedelta(0)).allowed
        for at in ("2027-09-05T03:59", "2027-09-05T04:00", "2027-09-06T02:59", "2027-09-06T03:00")
    ]
    assert answers == [True, False, False, True]


def test_a_window_that_is_denied_from_end_to_end_is_not_the_next_one() -> None:
    found = next_occurrence(make_policy(NIGHT, freezes=[FREEZE]), "template", utc("2026-12-23T12:00"))
    assert found and found.start == utc("2027-01-04T03:00")


def test_the_list_holds_denials_and_freezes_too_in_order() -> None:
    found = list_occurrences(
        make_policy(NIGHT, freezes=[FREEZE]), None, utc("2026-12-21T12:00"), utc("2026-12-23T12:00")
    )
    assert [(one.effect, f"{one.local_start:%d %H:%M}") for one in found] == [
        ("allow", "22 04:00"),
        ("freeze", "23 00:00"),
        ("allow", "23 04:00"),
    ]


# ----------------------------------------------------------------------------------------- rules that match rarely


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MONTHLY;BYDAY=6MO",
        "FREQ=WEEKLY;BYDAY=MO;BYMONTH=2;BYMONTHDAY=30",
    ],
)
def test_a_rule_that_never_matches_is_answered_at_once_and_said(rule: str) -> None:
    policy = make_policy(NIGHT | {"rule": rule})
    began = time.process_time()
    now = utc("2026-11-24T03:00")
    assert decide(policy, "template", now, timedelta(0)).until is None
    assert next_occurrence(policy, "template", now) is None
    assert "window 'night' has no date within the next 5 years" in list_hints(policy, now)
    assert time.process_time() - began < 2


def test_a_rule_whose_interval_misses_its_weekday_for_ever_ends_too() -> None:
    policy = make_policy(NIGHT | {"rule": "FREQ=DAILY;INTERVAL=7;BYDAY=TU", "anchor": "2026-11-23"})
    assert next_occurrence(policy, "template", utc("2026-11-24T03:00")) is None


def test_a_leap_day_is_found_years_ahead() -> None:
    policy = make_policy(NIGHT | {"rule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29"})
    found = next_occurrence(policy, "template", utc("2028-03-01T00:00"))
    assert found and found.start == utc("2032-02-29T03:00")


def test_what_lies_beyond_the_horizon_is_not_listed() -> None:
    now = utc("2026-11-24T00:00")
    found = list_occurrences(make_policy(NIGHT), "template", now, now + 2 * HORIZON)
    assert found[-1].start < now + HORIZON


def test_a_component_that_no_window_allows_is_hinted_at() -> None:
    [hint] = list_hints(make_policy(NIGHT | {"components": ["template", "agent"]}), utc("2026-11-24T00:00"))
    assert "pve-host" in hint and "template" not in hint


# ------------------------------------------------------------------------------------------------ against the oracle

ZONES = (BERLIN, NEW_YORK, SYDNEY, SANTIAGO, "Australia/Lord_Howe", "Asia/Kolkata", "UTC")
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
weekdays = st.lists(st.sampled_from(WEEKDAYS), min_size=1, max_size=3, unique=True).map(",".join)
rules = st.one_of(
    st.just("FREQ=DAILY"),
    weekdays.map("FREQ=WEEKLY;BYDAY={}".format),
    st.tuples(st.sampled_from((1, 2, 3, 4, -1)), st.sampled_from(WEEKDAYS)).map(
        lambda pair: f"FREQ=MONTHLY;BYDAY={pair[0]}{pair[1]}"
    ),
    st.integers(-5, 31).filter(bool).map("FREQ=MONTHLY;BYMONTHDAY={}".format),
    st.tuples(weekdays, st.sampled_from((1, -1))).map(lambda pair: f"FREQ=MONTHLY;BYDAY={pair[0]};BYSETPOS={pair[1]}"),
    st.tuples(st.integers(1, 12), st.integers(1, 31)).map(
        lambda pair: f"FREQ=YEARLY;BYMONTH={pair[0]};BYMONTHDAY={pair[1]}"
    ),
)
anchors = st.dates(date(2024, 1, 1), date(2026, 12, 31))
intervals = st.one_of(st.tuples(rules, st.integers(1, 4), anchors), st.tuples(rules, st.just(1), st.none()))


def resolve_by_search(local: datetime, zone: ZoneInfo) -> datetime:
    """The first instant at which that zone's clock shows ``local``, else the one that far behind the gap's begin.

    Goes through instants and asks what the clock shows, so that it shares no rule with the product.
    """
    instants = [local.replace(tzinfo=UTC) + quarter * timedelta(minutes=15) for quarter in range(-60, 61)]
    shown = [instant.astimezone(zone).replace(tzinfo=None) for instant in instants]
    for instant, clock in zip(instants, shown, strict=True):
        if clock == local:
            return instant
    before = max(instant for instant, clock in zip(instants, shown, strict=True) if clock < local)
    return before + (local - before.astimezone(zone).replace(tzinfo=None))


@settings(max_examples=150, deadline=None)
@given(
    drawn=intervals,
    zone=st.sampled_from(ZONES),
    quarter=st.integers(0, 95),
    after=st.datetimes(datetime(2027, 1, 1), datetime(2029, 12, 31)),  # noqa: DTZ001
    days=st.integers(1, 120),
)
def test_starts_are_those_of_dateutil_on_naive_times_resolved_one_by_one(
    drawn: tuple[str, int, date | None], zone: str, quarter: int, after: datetime, days: int
) -> None:
    rule, interval, anchor = drawn
    start = clock_time(quarter // 4, quarter % 4 * 15)
    text = f"{rule};INTERVAL={interval}"
    window = NIGHT | {"rule": text, "start": f"{start:%H:%M}", "anchor": anchor, "time_zone": zone}
    begin, end = after.replace(tzinfo=UTC), after.replace(tzinfo=UTC) + timedelta(days=days)
    found = [one.start for one in list_occurrences(make_policy(window), "template", begin, end) if one.start >= begin]
    naive = rrulestr(text, dtstart=datetime.combine(anchor or date(2026, 1, 1), start))
    margin = timedelta(days=2)
    expected = [
        resolve_by_search(local, ZoneInfo(zone))
        for local in naive.between(after - margin, after + margin + timedelta(days=days))
    ]
    assert found == [instant for instant in expected if begin <= instant < end]


@settings(max_examples=60, deadline=None)
@given(
    rule=rules,
    zone=st.sampled_from(ZONES),
    now=st.datetimes(datetime(2027, 1, 1), datetime(2028, 12, 31)),  # noqa: DTZ001
    needs=st.integers(0, 150),
)
def test_what_is_promised_for_later_is_allowed_then_and_not_a_second_earlier(
    rule: str, zone: str, now: datetime, needs: int
) -> None:
    deny = {"name": "deny", "effect": "deny", "rule": "FREQ=WEEKLY;BYDAY=TU", "start": "04:30", "length_minutes": 2000}
    policy = make_policy(NIGHT | {"rule": rule}, deny, zone=zone, freezes=[FREEZE | {"last": "2027-03-01"}])
    work = timedelta(minutes=needs)
    answer = decide(policy, "template", now.replace(tzinfo=UTC), work)
    if answer.until is not None:
        then = decide(policy, "template", answer.until, work)
        assert then.allowed and then.window == answer.window
        assert not decide(policy, "template", answer.until - timedelta(seconds=1), work).allowed


# ------------------------------------------------------------------------------------------------------- denied times


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ("2026-12-19T22:50", None),
        ("2026-12-19T22:51", "freeze 'sale' from 2026-12-20 00:00 CET"),
        ("2026-12-20T12:00", "freeze 'sale' until 2026-12-21 00:00 CET"),
        ("2026-12-20T23:00", None),
        ("2026-12-23T11:55", "deny window 'noon' from 2026-12-23 13:00 CET"),
    ],
)
def test_what_denies_work_is_known_from_so_long_before_as_the_work_takes(now: str, said: str | None) -> None:
    noon = NIGHT | {
        "name": "noon",
        "start": "13:00",
        "effect": "deny",
        "rule": "FREQ=DAILY;BYDAY=WE",
        "cutoff_minutes": 0,
    }
    policy = make_policy(noon, freezes=[{"name": "sale", "first": "2026-12-20", "last": "2026-12-20"}])
    assert find_denial(policy, "template", utc(now), timedelta(minutes=10)) == said


def test_a_freeze_that_lets_security_fixes_through_denies_them_nothing() -> None:
    sale = {"name": "sale", "first": "2026-12-20", "last": "2026-12-20", "stops": "all-but-security"}
    policy, noon = make_policy(NIGHT, freezes=[sale]), utc("2026-12-20T12:00")
    assert find_denial(policy, "template", noon, timedelta(minutes=10)) is not None
    assert find_denial(policy, "template", noon, timedelta(minutes=10), security=True) is None
