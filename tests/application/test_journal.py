"""The record of a target's steps: nothing is written into it that could not be read again."""

from datetime import timedelta

import pytest

from tests.application.rollout_bench import Bench
from zlh_hooks.application.journal import Journal, Patience
from zlh_hooks.domain.steps import RolloutEvent, TargetEvent

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("target", "before", "impossible"),
    [
        (5001, TargetEvent.STAGED, TargetEvent.REVERT_BEGAN),
        (5001, TargetEvent.SKIPPED, TargetEvent.EXCHANGE_BEGAN),
        (None, RolloutEvent.STARTED, RolloutEvent.REVERTED),
    ],
)
def test_a_transition_that_is_in_no_table_is_refused_before_it_is_written(
    target: int | None, before: str, impossible: str
) -> None:
    bench = Bench().furnish(2)
    plan = bench.submit("2")
    journal = Journal(
        ledger=bench.ledger,
        tasks=bench.datacentre,
        clock=bench.clock,
        rollout=plan.id,
        target=target,
        patience=Patience(MINUTE, MINUTE),
        may_wait=lambda: True,
    )
    journal.event(before)
    length = len(bench.ledger.read())
    with pytest.raises(KeyError):
        journal.event(impossible)
    assert len(bench.ledger.read()) == length
    bench.progress(plan)
