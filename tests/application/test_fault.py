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
    assert progress.of(5003).reason.endswith("locked (backup) for longer than 10m")
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


@pytest.mark.parametrize("minutes", [1, 20])
def test_a_storage_that_is_away_when_a_guest_restarts_says_nothing_against_the_version(minutes: int) -> None:
    """Proxmox has stopped it then: it is started as soon as that can be; over ``start_timeout`` a person is told."""
    bench = Bench(make_policy(start_timeout="3m")).furnish(GUESTS)
    store = bench.datacentre.store("n2", "local")

    def unmount() -> None:
        store.active = False
        bench.datacentre.at(timedelta(minutes=minutes), lambda: setattr(store, "active", True))

    def resume_once_it_is_back() -> None:
        bench.clock.sleep(timedelta(minutes=minutes))
        bench.order("resume")()

    bench.datacentre.faults.meanwhile("reboot", unmount, vmid=5002)
    bench.answers = [resume_once_it_is_back] if minutes > 3 else []
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert (progress.state, progress.failures) == (RolloutState.SUCCEEDED, 0)
    assert {vmid: bench.runs(vmid) for vmid in (5001, 5002, 5003)} == {5001: "2", 5002: "2", 5003: "2"}
    assert bench.executed("reboot")["reboot", 5002] == 1
    assert [reason.partition(" is off until")[0] for reason in bench.pauses] == ["guest 5002 on n2"] * (minutes > 3)
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
