"""Nobody loses the way back who may still need it: what is looked at before an old root is given up."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.application.rollout_bench import Bench, make_policy
from tests.application.test_soak import DAY, NIGHT
from tests.datacentre import Behaviour, Crash, cannot_be_measured, good, turns_unhealthy
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.metric import draw_gauges
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.progress import KEPT
from zlh_hooks.domain.steps import RolloutState, TargetState

GUESTS = 3
ILL = 5002
HALF = timedelta(minutes=30)
LATE = replace(turns_unhealthy("2"), unhealthy_after=3600)
"""Proved, and ill an hour later."""


def roll_out(**rollout: object) -> tuple[Bench, Plan]:
    """A window each night from 04:00, when the clock starts, to 06:00; one guest turns ill in the soak."""
    bench = Bench(make_policy(windows=[NIGHT], **rollout)).furnish(GUESTS).spoil(ILL, behaviour=LATE)
    plan = bench.submit("2")
    bench.work(plan)
    return bench, plan


def become(bench: Bench, behaviour: Behaviour) -> None:
    container = bench.datacentre.containers[ILL]
    volume = bench.datacentre.volume(container.node, container.config.rootfs.volume)
    assert volume is not None
    volume.behaviour = behaviour


def has_old_root(bench: Bench) -> bool:
    return bool(bench.datacentre.containers[ILL].config.unused)


def count_kept(bench: Bench) -> float:
    gauges = draw_gauges(bench.ledger.read(), None, bench.policy, bench.clock.now())
    return next(gauge.samples[0][1] for gauge in gauges if gauge.name.endswith("targets_kept"))


def test_a_guest_that_turned_ill_during_the_soak_keeps_its_old_root_and_it_is_said_why_once_a_window() -> None:
    bench, plan = roll_out()
    progress = bench.tend(plan, timedelta(hours=30), timedelta(minutes=10))
    assert progress.count(TargetState.SETTLED) == GUESTS - 1
    row = progress.of(ILL)
    assert row.state is TargetState.HEALTHY and progress.is_soaking and has_old_root(bench)
    assert "old root kept" in row.reason and "503" in row.reason
    assert count_kept(bench) == 1
    bench.tend(plan, 2 * DAY, timedelta(minutes=10))
    assert len(bench.entries(Kind.NOTE, KEPT, ILL)) == 3
    bench.assert_clean(plan)


def test_a_guest_that_is_well_again_is_settled_in_the_next_window_and_not_in_this_one() -> None:
    bench, plan = roll_out()
    bench.tend(plan, timedelta(hours=24, minutes=30), HALF)
    become(bench, good("2"))
    assert bench.tend(plan, timedelta(hours=1), HALF).of(ILL).state is TargetState.HEALTHY
    progress = bench.tend(plan, DAY, HALF)
    assert (progress.of(ILL).state, progress.is_soaking, count_kept(bench)) == (TargetState.SETTLED, False, 0)
    bench.assert_clean(plan)


def test_a_guest_that_cannot_be_measured_has_not_answered() -> None:
    bench, plan = roll_out()
    become(bench, cannot_be_measured("2"))
    row = bench.tend(plan, timedelta(hours=26), HALF).of(ILL)
    assert row.state is TargetState.HEALTHY and row.kept and has_old_root(bench)


def test_a_guest_that_kept_its_old_root_can_go_back_to_it() -> None:
    bench, plan = roll_out()
    bench.tend(plan, timedelta(hours=26), HALF)
    bench.order("revert", "ill")()
    progress = bench.work(plan)
    assert (progress.of(ILL).state, bench.runs(ILL), count_kept(bench)) == (TargetState.REVERTED, "1", 0)
    assert progress.count(TargetState.SETTLED) == GUESTS - 1
    bench.assert_clean(plan)


def test_finalize_settles_who_is_well_at_once_says_whom_it_kept_and_asks_that_one_again_when_it_is_repeated() -> None:
    bench, plan = roll_out(soak="72h")
    bench.tend(plan, DAY, HALF)
    bench.order("finalize")()
    assert {row.target.vmid for row in bench.progress(plan).list_unanswered()} == {5001, ILL, 5003}
    progress = bench.tend(plan, HALF, HALF)
    assert progress.count(TargetState.SETTLED) == GUESTS - 1 and progress.of(ILL).kept
    assert progress.list_unanswered() == []
    become(bench, good("2"))
    assert bench.tend(plan, HALF, timedelta(minutes=5)).of(ILL).state is TargetState.HEALTHY
    bench.order("finalize")()
    assert bench.tend(plan, HALF, HALF).count(TargetState.SETTLED) == GUESTS
    bench.assert_clean(plan)


# ---------------------------------------------------------------------- power


def test_a_guest_that_is_switched_off_is_settled_by_the_proof_it_gave_while_it_ran() -> None:
    bench, plan = roll_out()
    bench.datacentre.power_off(ILL)
    assert bench.tend(plan, timedelta(hours=26), HALF).count(TargetState.SETTLED) == GUESTS
    bench.assert_clean(plan)


def test_a_guest_that_was_ill_when_it_was_switched_off_keeps_its_old_root_until_it_has_run_and_answered() -> None:
    bench, plan = roll_out()
    bench.tend(plan, timedelta(hours=26), HALF)
    bench.datacentre.power_off(ILL)
    row = bench.tend(plan, 2 * DAY, HALF).of(ILL)
    assert row.state is TargetState.HEALTHY and has_old_root(bench) and "when it last ran" in row.reason
    become(bench, good("2"))
    bench.datacentre.power_on(ILL)
    assert bench.tend(plan, DAY, HALF).of(ILL).state is TargetState.SETTLED
    bench.assert_clean(plan)


def test_a_guest_that_its_customer_asked_in_vain_to_start_keeps_its_old_root() -> None:
    bench, plan = roll_out()
    bench.datacentre.faults.fail_task("start", "startup failed", vmid=ILL)
    bench.datacentre.power_off(ILL)
    bench.datacentre.start(bench.datacentre.ref(ILL))
    row = bench.tend(plan, timedelta(hours=26), HALF).of(ILL)
    assert row.state is TargetState.HEALTHY and has_old_root(bench) and "does not run" in row.reason


# ------------------------------------------------------------------ the worker


def test_a_worker_that_dies_when_the_old_root_is_gone_is_succeeded_by_one_that_settles_and_asks_no_more() -> None:
    bench, plan = roll_out()
    become(bench, good("2"))
    bench.tend(plan, timedelta(hours=23, minutes=50))
    bench.datacentre.faults.die_after("write_config", vmid=ILL)
    bench.clock.sleep(HALF)
    with pytest.raises(Crash):
        bench.engine().open_soak(plan).tend()
    assert not has_old_root(bench)
    bench.datacentre.faults.restart()
    become(bench, turns_unhealthy("2", after=0))
    assert bench.tend(plan, HALF).of(ILL).state is TargetState.SETTLED
    bench.assert_clean(plan)


def test_a_way_back_that_is_ordered_while_many_are_settled_finds_the_old_roots_of_the_rest() -> None:
    bench, plan = roll_out()
    bench.datacentre.faults.afterwards("write_config", bench.order("revert", "stop"), vmid=5001)
    bench.deadline += DAY
    bench.clock.sleep(DAY + HALF)
    bench.engine().open_soak(plan).tend()
    progress = bench.work(plan)
    assert progress.state is RolloutState.REVERTED
    assert [row.state for row in progress.targets] == [
        TargetState.SETTLED,
        TargetState.REVERTED,
        TargetState.REVERTED,
    ]
    bench.assert_clean(plan)
