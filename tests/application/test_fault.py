"""Faults of the world while a rollout runs: what must come of each."""

from collections.abc import Callable
from datetime import timedelta
from functools import cache, partial

import pytest

from tests.application.rollout_bench import Bench, make_policy
from tests.datacentre import Faults
from tests.datacentre.builder import ROLE
from zlh_hooks.domain.errors import RoadError
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.steps import RolloutState, TargetState

ONCE = ("clone", "move_volume", "reboot", "exchange", "destroy", "stop", "start", "shutdown")
GUESTS = 3
Break = Callable[[Faults, int], None]
BREAKS: dict[str, Break] = {
    "executed, its answer lost": lambda faults, number: faults.lose_answer(None, number),
    "never executed": lambda faults, number: faults.reset_before(None, number),
    "executed five seconds later": lambda faults, number: faults.arrive_late(None, timedelta(seconds=5), number),
}


def _outcome(bench: Bench, plan: Plan) -> tuple[object, ...]:
    progress = bench.progress(plan)
    rows = [(row.target.vmid, row.state, bench.runs(row.target.vmid)) for row in progress.targets]
    return (progress.state, rows, bench.stable(), bench.revoked())


@cache
def _undisturbed(version: str) -> tuple[tuple[object, ...], int, dict[tuple[str, int | None], int]]:
    bench = Bench().furnish(GUESTS)
    plan = bench.submit(version)
    bench.work(plan)
    writes = sum(call.changing for call in bench.datacentre.faults.log)
    return _outcome(bench, plan), writes, bench.executed(*ONCE)


@pytest.mark.parametrize("way", BREAKS)
@pytest.mark.parametrize("version", ["2", "3"], ids=["success", "revert"])
def test_a_connection_that_breaks_in_any_write_changes_nothing_of_the_end_and_nothing_is_done_twice(
    version: str, way: str
) -> None:
    expected, writes, once = _undisturbed(version)
    for number in range(1, writes + 1):
        bench = Bench().furnish(GUESTS)
        BREAKS[way](bench.datacentre.faults, number)
        plan = bench.submit(version)
        bench.work(plan)
        assert _outcome(bench, plan) == expected, number
        for key, times in bench.executed(*ONCE).items():
            assert times <= once.get(key, 0), (number, key)
        bench.assert_clean(plan)


# ---------------------------------------------------------------------- locks


def test_a_short_lock_is_waited_for() -> None:
    bench = Bench().furnish(GUESTS)
    bench.datacentre.faults.meanwhile(
        "exchange", lambda: bench.datacentre.lock(5002, "backup", timedelta(minutes=5)), vmid=5002
    )
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    bench.assert_clean(plan)


def _order_long_lock(bench: Bench, when: str) -> None:
    lock = partial(bench.datacentre.lock, 5003, "backup", timedelta(minutes=30))
    faults = bench.datacentre.faults
    moments: dict[str, Callable[[], object]] = {
        "before the plan": lock,
        "before the exchange is written": lambda: faults.meanwhile("exchange", lock, vmid=5003),
        "before the restart": lambda: faults.afterwards("exchange", lock, vmid=5003),
    }
    moments[when]()


@pytest.mark.parametrize("when", ["before the plan", "before the exchange is written", "before the restart"])
def test_a_guest_that_is_locked_for_longer_than_lock_wait_is_left_as_it_was_and_the_others_go_on(when: str) -> None:
    bench = Bench(make_policy(lock_wait="10m")).furnish(4)
    _order_long_lock(bench, when)
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.state is RolloutState.SUCCEEDED
    assert progress.count(TargetState.HEALTHY) == 3
    assert bench.tend(plan, timedelta(hours=1)).of(5003).state is TargetState.SKIPPED
    assert bench.runs(5003) == "1"
    assert not bench.executed("reboot").get(("reboot", 5003))
    bench.assert_clean(plan)


def test_a_guest_that_is_locked_while_it_is_proved_stays_on_its_new_root_and_is_proved_when_the_lock_goes() -> None:
    bench = Bench(make_policy(lock_wait="10m")).furnish(4)
    bench.datacentre.faults.meanwhile(
        "reboot", partial(bench.datacentre.lock, 5003, "backup", timedelta(minutes=30)), vmid=5003
    )
    plan = bench.submit("2")
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert bench.tend(plan, timedelta(hours=1)).of(5003).state is TargetState.HEALTHY
    bench.assert_clean(plan)


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


# ---------------------------------------------------------------------- tasks


@pytest.mark.parametrize("deed", ["clone", "move_volume", "destroy", "reboot", "start"])
def test_a_task_that_ends_with_warnings_is_a_success(deed: str) -> None:
    bench = Bench().furnish(GUESTS)
    bench.datacentre.faults.warn_task(deed, times=100)
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    bench.assert_clean(plan)


@pytest.mark.parametrize("deed", ["clone", "move_volume", "destroy"])
def test_a_task_of_staging_that_fails_leaves_that_guest_alone_and_the_others_go_on(deed: str) -> None:
    nth = {"clone": 5, "move_volume": 1, "destroy": 3}[deed]
    bench = Bench().furnish(GUESTS)
    bench.datacentre.faults.fail_task(deed, "storage error", nth)
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.state is RolloutState.SUCCEEDED
    assert progress.count(TargetState.SKIPPED) == 1
    bench.assert_clean(plan)


def test_a_restart_that_fails_takes_that_guest_back() -> None:
    bench = Bench().furnish(4)
    bench.datacentre.faults.fail_task("reboot", "startup for container '5003' failed", vmid=5003)
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.of(5003).state is TargetState.REVERTED
    assert progress.state is RolloutState.SUCCEEDED
    bench.assert_clean(plan)


def test_a_smoke_guest_that_does_not_start_condemns_the_version_before_any_guest_is_touched() -> None:
    bench = Bench().furnish(GUESTS)
    bench.datacentre.faults.fail_task("start", "startup for container failed")
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.state is RolloutState.REVERTED
    assert bench.revoked() == ["2"]
    assert not bench.executed("move_volume", "exchange", "reboot")
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


# ------------------------------------------------------------------- the road


def _changing(version: str) -> list[tuple[str, ...]]:
    bench = Bench().furnish(GUESTS)
    bench.run(version)
    return [call.names for call in bench.datacentre.faults.log if call.changing]


@pytest.mark.parametrize("version", ["2", "3"], ids=["success", "revert"])
def test_quorum_lost_at_any_write_pauses_and_a_resume_ends_as_if_nothing_had_happened(version: str) -> None:
    expected, writes, _ = _undisturbed(version)
    for number in range(1, writes + 1):
        bench = Bench().furnish(GUESTS)
        bench.answers = [partial(bench.later, timedelta(minutes=30), bench.order("resume"))]
        bench.datacentre.faults.meanwhile(
            None, lambda bench=bench: bench.datacentre.lose_quorum(timedelta(minutes=20)), number
        )
        plan = bench.submit(version)
        bench.work(plan)
        assert _outcome(bench, plan) == expected, (number, bench.pauses)
        assert all("quorum" in reason for reason in bench.pauses)
        bench.assert_clean(plan)


@pytest.mark.parametrize("privilege", sorted(ROLE - {"Sys.Audit", "Sys.Console"}))
def test_a_missing_right_pauses_and_is_named(privilege: str) -> None:
    bench = Bench().furnish(GUESTS)
    plan = bench.submit("2")
    bench.datacentre.revoke_privilege(privilege)

    def mend() -> None:
        bench.datacentre.privileges = {"/": ROLE}
        bench.order("resume")()

    bench.answers = [mend]
    progress = bench.work(plan)
    assert len(bench.pauses) == 1
    assert privilege in bench.pauses[0]
    assert progress.count(TargetState.HEALTHY) == GUESTS
    bench.assert_clean(plan)


def test_a_refused_token_pauses_and_nothing_has_been_touched() -> None:
    bench = Bench().furnish(GUESTS)
    bench.datacentre.faults.refuse("clone", RoadError("401: invalid token value"))
    bench.answers = [bench.order("resume")]
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert bench.pauses == ["401: invalid token value"]
    bench.assert_clean(plan)


@pytest.mark.parametrize("deed", ["clone", "move_volume", "exchange", "reboot"])
def test_a_node_that_goes_offline_pauses_and_a_resume_goes_on(deed: str) -> None:
    bench = Bench().furnish(4)
    nth = 4 if deed == "clone" else 2
    bench.datacentre.faults.meanwhile(deed, lambda: bench.datacentre.cut_node("n2", timedelta(minutes=20)), nth)
    bench.answers = [partial(bench.later, timedelta(minutes=30), bench.order("resume"))]
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == 4
    assert all("n2" in reason for reason in bench.pauses)
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


def test_a_full_storage_leaves_its_guests_alone_and_the_others_go_on() -> None:
    bench = Bench().furnish(4)
    bench.datacentre.faults.meanwhile("clone", lambda: bench.datacentre.fill_storage("n2", "local"), 5)
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.state is RolloutState.SUCCEEDED
    left = [row for row in progress.targets if row.state is TargetState.SKIPPED]
    assert left
    assert all("MiB free" in row.reason or "space" in row.reason for row in left)
    bench.assert_clean(plan)
