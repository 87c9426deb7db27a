"""Faults of the world while a rollout runs whose rule is about time: who waits, for how long, and whom it holds up.

What becomes of each fault at each request stands in ``test_fault_matrix``.
"""

from datetime import timedelta
from functools import partial

import pytest

from tests.application.rollout_bench import Bench, make_policy
from zlh_hooks.domain.steps import RolloutState, TargetState

GUESTS = 3


@pytest.mark.parametrize("when", ["before the plan", "before the restart"])
def test_a_guest_that_is_locked_for_longer_than_lock_wait_is_never_restarted_and_the_others_go_on(when: str) -> None:
    bench = Bench(make_policy(lock_wait="10m")).furnish(4)
    lock = partial(bench.datacentre.lock, 5003, "backup", timedelta(minutes=30))
    if when == "before the plan":
        lock()
    else:
        bench.datacentre.faults.afterwards("exchange", lock, vmid=5003)
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.state is RolloutState.SUCCEEDED
    assert progress.count(TargetState.HEALTHY) == 3
    assert bench.tend(plan, timedelta(hours=1)).of(5003).state is TargetState.SKIPPED
    assert bench.runs(5003) == "1"
    assert not bench.executed("reboot").get(("reboot", 5003))
    bench.assert_clean(plan)


def test_who_watches_sees_which_guest_is_waited_for_and_why() -> None:
    bench = Bench(make_policy(lock_wait="10m")).furnish(GUESTS)
    bench.datacentre.lock(5003, "backup", timedelta(minutes=5))
    plan, seen = bench.submit("2"), []
    bench.later(timedelta(minutes=2), lambda: seen.append(bench.progress(plan).of(5003)))
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert [(row.state, row.reason.partition(": ")[0]) for row in seen] == [
        (TargetState.PENDING, "waits up to 10m for a lock (backup) to go")
    ]


def test_a_guest_that_is_locked_on_its_way_back_goes_back_when_the_lock_goes_and_holds_up_no_other() -> None:
    bench = Bench(make_policy(lock_wait="10m")).furnish(3)
    plan = bench.submit("2")
    bench.work(plan)
    bench.order("revert")()
    bench.datacentre.lock(5003, "backup", timedelta(hours=2))
    others = []
    bench.later(timedelta(hours=1), lambda: others.extend(row.state for row in bench.progress(plan).targets))
    assert bench.work(plan).count(TargetState.REVERTED) == 3
    assert others.count(TargetState.REVERTED) == 2
    bench.assert_clean(plan)


def test_a_slow_shutdown_is_cut_off_and_the_guest_comes_up_on_its_new_root() -> None:
    bench = Bench().furnish(GUESTS)
    bench.datacentre.faults.slow_task("reboot", timedelta(minutes=2), vmid=5002)
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    bench.assert_clean(plan)


def test_a_start_that_takes_three_minutes_is_waited_for() -> None:
    bench = Bench().furnish(GUESTS)
    bench.datacentre.faults.slow_task("reboot", timedelta(minutes=3), times=10)
    bench.datacentre.faults.slow_task("start", timedelta(minutes=3), times=10)
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    bench.assert_clean(plan)


def test_a_node_that_is_offline_on_the_way_back_holds_up_no_guest_of_another_node() -> None:
    bench = Bench().furnish(4)
    plan = bench.submit("2")
    bench.work(plan)
    bench.order("revert")()
    bench.datacentre.cut_node("n2", timedelta(hours=1))
    early: list[TargetState] = []
    bench.later(timedelta(minutes=30), lambda: early.extend(row.state for row in bench.progress(plan).targets))
    assert bench.work(plan).count(TargetState.REVERTED) == 4
    assert early.count(TargetState.REVERTED) == 2
    bench.assert_clean(plan)
