"""What the launch gate asks of the dead man's switch: each thing that is missing is a red line of its own."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.clock import START
from zlh_hooks.domain.dead_man_point import PROMISE, TESTED, DeadManReach, judge_dead_man
from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.point import Point
from zlh_hooks.domain.rollout_rules import RolloutRules

WHOLE = DeadManReach(("mail", "webhook"), heartbeat=True, is_second=True, looked_at=START)
LEASE = RolloutRules().lease


def judge(reach: DeadManReach | None, tested: timedelta = timedelta(0), lease: timedelta = LEASE) -> tuple[Point, ...]:
    entries = [Entry(1, START - tested, Kind.EVIDENCE, TESTED, "", None, {}, "", "")]
    return tuple(judge_dead_man(reach, entries, lease, START))


MISSING: list[tuple[dict[str, Any], str]] = [
    ({"heartbeat": False}, "dead-man.heartbeat"),
    ({"channels": ()}, "dead-man.channel"),
    ({"is_second": False}, "dead-man.channel"),
    ({"looked_at": None}, "dead-man.timer"),
    ({"looked_at": START - PROMISE - timedelta(seconds=1)}, "dead-man.timer"),
]


@pytest.mark.parametrize(("changed", "name"), MISSING)
def test_what_is_missing_is_red_by_its_name_and_says_what_makes_it_green(changed: dict[str, Any], name: str) -> None:
    (point,) = judge(replace(WHOLE, **changed))
    assert (point.name, point.is_green, bool(point.act)) == (name, False, True)


def test_whoever_configured_none_is_told_so_first() -> None:
    (point,) = judge(None)
    assert (point.name, point.found) == ("dead-man", "nobody is told when the worker is dead")
    assert "[dead_man]" in point.act


def test_a_way_that_was_not_tried_for_a_month_may_not_work_tonight() -> None:
    (point,) = judge(WHOLE, tested=timedelta(days=31))
    assert (point.name, point.commands) == ("dead-man.test", ("zlh-hooks dead-man --test",))


@pytest.mark.parametrize(("seconds", "names"), [(210, {"dead-man"}), (211, {"dead-man.time"})])
def test_a_lease_so_long_that_ten_minutes_are_not_kept_is_red(seconds: int, names: set[str]) -> None:
    assert {point.name for point in judge(WHOLE, lease=timedelta(seconds=seconds))} == names


def test_with_all_of_it_one_green_line_says_who_is_told_how_soon() -> None:
    (point,) = judge(WHOLE)
    assert (point.is_green, point.found) == (True, "tells by mail, webhook and heartbeat, within 7.5 minutes at worst")


def test_a_switch_that_cannot_keep_its_memory_is_not_called_one_that_does_not_look() -> None:
    (point,) = judge(replace(WHOLE, looked_at=None))
    assert point.found == "no look is remembered: none since the boot"
    assert "journalctl -u zlh-hooks-dead-man" in point.act
