"""The sign that a guest is in work: how long it stands at most, and when it counts."""

from datetime import UTC, datetime, timedelta

import pytest

from zlh_hooks.domain import tag
from zlh_hooks.domain.busy import is_busy, needed_to_prove, needed_to_restart, render_sign
from zlh_hooks.domain.rollout_rules import RolloutRules

NOW = datetime(2026, 11, 27, 17, 5, 30, tzinfo=UTC)


def test_a_sign_lasts_for_a_restart_and_a_proof_as_the_rules_bound_them_and_one_or_two_minutes_more() -> None:
    rules = RolloutRules.model_validate({"shutdown_timeout": "2m", "start_timeout": "3m", "healthy_deadline": "5m"})
    assert render_sign(rules, NOW) == "zlh-busy.20261127t1717z"
    assert (needed_to_restart(rules), needed_to_prove(rules)) == (timedelta(minutes=10), timedelta(minutes=5))


def test_a_guest_is_busy_up_to_the_end_of_its_sign_and_the_latest_of_several_counts() -> None:
    tags = ("zlh-rollout.r1", "zlh-busy.20261127t1706z", "zlh-busy.20261127t1710z")
    assert is_busy(tags, datetime(2026, 11, 27, 17, 10, tzinfo=UTC))
    assert not is_busy(tags, datetime(2026, 11, 27, 17, 11, tzinfo=UTC))


@pytest.mark.parametrize("end", ["", "20261327t1706z", "99991231", "for-ever"])
def test_a_sign_that_nobody_can_read_keeps_nobody_waiting(end: str) -> None:
    assert not is_busy((tag.BUSY + end,), NOW)
