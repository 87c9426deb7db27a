"""A guest that was begun and cannot be brought to its end at once: nobody forgets it, and it holds nobody else up."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache, partial

import pytest

from tests.application.rollout_bench import Bench, make_policy
from tests.application.test_revert import break_old_root
from tests.datacentre import never_boots, turns_unhealthy
from zlh_hooks.application.desk import list_progress
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import GuestLocked, RoadError
from zlh_hooks.domain.steps import RolloutState, TargetEvent, TargetState
from zlh_hooks.simulation.volume import GIB

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
CANARY, OTHER, LAST = 5001, 5002, 5004
AT_ONCE = 2 * MINUTE


def _lock(bench: Bench, vmid: int, length: timedelta = HOUR) -> partial[None]:
    return partial(bench.datacentre.lock, vmid, "backup", length)


def _event_at(bench: Bench, name: str, vmid: int | None = None) -> datetime:
    return bench.entries(Kind.EVENT, name, vmid)[-1].at


# --------------------------------------------------------- the road is broken


def _open_bad_version() -> Bench:
    """If it pauses somebody comes after an hour, by when nobody may be on that version."""
    bench = Bench().furnish(2, third=turns_unhealthy("3"))

    def come() -> None:
        assert bench.runs(CANARY) == "1"
        if list_progress(bench.ledger)[-1].state is RolloutState.PAUSED:
            bench.order("resume")()

    bench.answers = [partial(bench.later, HOUR, come)] * 9
    return bench


@cache
def _list_reads() -> tuple[tuple[str, int], ...]:
    """Every look at the canary from its exchange to the end of its way back, as (method, number since its exchange)."""
    bench = _open_bad_version()
    since: list[int] = []
    bench.datacentre.faults.afterwards("exchange", lambda: since.append(len(bench.datacentre.faults.log)), vmid=CANARY)
    bench.work(bench.submit("3"))
    reads = [call for call in bench.datacentre.faults.log[since[0] :] if CANARY in call.vmids and not call.changing]
    numbers = Counter(call.names[0] for call in reads)
    return tuple((method, nth) for method, count in numbers.items() for nth in range(1, count + 1))


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.matrix), 7], ids=["all", "sample"])
@pytest.mark.parametrize("times", [1, 9])
def test_a_bad_version_goes_back_though_the_road_broke_after_its_exchange_and_nobody_comes(
    times: int, every: int
) -> None:
    for method, nth in _list_reads()[::every]:
        bench = _open_bad_version()
        faults = bench.datacentre.faults
        broken = partial(faults.refuse, method, RoadError("no route"), nth=nth, times=times, vmid=CANARY)
        faults.afterwards("exchange", broken, vmid=CANARY)
        plan = bench.submit("3")
        progress = bench.work(plan)
        assert progress.state is RolloutState.REVERTED, f"{method} {nth}"
        assert bench.revoked() == ["3"]
        assert bench.runs(CANARY) == "1"
        bench.clock.sleep(2 * HOUR)
        bench.assert_clean(plan)


def test_a_road_that_broke_after_the_exchange_still_keeps_anybody_else_from_being_begun() -> None:
    bench = Bench().furnish(2)
    faults = bench.datacentre.faults
    faults.afterwards("reboot", lambda: faults.refuse("read_power", RoadError("no route"), vmid=CANARY), vmid=CANARY)
    bench.answers = [partial(bench.later, HOUR, bench.order("resume"))]
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == 2
    assert _event_at(bench, TargetEvent.PROVED, CANARY) - plan.created < AT_ONCE
    assert _event_at(bench, TargetEvent.EXCHANGE_BEGAN, OTHER) - plan.created > HOUR


# -------------------------------------------------------------------- locked


def test_a_locked_guest_holds_up_nobody_elses_way_back() -> None:
    bench = Bench().furnish(4)
    plan = bench.submit("2")
    bench.work(plan)
    _lock(bench, LAST)()
    bench.order("revert", "bad")()
    assert bench.work(plan).state is RolloutState.REVERTED
    ordered = _event_at(bench, "revert_ordered")
    for vmid in (5001, 5002, 5003):
        assert _event_at(bench, TargetEvent.REVERT_PROVED, vmid) - ordered < AT_ONCE
    assert _event_at(bench, TargetEvent.REVERT_PROVED, LAST) - ordered >= HOUR
    bench.assert_clean(plan)


@pytest.mark.parametrize("failing", [CANARY, LAST], ids=["itself failing", "another one failing"])
def test_a_locked_guest_does_not_keep_a_bad_version_from_being_revoked(failing: int) -> None:
    bench = Bench(make_policy(max_failures=0)).furnish(4).spoil(failing, behaviour=turns_unhealthy("2"))
    locked = OTHER if failing == LAST else failing
    bench.datacentre.faults.afterwards("reboot", _lock(bench, locked), vmid=failing)
    plan = bench.submit("2")
    assert bench.work(plan).state is RolloutState.REVERTED
    revoked = _event_at(bench, "revoked") - _event_at(bench, "revert_ordered")
    assert revoked < AT_ONCE
    assert _event_at(bench, TargetEvent.REVERT_PROVED, locked) - plan.created >= HOUR
    bench.assert_clean(plan)


def test_within_the_budget_the_others_go_on_while_a_failed_guest_waits_for_a_lock_to_go_back() -> None:
    bench = Bench(make_policy(max_failures=1)).furnish(4).spoil(OTHER, behaviour=turns_unhealthy("2"))
    bench.datacentre.faults.afterwards("reboot", _lock(bench, OTHER), vmid=OTHER)
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert (progress.state, progress.count(TargetState.HEALTHY)) == (RolloutState.SUCCEEDED, 3)
    assert bench.tend(plan, 2 * HOUR).of(OTHER).state is TargetState.REVERTED
    bench.assert_clean(plan)


# ------------------------------------------------------------- while it pauses


def _pause_over_night(bench: Bench, seen: list[str]) -> None:
    """The rollout waits six hours for a person to promote, who first looks what the guest runs on."""

    def come_in_the_morning() -> None:
        bench.datacentre.settle()
        seen.append(bench.runs(OTHER))
        bench.order("resume")()

    bench.answers = [partial(bench.later, 6 * HOUR, come_in_the_morning)] * 2


def _open_pending() -> Bench:
    """A bad root is left pending by a lock that came just before its restart."""
    bench = Bench(make_policy(lock_wait="1m", auto_promote=False)).furnish(3)
    bench.spoil(OTHER, behaviour=turns_unhealthy("2"))
    bench.datacentre.faults.afterwards("exchange", _lock(bench, OTHER, 30 * MINUTE), vmid=OTHER)
    return bench


def test_a_bad_root_that_a_customers_restart_brings_while_the_rollout_is_paused_goes_back_at_once() -> None:
    bench, seen = _open_pending(), list[str]()
    _pause_over_night(bench, seen)
    bench.later(10 * MINUTE, partial(bench.datacentre.restart_inside, OTHER))
    plan = bench.submit("2")
    bench.work(plan)
    assert seen[0] == "1"
    assert bench.progress(plan).of(OTHER).state is TargetState.REVERTED
    bench.assert_clean(plan)


def test_a_root_that_was_left_pending_is_taken_away_when_the_lock_goes_though_the_rollout_is_paused() -> None:
    bench, seen = _open_pending(), list[str]()
    _pause_over_night(bench, seen)
    plan = bench.submit("2")
    bench.work(plan)
    assert seen == ["1"]
    assert _event_at(bench, TargetEvent.SKIPPED, OTHER) - plan.created < 35 * MINUTE
    assert not bench.executed("reboot").get(("reboot", OTHER))
    bench.assert_clean(plan)


def test_a_guest_that_was_switched_off_before_its_proof_is_proved_when_it_starts_though_the_rollout_is_paused() -> None:
    bench, seen = Bench(make_policy(auto_promote=False)).furnish(3), list[str]()
    bench.spoil(OTHER, behaviour=turns_unhealthy("2"))
    bench.datacentre.faults.afterwards("exchange", partial(bench.datacentre.power_off, OTHER), vmid=OTHER)
    _pause_over_night(bench, seen)

    def switch_on() -> None:
        bench.datacentre.containers[OTHER].wanted = True
        bench.datacentre.start(bench.datacentre.ref(OTHER))

    bench.later(HOUR, switch_on)
    plan = bench.submit("2")
    bench.work(plan)
    assert seen[0] == "1"
    bench.assert_clean(plan)


# ------------------------------------------------- found by attacks on the engine


def _lose_storage(bench: Bench, vmid: int, length: timedelta) -> None:
    """The guest's storage goes as its restart has stopped it."""
    container = bench.datacentre.containers[vmid]
    store = bench.datacentre.store(container.node, "local")
    store.active = False
    bench.datacentre.at(length, lambda: setattr(store, "active", True))


@pytest.mark.parametrize("dies", [False, True], ids=["", "the worker dies"])
def test_a_guest_that_its_restart_left_off_for_a_storage_is_started_also_if_a_lock_comes_first(dies: bool) -> None:
    bench = Bench(make_policy(start_timeout="3m")).furnish(3)
    bench.datacentre.faults.meanwhile("reboot", partial(_lose_storage, bench, OTHER, 5 * MINUTE), vmid=OTHER)
    bench.datacentre.at(2 * MINUTE, _lock(bench, OTHER, 30 * MINUTE))
    bench.answers = [partial(bench.later, HOUR, bench.order("resume"))] * 3
    plan = bench.submit("2")
    if dies:
        bench.later(4 * MINUTE, _die)
        with pytest.raises(WorkerDied):
            bench.work(plan)
    progress = bench.work(plan)
    assert progress.state is RolloutState.SUCCEEDED
    assert bench.tend(plan, 2 * HOUR).of(OTHER).state is TargetState.HEALTHY
    assert bench.revoked() == []
    bench.assert_clean(plan)


class WorkerDied(BaseException):
    """No code of it runs any more."""


def _die() -> None:
    raise WorkerDied


def _restart_inside(bench: Bench) -> None:
    bench.datacentre.restart_inside(OTHER)


def _withdrawing(event: Callable[[Bench], None], *, before: bool) -> Bench:
    """Something happens as an exchange is taken back whose restart a lock had prevented."""
    bench = Bench(make_policy(lock_wait="1m", auto_promote=False)).furnish(3)
    faults = bench.datacentre.faults
    faults.afterwards("exchange", _lock(bench, OTHER, 30 * MINUTE), vmid=OTHER)
    order = faults.meanwhile if before else faults.afterwards

    def arm() -> None:
        order("write_config", partial(event, bench), vmid=OTHER)

    bench.later(29 * MINUTE, arm)
    bench.answers = [partial(bench.later, 2 * HOUR, bench.order("resume"))] * 2
    return bench


def test_a_restart_that_comes_as_an_exchange_is_taken_back_is_not_undone_by_the_next_one() -> None:
    bench = _withdrawing(_restart_inside, before=True)
    plan = bench.submit("2")
    assert bench.work(plan).of(OTHER).state is TargetState.HEALTHY
    bench.datacentre.restart_inside(OTHER)
    bench.clock.sleep(MINUTE)
    assert bench.runs(OTHER) == "2"
    bench.assert_clean(plan)


def test_a_worker_that_dies_as_an_exchange_was_taken_back_costs_no_restart() -> None:
    bench = _withdrawing(lambda _: _die(), before=False)
    plan = bench.submit("2")
    with pytest.raises(WorkerDied):
        bench.work(plan)
    progress = bench.work(plan)
    assert (progress.state, progress.failures) == (RolloutState.SUCCEEDED, 0)
    assert bench.tend(plan, HOUR).of(OTHER).state is TargetState.SKIPPED
    assert not bench.executed("reboot").get(("reboot", OTHER))
    bench.assert_clean(plan)


def test_a_write_of_unknown_outcome_is_not_left_pending_when_a_lock_follows() -> None:
    bench = Bench(make_policy(lock_wait="1m")).furnish(3)
    faults = bench.datacentre.faults

    def die_and_lock() -> None:
        _lock(bench, OTHER, 30 * MINUTE)()
        _die()

    faults.afterwards("exchange", die_and_lock, vmid=OTHER)
    plan = bench.submit("2")
    with pytest.raises(WorkerDied):
        bench.work(plan)
    bench.work(plan)
    assert bench.tend(plan, HOUR).of(OTHER).state is TargetState.SKIPPED
    bench.datacentre.restart_inside(OTHER)
    bench.clock.sleep(MINUTE)
    assert bench.runs(OTHER) == "1"
    bench.assert_clean(plan)


def test_an_order_that_came_as_the_version_was_promoted_keeps_nobody_from_ordering_it_back() -> None:
    quiet = Bench().furnish(2)
    quiet.run("2")
    last = sum("write_config" in call.names and 8002 in call.vmids for call in quiet.datacentre.faults.log)
    bench = Bench().furnish(2)
    bench.datacentre.faults.meanwhile("write_config", bench.order("pause"), vmid=8002, nth=last)
    plan = bench.submit("2")
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    bench.order("revert", "bad")()
    assert bench.work(plan).state is RolloutState.REVERTED
    bench.assert_clean(plan)


@pytest.mark.parametrize("goes_on", [True, False], ids=["resumed", "aborted"])
def test_a_volume_that_a_customer_detaches_while_the_rollout_is_paused_is_never_taken_for_the_new_root(
    goes_on: bool,
) -> None:
    """The road broke between the intent to move the new root into that very slot and its request."""
    bench = Bench(make_policy(max_failures=3)).furnish(3)
    datacentre = bench.datacentre
    datacentre.faults.refuse("move_volume", RoadError("no route"), vmid=OTHER)
    theirs: list[str] = []

    def detach() -> None:
        container = datacentre.containers[OTHER]
        volume = datacentre.store(container.node, "local").allocate(OTHER, GIB, bench.clock.now())
        theirs.append(volume.volid)
        datacentre.edit_config(OTHER, unused0=volume.volid)
        bench.order("resume" if goes_on else "abort")()

    bench.answers = [partial(bench.later, HOUR, detach)]
    plan = bench.submit("2")
    progress = bench.work(plan)
    container = datacentre.containers[OTHER]
    assert progress.of(OTHER).state is TargetState.SKIPPED
    assert not bench.executed("reboot").get(("reboot", OTHER))
    assert container.config.unused[0].volume == theirs[0]
    assert theirs[0] in datacentre.store(container.node, "local").volumes


def test_a_restart_that_a_lock_refused_is_no_turn_for_the_next_worker() -> None:
    """It was asked for, and its task did nothing: the successor comes after the cutoff, and waits."""
    night = {"name": "night", "rule": "FREQ=DAILY", "start": "04:00", "length_minutes": 120, "cutoff_minutes": 30}
    bench = Bench(make_policy((night, night | {"name": "next", "start": "06:05"}), lock_wait="2h")).furnish(3)
    bench.clock.sleep(85 * MINUTE)
    faults = bench.datacentre.faults
    faults.fail_task("reboot", GuestLocked("CT is locked (backup)", "backup"), vmid=OTHER)
    faults.afterwards("reboot", _lock(bench, OTHER, 10 * MINUTE), vmid=OTHER)
    bench.later(6 * MINUTE, _die)
    plan = bench.submit("2")
    with pytest.raises(WorkerDied):
        bench.work(plan)
    bench.clock.sleep(15 * MINUTE)
    bench.work(plan)
    assert bench.entries(Kind.REQUESTED, "exchange.restart", OTHER)[-1].at.hour == 6


def test_an_order_is_obeyed_that_came_while_somebody_elses_task_delayed_a_restart() -> None:
    bench = Bench().furnish(3)
    datacentre = bench.datacentre

    def shut_down_in_vain() -> None:
        datacentre.faults.fail_task("shutdown", "it refuses", vmid=OTHER)
        datacentre.faults.slow_task("shutdown", 4 * MINUTE, vmid=OTHER)
        datacentre.shutdown(datacentre.ref(OTHER), 4 * MINUTE)
        bench.later(MINUTE, bench.order("pause"))

    datacentre.faults.afterwards("exchange", shut_down_in_vain, vmid=OTHER)
    bench.answers = [partial(bench.later, HOUR, bench.order("abort"))]
    bench.run("2")
    assert not bench.entries(Kind.REQUESTED, "exchange.restart", OTHER)


def test_an_order_that_came_before_an_exchange_was_left_pending_is_obeyed() -> None:
    bench = Bench(make_policy(exchange_pending="any-time")).furnish(3)
    store = bench.datacentre.store("n2", "local")

    def come_back() -> None:
        bench.order("pause")()
        store.active = True

    def go() -> None:
        store.active = False
        bench.later(5 * MINUTE, come_back)

    bench.datacentre.faults.afterwards("reboot", go, vmid=CANARY)
    bench.answers = [partial(bench.later, HOUR, bench.order("abort"))]
    bench.run("2")
    assert not bench.entries(Kind.EVENT, TargetEvent.EXCHANGE_BEGAN, OTHER)


def _switch_off_and_on(bench: Bench, after: timedelta) -> None:
    """A guest is switched off before its restart, and on again on a bad root."""
    bench.spoil(OTHER, behaviour=turns_unhealthy("2"))
    bench.datacentre.faults.afterwards("exchange", partial(bench.datacentre.power_off, OTHER), vmid=OTHER)

    def switch_on() -> None:
        bench.datacentre.containers[OTHER].wanted = True
        bench.datacentre.start(bench.datacentre.ref(OTHER))

    bench.later(after, switch_on)


@pytest.mark.parametrize("ends", [False, True], ids=["another one waits for a lock", "an abort waits for a lock"])
def test_a_guest_that_starts_on_a_bad_root_while_a_lock_is_waited_for_goes_back_at_once(ends: bool) -> None:
    bench = Bench(make_policy(lock_wait="2h", max_failures=2)).furnish(4)
    _switch_off_and_on(bench, 10 * MINUTE)
    lock = _lock(bench, 5003, 100 * MINUTE)
    if ends:
        bench.datacentre.faults.afterwards("exchange", lock, vmid=5003)
        bench.later(5 * MINUTE, bench.order("abort"))
    else:
        bench.datacentre.faults.afterwards("reboot", lock, vmid=CANARY)
    plan = bench.submit("2")
    bench.work(plan)
    assert _event_at(bench, TargetEvent.REVERT_PROVED, OTHER) - plan.created < 15 * MINUTE
    bench.assert_clean(plan)


def test_a_revert_is_heard_while_an_abort_waits_for_a_lock() -> None:
    bench = Bench(make_policy(lock_wait="1m")).furnish(4)
    bench.datacentre.faults.afterwards("exchange", _lock(bench, OTHER, 6 * HOUR), vmid=OTHER)
    bench.datacentre.faults.afterwards("reboot", bench.order("abort"), vmid=5003)
    bench.later(20 * MINUTE, bench.order("revert", "bad"))
    plan = bench.submit("2")
    assert bench.work(plan).state is RolloutState.REVERTED
    assert _event_at(bench, TargetEvent.REVERT_PROVED, CANARY) - plan.created < 25 * MINUTE
    bench.assert_clean(plan)


def test_a_guest_that_becomes_stuck_while_the_others_go_on_pauses_the_rollout() -> None:
    bench = Bench(make_policy(max_failures=2)).furnish(6).spoil(OTHER, behaviour=turns_unhealthy("2"))
    faults = bench.datacentre.faults
    faults.afterwards("reboot", break_old_root(bench, OTHER), vmid=OTHER)
    faults.afterwards("reboot", _lock(bench, OTHER, 3 * MINUTE), vmid=OTHER)
    faults.afterwards("reboot", _lock(bench, 5005, 5 * MINUTE), vmid=5004)
    bench.answers = [bench.order("resume")]
    bench.run("2")
    assert len(bench.pauses) == 1 and "guest 5002 could not be proved on its old root" in bench.pauses[0]


def test_a_clearing_that_fails_once_ends_no_way_back() -> None:
    bench = Bench().furnish(3, second=never_boots("2"))
    bench.datacentre.faults.fail_task("destroy", "volume busy")
    plan = bench.submit("2")
    assert bench.work(plan).state is RolloutState.REVERTED
    bench.assert_clean(plan)


def test_a_guest_that_moves_during_its_late_proof_is_proved_where_it_is_now() -> None:
    bench = Bench().furnish(3)
    _switch_off_and_on(bench, HOUR)
    plan = bench.submit("2")
    bench.work(plan)
    datacentre = bench.datacentre
    datacentre.faults.meanwhile("read_address", partial(datacentre.migrate_guest, OTHER, "n1"), vmid=OTHER)
    assert bench.tend(plan, 3 * HOUR).of(OTHER).state is TargetState.REVERTED
    assert bench.runs(OTHER) == "1"
