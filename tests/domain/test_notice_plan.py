"""Rounds of notices: in a window of the policy, never sooner than promised, also in nights when clocks change."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from zlh_hooks.domain.notice import Round
from zlh_hooks.domain.notice_book import NoticeBook, parse_round, render_round
from zlh_hooks.domain.notice_plan import RoundPlanner
from zlh_hooks.domain.notice_rules import NoticeRules
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.progress import Progress, TargetProgress
from zlh_hooks.domain.steps import RolloutState, TargetState
from zlh_hooks.domain.window import decide
from zlh_hooks.domain.window_rule import Component

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PROMISE = 72 * HOUR
LADDERS = [{"over": "0s", "leads": ["72h", "24h", "1h"]}, {"over": "15m", "leads": ["7d", "24h", "1h"]}]
CHANGES_OF_CLOCKS = {
    "Europe/Berlin": (date(2027, 3, 28), date(2027, 10, 31)),
    "America/New_York": (date(2027, 3, 14), date(2027, 11, 7)),
    "Australia/Sydney": (date(2027, 4, 4), date(2027, 10, 3)),
}
NIGHTS = [(zone, night) for zone, nights in CHANGES_OF_CLOCKS.items() for night in nights]


def make_policy(zone: str, start: str, **more: Any) -> Policy:
    window = {"name": "night", "rule": "FREQ=DAILY", "start": start, "length_minutes": 120, "cutoff_minutes": 30}
    line = {"data_paths": ["/data"], "probes": [{"kind": "agent"}]}
    kinds = {"game": {"vmids": ["5000-5999"], "line": "game-base"}}
    data = {"time_zone": zone, "windows": [window], "lines": {"game-base": line}, "kinds": kinds, **more}
    return Policy.model_validate(data)


def make_progress(policy: Policy, state: TargetState = TargetState.STAGED) -> Progress:
    """Two guests, both as far as ``state``."""
    targets = [{"vmid": 5001 + n, "node": "n1", "name": f"g{n}", "from_version": "1", "wave": n} for n in range(2)]
    plan = Plan.model_validate(
        {
            "id": "r1",
            "release": {"line": "game-base", "version": "2", "templates": {"n1": 9001}},
            "previous": "1",
            "targets": targets,
            "left_out": [],
            "rules": policy.rollout,
            "line": policy.lines["game-base"],
            "scratch_vmids": policy.scratch_vmids,
            "author": "tester",
            "created": datetime(2027, 1, 1, tzinfo=UTC),
        }
    )
    rows = tuple(TargetProgress(target, state, "", None, None, False) for target in plan.targets)
    return Progress(plan, RolloutState.RUNNING, "", "", rows, 0, 0, None)


def plan_first(policy: Policy, now: datetime, promise: timedelta = PROMISE) -> tuple[Round, ...]:
    planner = RoundPlanner(policy, Component.TEMPLATE, promise, timedelta(minutes=6))
    return planner.plan_rounds(make_progress(policy), NoticeBook(), {5001: "ann", 5002: "bob"}, now)


@pytest.mark.parametrize(("zone", "night"), NIGHTS, ids=[f"{zone}-{night:%m-%d}" for zone, night in NIGHTS])
@pytest.mark.parametrize("start", ["01:30", "02:30"])
def test_around_a_change_of_clocks_no_round_is_sooner_than_promised_or_outside_its_window(
    zone: str, night: date, start: str
) -> None:
    policy = make_policy(zone, start)
    midnight = datetime.combine(night, time(), ZoneInfo(zone)).astimezone(UTC)
    for hours in range(-96, 6):
        now = midnight + hours * HOUR
        (made,) = plan_first(policy, now)
        assert made.start >= now + PROMISE
        assert made.start - now < PROMISE + 25 * HOUR
        assert decide(policy, "template", made.start, timedelta(minutes=6)).allowed
        assert made.end - made.start <= 2 * HOUR


def test_a_round_survives_the_ledger() -> None:
    (made,) = plan_first(make_policy("UTC", "04:00"), datetime(2027, 1, 1, tzinfo=UTC))
    assert parse_round(render_round(made)) == made


def test_a_round_that_was_deferred_survives_the_ledger_and_one_from_before_deferrals_is_read() -> None:
    (made,) = plan_first(make_policy("UTC", "04:00"), datetime(2027, 1, 1, tzinfo=UTC))
    deferred = replace(made, deferred_until=made.start, follows=7)
    assert parse_round(render_round(deferred)) == deferred
    assert deferred.event_number == 7
    old = {key: value for key, value in render_round(made).items() if key not in ("deferred_until", "follows")}
    assert parse_round(old) == made


def test_nobody_is_told_while_it_is_not_known_which_guests_can_be_changed() -> None:
    policy = make_policy("UTC", "04:00")
    planner = RoundPlanner(policy, Component.TEMPLATE, PROMISE, HOUR)
    now = datetime(2027, 1, 1, tzinfo=UTC)
    assert planner.plan_rounds(make_progress(policy, TargetState.PENDING), NoticeBook(), {}, now) == ()


def test_a_policy_without_a_window_makes_no_round() -> None:
    assert plan_first(make_policy("UTC", "04:00", windows=[]), datetime(2027, 1, 1, tzinfo=UTC)) == ()


def test_a_freeze_that_was_added_after_the_notice_moves_the_round() -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)
    (made,) = plan_first(make_policy("UTC", "04:00"), now)
    freeze = {"name": "fair", "first": made.start.date().isoformat(), "last": made.start.date().isoformat()}
    policy = make_policy("UTC", "04:00", freezes=[freeze])
    planner = RoundPlanner(policy, Component.TEMPLATE, PROMISE, timedelta(minutes=6))
    book = NoticeBook(rounds={made.number: made})
    (moved,) = planner.plan_rounds(make_progress(policy), book, {5001: "ann", 5002: "bob"}, now + HOUR)
    assert (moved.number, moved.sequence) == (made.number, 1)
    assert moved.start >= made.start + DAY
    assert moved.start >= now + HOUR + PROMISE


@pytest.mark.parametrize(("minutes", "promise"), [(1, 72 * HOUR), (15, 72 * HOUR), (16, 7 * DAY), (600, 7 * DAY)])
def test_a_long_interruption_is_announced_earlier(minutes: int, promise: timedelta) -> None:
    rules = NoticeRules.model_validate({"ladders": LADDERS})
    assert rules.ladder_for(timedelta(minutes=minutes)).promise == promise


@pytest.mark.parametrize(
    ("ladders", "words"),
    [
        ([{"over": "0s", "leads": ["1h", "24h"]}], "longest to the shortest"),
        ([{"over": "0s", "leads": []}], "at least 1 item"),
        ([{"over": "15m", "leads": ["7d"]}], 'one with over = "0s"'),
        ([LADDERS[0], LADDERS[0]], "a length that no other ladder has"),
    ],
)
def test_ladders_that_promise_nothing_clear_are_refused(ladders: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        NoticeRules.model_validate({"ladders": ladders})
