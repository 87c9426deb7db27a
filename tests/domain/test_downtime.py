"""Rules of a guest's month: what is planned, what counts, what nobody knows, and what is proposed for it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_hooks.domain.availability_rules import AvailabilityRules
from zlh_hooks.domain.credit import propose_credit, reckon_available, render_percent
from zlh_hooks.domain.downtime import Account, Verdict, sort_out
from zlh_hooks.domain.notice import OPERATOR, Customer
from zlh_hooks.domain.outage import Gap, KnownGuest, Outage
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.span import Span, intersect, measure, unite
from zlh_hooks.domain.window_rule import Component
from zlh_hooks.domain.windowed_outage import place_in_windows

START = datetime(2026, 11, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = Span(START, START + timedelta(days=1))
STEPS = [
    {"below_percent": 99.5, "credit_percent": 5},
    {"below_percent": 99, "credit_percent": 15},
    {"below_percent": 97, "credit_percent": 50},
]


def span(begin: int, end: int) -> Span:
    return Span(START + begin * MINUTE, START + end * MINUTE)


def outage(begin: int, end: int, *announced: tuple[int, int]) -> Outage:
    return Outage(5001, span(begin, end), "test", tuple(span(*one) for one in announced))


def gap(begin: int, end: int) -> Gap:
    return Gap(5001, span(begin, end), "test")


def make_rules(**changes: Any) -> AvailabilityRules:
    return AvailabilityRules.model_validate({"goal_percent": 99.5, "credits": STEPS, **changes})


def draw_up(outages: list[Outage], gaps: list[Gap], customer: str = "ann") -> Account:
    who = Customer(customer, customer.title(), frozenset({5001}))
    found = sort_out(DAY, outages, gaps)
    return Account(who, KnownGuest(5001, "game"), DAY, found, tuple(outages), tuple(gaps), make_rules())


# --- inside a window or not


NIGHT = {"name": "night", "rule": "FREQ=DAILY", "start": "00:10", "length_minutes": 30, "cutoff_minutes": 20}
DENIED = {"name": "match", "effect": "deny", "rule": "FREQ=DAILY", "start": "00:20", "length_minutes": 5}


def place(*outages: Outage, windows: tuple[dict[str, Any], ...] = (NIGHT,), **policy: Any) -> list[Outage]:
    return place_in_windows(outages, Policy.model_validate({"time_zone": "UTC", "windows": windows, **policy}))


def test_what_of_an_outage_lay_in_a_window_is_told_its_cutoff_left_aside() -> None:
    early, late, away = place(outage(0, 15), outage(30, 60), outage(50, 60))
    assert (early.in_windows, late.in_windows, away.in_windows) == ((span(10, 15),), (span(30, 40),), ())


def test_what_a_denial_or_a_freeze_takes_out_of_a_window_lies_in_none() -> None:
    (denied,) = place(outage(15, 45), windows=(NIGHT, DENIED))
    assert denied.in_windows == (span(15, 20), span(25, 40))
    freeze = {"name": "feast", "first": "2026-11-01", "last": "2026-11-01", "stops": "all-but-security"}
    frozen, spared = place(outage(10, 20), replace(outage(10, 20), security=True), freezes=[freeze])
    assert (frozen.in_windows, spared.in_windows) == ((), (span(10, 20),))


def test_windows_of_another_component_do_not_count_nor_does_a_policy_without_any() -> None:
    edge = NIGHT | {"components": ["edge"]}
    ours, theirs = place(outage(10, 20), replace(outage(10, 20), component=Component.EDGE), windows=(edge,))
    assert (ours.in_windows, theirs.in_windows) == ((), (span(10, 20),))
    assert place(outage(10, 20), windows=())[0].in_windows == ()


def test_a_moment_lies_in_a_window_only_while_every_outage_of_that_moment_does() -> None:
    found = sort_out(DAY, place(outage(5, 20, (0, 60)), replace(outage(15, 30), component=Component.EDGE),
                                windows=(NIGHT | {"components": ["template"]},)), [])  # fmt: skip
    assert found.in_windows == (span(10, 15),)
    assert (measure(found.planned_in_windows), measure(found.unplanned_in_windows)) == (5 * MINUTE, 0 * MINUTE)


# --- planned, unplanned, unknown


def test_what_was_announced_is_planned_up_to_its_end_and_unplanned_from_that_minute_on() -> None:
    found = sort_out(DAY, [outage(10, 40, (0, 30))], [])
    assert (found.planned, found.unplanned, found.unknown) == ((span(10, 30),), (span(30, 40),), ())


def test_what_nobody_was_told_of_is_unplanned() -> None:
    assert sort_out(DAY, [outage(10, 40)], []).unplanned == (span(10, 40),)


def test_outages_that_overlap_count_once() -> None:
    found = sort_out(DAY, [outage(10, 40), outage(20, 50), outage(50, 60)], [])
    assert measure(found.unplanned) == 50 * MINUTE


def test_an_announced_restart_does_not_hide_another_fault() -> None:
    found = sort_out(DAY, [outage(10, 20, (0, 60)), outage(15, 30)], [])
    assert (found.planned, found.unplanned) == ((span(10, 15),), (span(15, 30),))


def test_where_one_source_knows_nothing_and_another_saw_it_down_it_was_down() -> None:
    found = sort_out(DAY, [outage(10, 20)], [gap(0, 30)])
    assert (found.unplanned, found.unknown) == ((span(10, 20),), (span(0, 10), span(20, 30)))


def test_what_lies_outside_the_time_does_not_count() -> None:
    found = sort_out(span(0, 30), [outage(-10, 5), outage(25, 60), outage(40, 50)], [gap(-5, 100)])
    assert measure(found.unplanned) == 10 * MINUTE
    assert measure(found.unknown) == 20 * MINUTE


lengths = st.tuples(st.integers(-100, 1500), st.integers(1, 300))
bounds = lengths.map(lambda pair: (pair[0], sum(pair)))
outages = st.builds(lambda at, told: outage(*at, *told), bounds, st.lists(bounds, max_size=3))


@given(st.lists(outages, max_size=6), st.lists(bounds.map(lambda one: gap(*one)), max_size=4))
def test_the_parts_share_nothing_and_together_are_all_that_was_not_up(known: list[Outage], gaps: list[Gap]) -> None:
    found = sort_out(DAY, known, gaps)
    parts = (found.planned, found.unplanned, found.unknown)
    whole = intersect([DAY], [*(one.span for one in known), *(one.span for one in gaps)])
    assert sum(map(measure, parts), timedelta(0)) == measure(whole) <= DAY.length
    assert unite(one for part in parts for one in part) == whole
    assert measure((*found.planned, *found.unplanned)) == measure(intersect([DAY], [one.span for one in known]))


@given(st.lists(outages, max_size=5), st.lists(bounds.map(lambda one: gap(*one)), max_size=3), st.integers(1, 1439))
def test_to_split_the_time_changes_no_sum(known: list[Outage], gaps: list[Gap], minute: int) -> None:
    halves = [sort_out(part, known, gaps) for part in (span(0, minute), span(minute, 1440))]
    whole = sort_out(DAY, known, gaps)
    for name in ("planned", "unplanned", "unknown"):
        assert sum((measure(getattr(half, name)) for half in halves), timedelta(0)) == measure(getattr(whole, name))


# --- against the goal


def test_planned_time_takes_nothing_from_the_percentage() -> None:
    assert draw_up([outage(0, 600, (0, 600))], []).available == 100


def test_unplanned_time_does() -> None:
    account = draw_up([outage(0, 144)], [])
    assert (account.available, account.verdict, account.credit_percent) == (90, Verdict.MISSED, 50)


def test_what_nobody_knows_is_neither_up_nor_down_and_the_goal_may_then_be_unknown() -> None:
    account = draw_up([], [gap(0, 144)])
    assert (account.available, account.available_at_worst) == (100, 90)
    assert (account.verdict, account.credit_percent) == (Verdict.UNKNOWN, 0)
    assert draw_up([], []).verdict is Verdict.MET


def test_a_goal_that_is_missed_anyway_is_not_unknown() -> None:
    assert draw_up([outage(0, 144)], [gap(200, 300)]).verdict is Verdict.MISSED


def test_to_meet_the_goal_exactly_is_to_meet_it() -> None:
    length = DAY.length * 5 / 1000
    exact = Outage(5001, Span(START, START + length), "test")
    assert draw_up([exact], []).verdict is Verdict.MET
    longer = replace(exact, span=Span(START, START + length + timedelta(microseconds=1)))
    missed = draw_up([longer], [])
    assert (missed.verdict, missed.credit_percent) == (Verdict.MISSED, 5)
    assert render_percent(missed.available) == "99.499"


def test_a_guest_of_nobody_is_reckoned_and_nobody_is_credited() -> None:
    account = draw_up([outage(0, 144)], [], OPERATOR)
    assert (account.verdict, account.credit_percent) == (Verdict.MISSED, 0)


# --- credit


@pytest.mark.parametrize(
    ("available", "credit"),
    [("100", 0), ("99.5", 0), ("99.499", 5), ("99", 5), ("98.9", 15), ("97", 15), ("96.999", 50), ("0", 50)],
)
def test_the_largest_step_whose_bound_was_missed_decides(available: str, credit: int) -> None:
    assert propose_credit(make_rules(), Fraction(available)) == credit


def test_no_month_is_credited_with_more_than_the_cap() -> None:
    assert propose_credit(make_rules(cap_percent=30), Fraction(0)) == Decimal(30)


def test_without_steps_nothing_is_credited() -> None:
    assert propose_credit(make_rules(credits=[]), Fraction(0)) == 0


@given(st.integers(1, 10**12), st.integers(0, 10**12))
def test_more_downtime_is_never_credited_with_less(length: int, away: int) -> None:
    whole, part = timedelta(microseconds=length), timedelta(microseconds=min(away, length))
    found = reckon_available(whole, part)
    assert 0 <= found <= 100
    assert propose_credit(make_rules(), found) <= propose_credit(make_rules(), found / 2)
    assert Fraction(render_percent(found)) <= found < Fraction(render_percent(found)) + Fraction(1, 1000)
