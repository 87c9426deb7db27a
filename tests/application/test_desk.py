"""What the front desk accepts."""

import pytest

from tests.application.rollout_bench import Bench
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.steps import RolloutState


def test_a_second_rollout_is_refused_while_one_is_not_at_its_end_and_told_how_to_get_there() -> None:
    bench = Bench().furnish(2)
    first = bench.submit("2")
    with pytest.raises(NotAllowed, match=f"{first.id}.*finalize --force"):
        bench.submit("3")


def test_a_rollout_without_targets_is_refused() -> None:
    bench = Bench().furnish(2)
    bench.run("2")
    with pytest.raises(NotAllowed, match="nothing to do"):
        bench.submit("2")


def test_a_rollout_closed_by_force_makes_room_for_another_and_keeps_its_reason() -> None:
    bench = Bench().furnish(2)
    plan = bench.submit("2")
    closed = bench.desk().close_by_force(plan.id, "node burnt down")
    assert closed.state is RolloutState.ABORTED
    assert "node burnt down" in closed.reason
    assert bench.submit("2").id != plan.id


def test_a_rollout_at_its_end_needs_no_force() -> None:
    bench = Bench().furnish(2)
    bench.run("2")
    with pytest.raises(NotAllowed, match="nothing to force"):
        bench.desk().close_by_force(None, "impatience")


def test_an_unknown_rollout_is_refused_and_the_latest_are_named() -> None:
    bench = Bench().furnish(2)
    plan = bench.submit("2")
    with pytest.raises(NotAllowed, match=plan.id):
        bench.desk().order("pause", "r0000-none")


def test_an_order_is_signed() -> None:
    bench = Bench().furnish(2)
    bench.submit("2")
    bench.order("abort", "not tonight")()
    assert dict(bench.ledger.read()[-1].data) == {"author": "tester", "reason": "not tonight"}
