"""A guest's power belongs to its customer: a way back leaves off what others switched off, and nothing else."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.application.rollout_bench import Bench, make_policy
from tests.datacentre import Crash
from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.errors import TargetError
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.steps import RolloutState, TargetState

GUESTS = 2
GUEST = 5002
MINUTE = timedelta(minutes=1)


def roll_out(bench: Bench) -> Plan:
    plan = bench.submit("2")
    bench.work(plan)
    bench.clock.sleep(5 * MINUTE)
    return plan


def stop_by_api(bench: Bench) -> None:
    bench.datacentre.containers[GUEST].wanted = False
    bench.datacentre.stop(bench.datacentre.ref(GUEST))
    bench.clock.sleep(MINUTE)


def stop_inside(bench: Bench) -> None:
    bench.datacentre.settle()
    bench.datacentre.power_off(GUEST)


def last_evidence(bench: Bench) -> Entry:
    return bench.entries(Kind.EVIDENCE, "reverted", GUEST)[-1]


def assert_back_and_off(bench: Bench, plan: Plan, why: str) -> None:
    """On its old root, untouched by a start of ours, and it is said that nobody asked its probes."""
    row = bench.progress(plan).of(GUEST)
    assert (row.state, bench.runs(GUEST)) == (TargetState.REVERTED, "1")
    assert ("start", GUEST) not in bench.executed("start")
    assert why in row.reason and "not probed" in row.reason
    assert why in last_evidence(bench).data["unprobed"] and not last_evidence(bench).data["running"]
    bench.assert_clean(plan)


@pytest.mark.parametrize("stop", [stop_inside, stop_by_api])
def test_a_guest_that_was_switched_off_after_its_proof_goes_back_and_stays_off(stop: Callable[[Bench], None]) -> None:
    bench = Bench().furnish(GUESTS)
    plan = roll_out(bench)
    stop(bench)
    bench.order("revert", "bad")()
    assert bench.work(plan).state is RolloutState.REVERTED
    assert_back_and_off(bench, plan, "switched off after its proof")


def test_a_guest_that_its_customer_started_and_then_shut_down_stays_off_too() -> None:
    bench = Bench().furnish(GUESTS)
    plan = roll_out(bench)
    stop_by_api(bench)
    bench.datacentre.start(bench.datacentre.ref(GUEST))
    bench.clock.sleep(MINUTE)
    stop_inside(bench)
    bench.order("revert", "bad")()
    bench.work(plan)
    assert ("start", GUEST) in bench.executed("start")  # the customer's own
    assert bench.executed("start")["start", GUEST] == 1
    bench.assert_clean(plan)


def test_a_guest_whose_customer_asked_in_vain_for_a_start_runs_on_its_old_root() -> None:
    bench = Bench().furnish(GUESTS)
    plan = roll_out(bench)
    stop_by_api(bench)
    bench.datacentre.containers[GUEST].wanted = True
    bench.datacentre.faults.fail_task("start", "startup failed", vmid=GUEST)
    bench.datacentre.start(bench.datacentre.ref(GUEST))
    bench.clock.sleep(MINUTE)
    bench.order("revert", "bad")()
    assert bench.work(plan).of(GUEST).state is TargetState.REVERTED
    assert "healthy_since" in last_evidence(bench).data
    bench.assert_clean(plan)


def test_a_guest_that_is_switched_off_while_its_way_back_waits_for_a_lock_stays_off() -> None:
    bench = Bench(make_policy(lock_wait="1m")).furnish(GUESTS)
    plan = roll_out(bench)
    bench.datacentre.lock(GUEST, "backup", 10 * MINUTE)
    bench.later(5 * MINUTE, lambda: stop_inside(bench))
    bench.order("revert", "bad")()
    bench.work(plan)
    assert_back_and_off(bench, plan, "switched off after its proof")


def test_a_guest_that_is_switched_off_between_the_write_and_its_restart_stays_off() -> None:
    bench = Bench().furnish(GUESTS)
    plan = roll_out(bench)
    bench.datacentre.faults.afterwards("exchange", lambda: stop_inside(bench), vmid=GUEST)
    bench.order("revert", "bad")()
    bench.work(plan)
    assert_back_and_off(bench, plan, "switched off after its proof")


def test_a_guest_that_was_stopped_during_its_proof_goes_back_and_stays_off() -> None:
    bench = Bench().furnish(GUESTS)
    wait = timedelta(seconds=9)
    bench.datacentre.faults.afterwards("reboot", lambda: bench.later(wait, lambda: stop_by_api(bench)), vmid=GUEST)
    plan = roll_out(bench)
    assert bench.progress(plan).of(GUEST).state is TargetState.PROVING
    bench.order("revert", "bad")()
    bench.work(plan)
    assert_back_and_off(bench, plan, "somebody else stopped it")


def test_a_guest_that_was_off_before_its_exchange_and_runs_now_is_probed_on_its_old_root() -> None:
    bench = Bench().furnish(GUESTS)
    bench.datacentre.power_off(GUEST)
    plan = bench.submit("2")
    bench.work(plan)
    bench.datacentre.power_on(GUEST)
    assert bench.tend(plan, 20 * MINUTE).of(GUEST).state is TargetState.HEALTHY
    bench.order("revert", "bad")()
    assert bench.work(plan).of(GUEST).state is TargetState.REVERTED
    assert "healthy_since" in last_evidence(bench).data
    bench.assert_clean(plan)


@pytest.mark.parametrize("method", ["reboot", "start", "shutdown"])
def test_a_proved_guest_that_our_own_way_back_has_stopped_runs_again_though_the_worker_dies(
    method: str,
) -> None:
    bench = Bench().furnish(GUESTS)
    plan = roll_out(bench)
    if method == "shutdown":
        bench.datacentre.faults.refuse("reboot", TargetError("refused"), vmid=GUEST)
    else:
        bench.datacentre.faults.fail_task("reboot", "startup failed", vmid=GUEST, part=2)
    bench.datacentre.faults.die_after(method, vmid=GUEST)
    bench.order("revert", "bad")()
    with pytest.raises(Crash):
        bench.work(plan)
    bench.datacentre.faults.restart()
    bench.clock.sleep(5 * MINUTE)
    assert bench.work(plan).of(GUEST).state is TargetState.REVERTED
    assert "healthy_since" in last_evidence(bench).data
    bench.assert_clean(plan)


def test_a_proved_guest_that_could_not_be_started_on_its_way_back_is_started_when_it_is_ordered_again() -> None:
    bench = Bench().furnish(GUESTS)
    plan = roll_out(bench)
    bench.datacentre.faults.fail_task("reboot", "startup failed", vmid=GUEST, part=2)
    bench.datacentre.faults.fail_task("start", "startup failed", vmid=GUEST, times=1000)
    bench.order("revert", "bad")()
    assert bench.work(plan).of(GUEST).state is TargetState.STUCK
    bench.datacentre.faults.clear()
    bench.order("revert", "again")()
    assert bench.work(plan).of(GUEST).state is TargetState.REVERTED
    bench.assert_clean(plan)


def test_a_guest_that_was_off_and_could_not_be_proved_stays_off_when_it_is_ordered_back_again() -> None:
    bench = Bench().furnish(GUESTS)
    plan = roll_out(bench)
    stop_inside(bench)
    bench.datacentre.faults.meanwhile(
        "exchange", lambda: bench.datacentre.edit_config(GUEST, description="edited meanwhile"), vmid=GUEST
    )
    bench.order("revert", "bad")()
    assert bench.work(plan).of(GUEST).state is TargetState.STUCK
    bench.order("revert", "again")()
    bench.work(plan)
    assert_back_and_off(bench, plan, "switched off after its proof")
