"""What interrupts a rollout from outside (a node that crashes, writes that nobody answers, tasks of others, claims) costs
no version its name, and no worker its ears.
"""

from datetime import timedelta
from functools import partial

import pytest

from tests.application.rollout_bench import Bench, make_policy
from tests.application.test_hold_desk import HOOK, claim
from tests.datacentre import Crash
from zlh_hooks.application.hold_desk import Place
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import ConfigChanged
from zlh_hooks.domain.hold import Claim
from zlh_hooks.domain.steps import RolloutState, TargetEvent, TargetState

CANARY, GUEST = 5001, 5002
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NIGHT = {"name": "night", "rule": "FREQ=DAILY", "start": "10:00", "length_minutes": 120}


def _strict(**rules: object) -> Bench:
    """No failure at all is forgiven."""
    return Bench(make_policy(max_failures=0, **rules)).furnish(3)


# ----------------------------------------------------------------- nodes, roads


@pytest.mark.parametrize("verb", ["abort", "revert"])
def test_an_end_does_not_wait_for_ever_for_a_clone_that_its_nodes_crash_left_locked(verb: str) -> None:
    bench = Bench().furnish(3)
    faults = bench.datacentre.faults
    faults.slow_task("clone", 10 * MINUTE)
    crash = partial(bench.datacentre.crash_node, "n1", 5 * MINUTE)
    faults.afterwards("clone", lambda: bench.datacentre.at(MINUTE, crash))
    bench.answers = [lambda: bench.later(20 * MINUTE, bench.order(verb))]
    progress = bench.work(bench.submit("2"))
    assert progress.state in (RolloutState.ABORTED, RolloutState.REVERTED)
    assert "left behind: scratch guest 890000" in progress.reason and "zlh-hooks recover" in progress.reason


def test_writes_that_nobody_answers_end_no_worker_and_orders_are_heard() -> None:
    bench = _strict()
    bench.datacentre.faults.reset_before("exchange", times=10**6, vmid=CANARY)
    bench.later(3 * HOUR, bench.datacentre.faults.clear)
    bench.later(10 * MINUTE, bench.order("abort"))
    bench.answers = [lambda: None]
    plan = bench.submit("2")
    assert bench.work(plan).state is RolloutState.ABORTED
    (ordered,) = bench.entries(Kind.COMMAND, "abort")
    (heard,) = [entry.at for entry in bench.entries(Kind.NOTE, "stage") if entry.data["text"] == "ending here"]
    assert heard - ordered.at < 2 * MINUTE
    assert bench.revoked() == []


def test_a_storage_that_is_away_for_days_behind_our_restart_fills_no_ledger() -> None:
    bench = Bench().furnish(3)
    store = bench.datacentre.store("n1", "local")
    bench.datacentre.faults.afterwards("reboot", lambda: setattr(store, "active", False), vmid=CANARY)
    bench.deadline += 3 * DAY
    bench.later(DAY, lambda: setattr(store, "active", True))
    bench.answers = [lambda: bench.later(DAY + HOUR, bench.order("resume"))]
    plan = bench.submit("2")
    assert bench.work(plan).of(CANARY).state is TargetState.HEALTHY
    assert len(bench.entries(Kind.INTENT, "exchange.start", CANARY)) == 1
    assert len(bench.ledger.read()) < 300


# ---------------------------------------------------------------- acts of others


def test_a_restart_by_somebody_else_shortly_before_ours_is_not_taken_for_ours() -> None:
    bench = _strict()
    power, ref = bench.datacentre.cluster.power, bench.datacentre.ref(CANARY)

    def restart() -> None:
        power.reboot(ref, MINUTE)
        bench.clock.sleep(timedelta(seconds=20))

    bench.datacentre.faults.meanwhile("exchange", restart, vmid=CANARY)
    bench.datacentre.faults.reset_before("reboot", nth=2, vmid=CANARY)
    progress = bench.run("2")
    assert (bench.revoked(), progress.of(CANARY).state) == ([], TargetState.HEALTHY)


def test_a_config_that_others_keep_editing_after_a_proof_condemns_no_version() -> None:
    bench = _strict(auto_promote=False)

    def edit() -> None:
        if bench.entries(Kind.EVENT, TargetEvent.EXCHANGED, CANARY):
            raise ConfigChanged("detected modified configuration - file changed by other user?")

    bench.datacentre.faults.always("write_config", edit, after=False)
    bench.answers = [lambda: bench.later(HOUR, bench.order("abort"))] * 3
    plan = bench.submit("2")
    bench.later(2 * HOUR, bench.datacentre.faults.clear)
    bench.work(plan)
    assert (bench.revoked(), bench.progress(plan).failures) == ([], 0)
    assert bench.tend(plan, 6 * HOUR).of(CANARY).state is TargetState.HEALTHY


@pytest.mark.parametrize("number", [1, 3])
def test_a_clone_that_was_given_up_leaves_no_guest_behind_when_it_is_made_anew(number: int) -> None:
    bench = Bench().furnish(3)
    bench.datacentre.faults.slow_task("clone", HOUR, number)
    bench.datacentre.faults.lose_answer("clone", number)
    bench.answers = [lambda: bench.later(2 * HOUR, bench.order("resume"))] * 3
    plan = bench.submit("2")
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    bench.tend(plan, 3 * HOUR)
    bench.assert_clean(plan)


# --------------------------------------------------------------------- claims


def _mark_down(bench: Bench, length: timedelta) -> None:
    bench.datacentre.edit_config(CANARY, hookscript=HOOK)
    claim(bench, Place((CANARY,)), Claim.DOWN, length)


def test_a_guest_that_is_marked_down_while_its_root_is_pending_is_not_restarted() -> None:
    bench = Bench(make_policy([NIGHT], exchange_pending="any-time", max_failures=0, lock_wait="1m")).furnish(3)
    bench.later(30 * MINUTE, partial(_mark_down, bench, 20 * HOUR))
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert (progress.state, bench.revoked()) == (RolloutState.SUCCEEDED, [])
    assert ("reboot", CANARY) not in bench.executed("reboot")
    assert bench.datacentre.containers[CANARY].running


def test_a_way_back_waits_while_its_guest_is_marked_down_and_goes_on_when_that_ends() -> None:
    bench = Bench().furnish(3)
    plan = bench.submit("2")
    bench.work(plan)
    _mark_down(bench, HOUR)
    bench.order("revert", "unwanted")()
    began = bench.clock.now()
    assert bench.work(plan).state is RolloutState.REVERTED
    assert bench.entries(Kind.EVENT, TargetEvent.REVERT_PROVED, CANARY)[0].at - began >= HOUR - MINUTE
    assert bench.entries(Kind.EVENT, TargetEvent.REVERT_PROVED, GUEST)[0].at - began < 10 * MINUTE


# ------------------------------------------------------------------- settling


def test_a_worker_that_dies_in_settling_is_not_taken_for_a_backup_that_came_back() -> None:
    bench = Bench().furnish(3)
    plan = bench.submit("2")
    bench.work(plan)
    bench.deadline += 2 * DAY
    bench.clock.sleep(DAY)
    faults = bench.datacentre.faults

    def die_when_unmarked() -> None:
        if not any(tag.startswith("zlh-rollout.") for tag in bench.datacentre.containers[CANARY].config.tags):
            faults.dead = True
            raise Crash("before it is settled")

    faults.always("write_config", die_when_unmarked)
    with pytest.raises(Crash):
        bench.engine().open_soak(plan).tend()
    faults.restart()
    faults.clear()
    bench.order("revert")()
    row = bench.work(plan).of(CANARY)
    assert (row.state, "is no unused volume" in row.reason) == (TargetState.STUCK, True)
