"""What a rollout that ended has still to clear away: nothing of ours is forgotten, and the ledger does not grow of it."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest

from tests.application.rollout_bench import Bench
from tests.datacentre import Crash, MemoryLedger, never_boots
from tests.datacentre.proof import SCRATCH
from zlh_hooks.application.journal import Journal, Patience
from zlh_hooks.application.recover import Mode, Recovery
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import TargetError
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.progress import CLEARED, DEFERRED, OWED
from zlh_hooks.domain.steps import RolloutState, TargetState

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
GUEST = 5002
TWIN, SMOKE, STAGE = 1, 2, 6
"""Which clone it is: of two nodes a twin and a smoke guest each, then one for each guest."""
ENDS = {"abort": RolloutState.ABORTED, "revert": RolloutState.REVERTED}


# ----------------------------------------------------- clones of dead workers


def _die_in_clone(nth: int, length: timedelta) -> tuple[Bench, Plan]:
    """Its worker asked for a clone, which takes so long, and died before it heard of it."""
    bench = Bench().furnish(3)
    bench.datacentre.faults.slow_task("clone", length, nth)
    bench.datacentre.faults.die_after("clone", nth)
    return bench, _die(bench)


def _die(bench: Bench) -> Plan:
    plan = bench.submit("2")
    with pytest.raises(Crash):
        bench.work(plan)
    bench.datacentre.faults.restart()
    return plan


def _list_scratch(bench: Bench) -> list[int]:
    bench.datacentre.settle()
    return [vmid for vmid in bench.datacentre.containers if vmid in SCRATCH]


@pytest.mark.parametrize("verb", ENDS)
@pytest.mark.parametrize("nth", [TWIN, SMOKE, STAGE], ids=["twin", "smoke guest", "staging"])
def test_a_clone_that_is_still_being_made_when_all_ends_is_taken_away_when_it_is_there(nth: int, verb: str) -> None:
    bench, plan = _die_in_clone(nth, 5 * MINUTE)
    bench.order(verb)()
    assert bench.work(plan).state is ENDS[verb]
    assert _list_scratch(bench) == []
    bench.clock.sleep(10 * MINUTE)
    bench.assert_clean(plan)


@pytest.mark.parametrize("verb", ENDS)
@pytest.mark.parametrize("nth", [TWIN, SMOKE, STAGE], ids=["twin", "smoke guest", "staging"])
def test_a_clone_whose_request_is_still_on_its_way_when_all_ends_is_waited_for(nth: int, verb: str) -> None:
    bench = Bench().furnish(3)
    bench.datacentre.faults.arrive_late("clone", timedelta(seconds=6), nth, dying=True)
    plan = _die(bench)
    bench.order(verb)()
    assert bench.work(plan).state is ENDS[verb]
    bench.clock.sleep(MINUTE)
    bench.assert_clean(plan)


@pytest.mark.parametrize("nth", [TWIN, SMOKE, STAGE], ids=["twin", "smoke guest", "staging"])
def test_a_clone_that_was_never_asked_for_is_not_made_to_be_taken_away(nth: int) -> None:
    bench = Bench().furnish(3)
    bench.datacentre.faults.die_before("clone", nth)
    plan = _die(bench)
    bench.order("abort")()
    began = bench.clock.now()
    assert bench.work(plan).state is RolloutState.ABORTED
    assert sum(bench.executed("clone").values()) == nth - 1
    assert bench.clock.now() - began < MINUTE
    open_steps = {(e.target, e.name) for e in bench.ledger.read() if e.kind is Kind.INTENT}
    open_steps -= {(e.target, e.name) for e in bench.ledger.read() if e.kind in (Kind.DONE, Kind.FAILED)}
    assert not open_steps
    bench.assert_clean(plan)


def test_a_clone_that_fails_in_the_end_leaves_nothing_to_be_cleared_away() -> None:
    bench = Bench().furnish(3)
    bench.datacentre.faults.fail_task("clone", "storage is full", STAGE)
    bench.datacentre.faults.slow_task("clone", MINUTE, STAGE)
    bench.datacentre.faults.die_after("clone", STAGE)
    plan = _die(bench)
    bench.order("abort")()
    assert not bench.work(plan).of(GUEST).owes
    bench.assert_clean(plan)


def test_what_is_still_being_made_when_patience_ends_is_owed_and_said_and_cleared_away_in_the_end() -> None:
    bench, plan = _die_in_clone(STAGE, HOUR)
    bench.order("abort")()
    progress = bench.work(plan)
    assert (progress.of(GUEST).state, progress.of(GUEST).owes) == (TargetState.SKIPPED, True)
    assert "still being made" in bench.entries(Kind.NOTE, OWED, GUEST)[-1].data["reason"]
    assert not bench.tend(plan, 2 * HOUR).of(GUEST).owes
    assert bench.entries(Kind.NOTE, CLEARED, GUEST)
    bench.assert_clean(plan)


def test_a_clone_that_was_given_up_while_it_was_being_made_is_owed_too() -> None:
    bench = Bench().furnish(3)
    bench.datacentre.faults.slow_task("clone", HOUR, STAGE)
    bench.datacentre.faults.lose_answer("clone", STAGE)
    bench.answers = [partial(bench.later, HOUR, bench.order("resume"))]
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert (progress.of(GUEST).state, progress.state) == (TargetState.SKIPPED, RolloutState.SUCCEEDED)
    bench.tend(plan, HOUR)
    bench.assert_clean(plan)


def test_who_orders_all_back_while_an_end_waits_for_a_clone_is_heard() -> None:
    bench, plan = _die_in_clone(STAGE, HOUR)
    bench.order("abort")()
    bench.later(2 * MINUTE, bench.order("revert", "bad"))
    ordered = bench.clock.now() + 2 * MINUTE
    assert bench.work(plan).state is RolloutState.REVERTED
    assert bench.entries(Kind.EVENT, "revert_ordered")[-1].at - ordered < MINUTE
    bench.tend(plan, HOUR)
    bench.assert_clean(plan)


def test_a_look_in_the_soak_at_what_is_still_being_made_holds_nobody_up() -> None:
    bench, plan = _die_in_clone(STAGE, HOUR)
    bench.order("abort")()
    bench.work(plan)
    bench.datacentre.lock(_scratch_of(bench, GUEST), "create", HOUR)
    began = bench.clock.now()
    bench.engine().open_soak(plan).tend()
    assert bench.clock.now() - began < MINUTE
    bench.tend(plan, 2 * HOUR)
    bench.assert_clean(plan)


def _scratch_of(bench: Bench, vmid: int) -> int:
    return int(bench.entries(Kind.INTENT, "stage.clone", vmid)[-1].data["vmid"])


@pytest.mark.parametrize("nth", [TWIN, STAGE], ids=["twin", "staging"])
def test_a_clone_that_nobody_had_tamed_yet_is_taken_away_although_its_template_is_protected(nth: int) -> None:
    bench = Bench().furnish(3)
    for vmid in (8002, 8102):
        bench.datacentre.edit_config(vmid, protection="1")
    bench.datacentre.faults.die_after("clone", nth)
    plan = _die(bench)
    bench.order("abort")()
    assert bench.work(plan).state is RolloutState.ABORTED
    bench.assert_clean(plan)


def test_with_the_ledger_lost_a_clone_that_is_still_being_made_is_found_and_taken_away_once_it_is_there() -> None:
    bench, _ = _die_in_clone(STAGE, HOUR)
    scratch = _scratch_of(bench, GUEST)
    bench.ledger = MemoryLedger(bench.clock, bench.datacentre.faults)
    recovery = Recovery(bench.datacentre.cluster, bench.clock, bench.policy)
    journal = Journal(
        ledger=bench.ledger,
        tasks=bench.datacentre,
        clock=bench.clock,
        rollout="",
        target=None,
        patience=Patience(MINUTE, MINUTE),
        may_wait=lambda: True,
    )
    found = next(one for one in recovery.list_remnants() if one.ref.vmid == scratch)
    assert found.mode is Mode.SCRATCH
    with pytest.raises(TargetError, match=r"is locked \(create\): when no task works on it, unlock it"):
        recovery.take_back(found, journal)
    bench.clock.sleep(2 * HOUR)
    for remnant in recovery.list_remnants():
        recovery.take_back(remnant, journal)
    assert _list_scratch(bench) == []


# ------------------------------------------------- what cannot be cleared away

A_DAY_OF_TRIES = 120
"""Entries: twelve tries until they are an hour apart, and one an hour from then on, of two or three entries each."""


def _keep_scratch(bench: Bench) -> Plan:
    """The volume of a scratch guest cannot be freed."""
    bench.datacentre.faults.meanwhile("move_volume", partial(_fail_destroy, bench, GUEST), vmid=GUEST)
    plan = bench.submit("2")
    bench.work(plan)
    return plan


def _fail_destroy(bench: Bench, vmid: int) -> None:
    bench.datacentre.faults.fail_task("destroy", "volume busy", times=10**6, vmid=_scratch_of(bench, vmid))


def _keep_old_root(bench: Bench) -> Plan:
    """The old root of a guest cannot be freed when it is due."""
    plan = bench.submit("2")
    bench.work(plan)
    bench.deadline += DAY
    bench.clock.sleep(DAY)
    bench.datacentre.faults.refuse("write_config", TargetError("volume busy"), times=10**6, vmid=GUEST)
    return plan


@pytest.mark.parametrize("keep", [_keep_scratch, _keep_old_root], ids=["scratch guest", "old root"])
def test_what_cannot_be_cleared_away_is_said_once_and_tried_less_and_less_often(keep: Callable[[Bench], Plan]) -> None:
    bench = Bench().furnish(3)
    plan = keep(bench)
    before = len(bench.ledger.read())
    bench.tend(plan, DAY, every=MINUTE)
    fresh = bench.ledger.read(after=before)
    own = [entry for entry in fresh if entry.target == GUEST]
    assert len([entry for entry in own if entry.name == DEFERRED]) == 1
    assert 20 < len(own) < A_DAY_OF_TRIES
    bench.datacentre.faults.clear()
    bench.tend(plan, DAY)
    bench.assert_clean(plan)


def test_an_end_that_waits_for_a_volume_to_be_freed_fills_no_ledger() -> None:
    bench = Bench().furnish(2, second=never_boots("2"))
    bench.datacentre.faults.fail_task("destroy", "volume busy", times=10**6)
    bench.later(8 * HOUR, bench.datacentre.faults.clear)
    plan = bench.submit("2")
    assert bench.work(plan).state is RolloutState.REVERTED
    assert len(bench.ledger.read()) < A_DAY_OF_TRIES
    bench.assert_clean(plan)


def test_a_person_who_orders_it_again_has_it_tried_at_once_and_hears_of_it() -> None:
    bench = Bench().furnish(3)
    plan = _keep_old_root(bench)
    bench.tend(plan, 12 * HOUR)
    before = len(bench.entries(Kind.FAILED, "settle.free", GUEST))
    bench.order("finalize")()
    bench.clock.sleep(timedelta(seconds=1))
    bench.engine().open_soak(plan).tend()
    assert len(bench.entries(Kind.FAILED, "settle.free", GUEST)) == before + 1
    assert bench.progress(plan).list_unanswered() == []
