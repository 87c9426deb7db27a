"""What the front desk accepts."""

import pytest

from tests.application.rollout_bench import Bench
from tests.datacentre import turns_unhealthy
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


def test_where_no_rollout_is_known_it_is_said_how_the_first_begins() -> None:
    with pytest.raises(NotAllowed, match="no rollout yet: zlh-hooks rollout start"):
        Bench().furnish(1).desk().find(None)


def test_an_order_is_signed() -> None:
    bench = Bench().furnish(2)
    bench.submit("2")
    bench.order("abort", "not tonight")()
    assert dict(bench.ledger.read()[-1].data) == {"author": "tester", "reason": "not tonight"}


def test_who_looked_just_before_a_worker_took_an_order_up_looks_again() -> None:
    bench = Bench().furnish(2)
    plan = bench.submit("2")
    seen = bench.work(plan)
    bench.order("revert")()
    bench.work(plan)
    assert seen.state is RolloutState.SUCCEEDED
    assert bench.desk().awaits_worker(seen)


def test_an_order_back_is_waited_for_until_a_worker_takes_it_up_whatever_state_it_finds() -> None:
    bench = Bench().furnish(2)
    bench.spoil(5001, behaviour=turns_unhealthy("2"))
    bench.datacentre.faults.fail_task("start", "input/output error", times=1000, vmid=5001)
    bench.datacentre.faults.fail_task("reboot", "input/output error", nth=2, times=1000, vmid=5001, part=2)
    plan = bench.submit("2")
    stuck = bench.work(plan)
    assert stuck.state is RolloutState.STUCK
    assert not bench.desk().awaits_worker(stuck)
    bench.order("revert")()
    assert bench.desk().awaits_worker(bench.progress(plan))
    bench.datacentre.faults.clear()
    assert not bench.desk().awaits_worker(bench.work(plan))


def test_a_paused_rollout_that_was_told_to_go_on_waits_for_a_worker_until_one_has_heard() -> None:
    bench = Bench().furnish(2)
    bench.datacentre.faults.meanwhile("exchange", bench.order("pause"), vmid=5001)
    plan = bench.submit("2")
    seen = []

    def go_on() -> None:
        seen.append(bench.desk().awaits_worker(bench.progress(plan)))
        bench.order("resume")()
        seen.append(bench.desk().awaits_worker(bench.progress(plan)))

    bench.answers = [go_on]
    assert not bench.desk().awaits_worker(bench.work(plan))
    assert seen == [False, True]
