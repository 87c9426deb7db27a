"""Nothing that takes long keeps an order from being obeyed, a half-way guest from being looked after, or a pause from
being one.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import pytest

from tests.application.notice_bench import TellingBench, make_telling_policy
from tests.application.rollout_bench import Bench, make_policy
from tests.application.test_worker import open_worker
from tests.datacentre import cannot_be_measured, good, turns_unhealthy
from zlh_hooks.application.root_driver import PUT
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import RoadError, Unreadable
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.steps import RolloutEvent, RolloutState, TargetEvent, TargetState

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
CANARY, GUEST, OTHER = 5001, 5002, 5003
EVENING = {"name": "evening", "rule": "FREQ=DAILY", "start": "20:00", "length_minutes": 60}
NIGHT = {"name": "night", "rule": "FREQ=DAILY", "start": "04:00", "length_minutes": 60}


def _event_at(bench: Bench, name: str, vmid: int | None = None) -> datetime:
    return bench.entries(Kind.EVENT, name, vmid)[-1].at


def _switch_off(bench: Bench, vmid: int) -> None:
    """Its customer switches it off before our restart, so that its proof is owed."""
    bench.datacentre.faults.afterwards("exchange", partial(bench.datacentre.power_off, vmid), vmid=vmid)


# -------------------------------------------------------------------- orders


def _soak_over(bench: Bench) -> None:
    """The first two guests are due to be settled, and being backed up."""
    bench.deadline += 24 * HOUR
    bench.clock.sleep(20 * HOUR)
    for vmid in (CANARY, GUEST):
        bench.datacentre.lock(vmid, "backup", 5 * HOUR)


def _soak_over_and_a_backup_begins(bench: Bench) -> None:
    """Just as the old root is to be freed."""
    bench.deadline += 24 * HOUR
    bench.clock.sleep(20 * HOUR)
    lock = partial(bench.datacentre.lock, CANARY, "backup", 5 * HOUR)
    bench.datacentre.faults.meanwhile("write_config", lock, vmid=CANARY)


def _proof_owed(bench: Bench) -> None:
    bench.datacentre.power_on(GUEST)
    bench.datacentre.lock(GUEST, "backup", 5 * HOUR)


@pytest.mark.parametrize("begin", [_soak_over, _soak_over_and_a_backup_begins, _proof_owed])
def test_a_look_at_locked_guests_in_the_soak_keeps_no_way_back_waiting(begin: Callable[[Bench], None]) -> None:
    bench = Bench(make_policy(lock_wait="2h", soak="1h")).furnish(3)
    if begin is _proof_owed:
        _switch_off(bench, GUEST)
    plan = bench.submit("2")
    bench.work(plan)
    begin(bench)
    began = bench.clock.now()
    bench.engine().open_soak(plan).tend()
    assert bench.clock.now() - began < MINUTE


def test_guests_that_are_locked_when_they_are_to_be_settled_fill_no_ledger() -> None:
    bench = Bench(make_policy(soak="1h")).furnish(2)
    plan = bench.submit("2")
    bench.work(plan)
    _soak_over(bench)
    before = len(bench.ledger.read())
    for _ in range(20):
        bench.engine().open_soak(plan).tend()
    assert len(bench.ledger.read()) - before == 2


def test_settling_goes_on_no_further_once_a_way_back_is_ordered() -> None:
    bench = Bench(make_policy(soak="1h")).furnish(6)
    plan = bench.submit("2")
    bench.work(plan)
    bench.deadline += 24 * HOUR
    bench.clock.sleep(24 * HOUR)
    bench.datacentre.faults.afterwards("write_config", bench.order("revert"), vmid=CANARY)
    assert bench.tend(plan, 10 * MINUTE).count(TargetState.SETTLED) == 1


def test_guests_that_cannot_be_measured_keep_no_order_waiting() -> None:
    rules = {"max_parallel": 5, "max_parallel_per_node": 5, "healthy_deadline": "10m"}
    bench = Bench(make_policy(**rules)).furnish(6).spoil(*range(5002, 5007), behaviour=cannot_be_measured("2"))
    bench.answers = [lambda: bench.later(MINUTE, bench.order("revert", "enough"))]
    plan = bench.submit("2")
    bench.work(plan)
    (ordered,) = bench.entries(Kind.COMMAND, "revert")
    assert _event_at(bench, RolloutEvent.REVERT_ORDERED) - ordered.at < MINUTE
    bench.assert_clean(plan)


def test_an_abort_waits_for_one_proof_at_most() -> None:
    rules = {"max_parallel": 5, "max_parallel_per_node": 5, "healthy_deadline": "10m", "max_errors": 0}
    bench = Bench(make_policy(**rules)).furnish(6).spoil(*range(5002, 5007), behaviour=cannot_be_measured("2"))
    bench.answers = [lambda: bench.later(MINUTE, bench.order("abort"))]
    bench.work(bench.submit("2"))
    (ordered,) = bench.entries(Kind.COMMAND, "abort")
    (heard,) = [entry.at for entry in bench.entries(Kind.NOTE, "stage") if entry.data["text"] == "ending here"]
    assert heard - ordered.at < 11 * MINUTE


def test_a_proof_is_broken_off_when_all_shall_go_back() -> None:
    bench = Bench(make_policy(min_healthy_time="5m", healthy_deadline="10m")).furnish(2)
    bench.datacentre.faults.afterwards("reboot", lambda: bench.later(MINUTE, bench.order("revert")), vmid=CANARY)
    plan = bench.submit("2")
    assert bench.work(plan).state is RolloutState.REVERTED
    (ordered,) = bench.entries(Kind.COMMAND, "revert")
    assert _event_at(bench, TargetEvent.REVERT_BEGAN, CANARY) - ordered.at < timedelta(seconds=10)
    bench.assert_clean(plan)


@pytest.mark.parametrize("verb", ["abort", "revert", "pause"])
def test_an_order_is_heard_while_staging_waits_for_a_lock(verb: str) -> None:
    bench = Bench(make_policy(lock_wait="3h")).furnish(3)
    lock = partial(bench.datacentre.lock, OTHER, "backup", 2 * HOUR)
    bench.datacentre.faults.meanwhile("write_config", lock, vmid=OTHER)
    bench.answers = [lambda: bench.later(MINUTE, bench.order("abort"))]
    bench.later(5 * MINUTE, bench.order(verb))
    plan = bench.submit("2")
    bench.deadline = bench.clock.now() + HOUR
    bench.work(plan)
    bench.deadline += 3 * HOUR
    bench.clock.sleep(2 * HOUR)
    bench.engine().open_soak(plan).tend()
    bench.assert_clean(plan)


# -------------------------------------------------------- several at one time


def _count_begun(bench: Bench, plan: Plan) -> int:
    return sum(row.began_at is not None for row in bench.progress(plan).targets)


def _assert_nobody_begins_once_it_pauses(bench: Bench, parallel: int) -> None:
    begun: list[int] = []
    plan = bench.submit("2")
    bench.answers = [lambda: (begun.append(_count_begun(bench, plan)), bench.later(MINUTE, bench.order("revert")))]
    bench.work(plan)
    assert begun[0] <= 1 + parallel
    assert _count_begun(bench, plan) == begun[0]


@pytest.mark.parametrize("parallel", [1, 2, 4])
def test_nobody_begins_after_the_error_that_is_one_too_many(parallel: int) -> None:
    rules = {"max_parallel": parallel, "max_parallel_per_node": parallel, "max_errors": 0, "waves": ["100%"]}
    bench = Bench(make_policy(**rules)).furnish(12).spoil(*range(5002, 5013), behaviour=cannot_be_measured("2"))
    _assert_nobody_begins_once_it_pauses(bench, parallel)


@pytest.mark.parametrize("parallel", [1, 2])
def test_nobody_begins_beside_a_guest_whose_road_is_broken(parallel: int) -> None:
    bench = Bench(make_policy(max_parallel=parallel, max_parallel_per_node=parallel, waves=["100%"])).furnish(12)
    faults = bench.datacentre.faults
    broken = partial(faults.refuse, "read_power", RoadError("no route"), times=99, vmid=OTHER)
    faults.afterwards("reboot", broken, vmid=CANARY)
    _assert_nobody_begins_once_it_pauses(bench, parallel)


def test_a_guest_that_cannot_be_read_before_its_turn_is_left_out_and_pauses_nobody() -> None:
    bench = Bench().furnish(4)
    faults = bench.datacentre.faults
    broken = partial(faults.refuse, "read_power", Unreadable("no answer from its monitor"), times=10**6, vmid=OTHER)
    faults.afterwards("reboot", broken, vmid=CANARY)
    progress = bench.run("2")
    assert (progress.state, progress.count(TargetState.HEALTHY)) == (RolloutState.SUCCEEDED, 3)
    assert "no answer from its monitor" in progress.of(OTHER).reason


# ------------------------------------------------------------------- half-way


def test_a_guest_that_an_earlier_rollout_owes_its_proof_is_looked_after_while_a_later_one_waits() -> None:
    bench = Bench(make_policy([NIGHT, EVENING], max_failures=2)).furnish(4, third=good("3"))
    bench.spoil(GUEST, behaviour=turns_unhealthy("2"))
    _switch_off(bench, GUEST)
    bench.deadline = bench.clock.now() + 75 * MINUTE
    worker = open_worker(bench)
    first = bench.submit("2")
    bench.later(61 * MINUTE, lambda: bench.submit("3"))
    bench.later(70 * MINUTE, partial(bench.datacentre.power_on, GUEST))
    with pytest.raises(AssertionError, match="it does not end"):  # the later one waits for the evening
        worker.run(stays=True)
    assert _event_at(bench, TargetEvent.REVERT_PROVED, GUEST) - first.created < 72 * MINUTE
    second = bench.desk().find(None)
    assert second.state is RolloutState.RUNNING
    assert f"rollout {first.id} has still to bring it to its end" in second.of(GUEST).reason


def test_a_guest_that_an_earlier_rollout_owes_its_proof_is_looked_after_while_a_later_one_goes_back() -> None:
    bench = Bench(make_policy(max_failures=2)).furnish(4, third=good("3"))
    bench.spoil(GUEST, behaviour=turns_unhealthy("2"))
    _switch_off(bench, GUEST)
    first = bench.submit("2")
    bench.work(first)
    second = bench.submit("3")
    bench.datacentre.faults.afterwards("reboot", bench.order("revert"), vmid=CANARY)
    lock = partial(bench.datacentre.lock, CANARY, "backup", 5 * HOUR)
    bench.datacentre.faults.afterwards("reboot", lock, vmid=CANARY)
    bench.later(HOUR, partial(bench.datacentre.power_on, GUEST))
    bench.work(second)
    assert _event_at(bench, TargetEvent.REVERT_PROVED, GUEST) - second.created < HOUR + 10 * MINUTE
    assert bench.progress(second).state is RolloutState.REVERTED


def test_a_lock_that_was_waited_for_before_a_restart_is_not_what_the_next_guest_needs() -> None:
    bench = Bench(make_policy(lock_wait="20m")).furnish(3)
    lock = partial(bench.datacentre.lock, CANARY, "backup", 15 * MINUTE)
    bench.datacentre.faults.afterwards("exchange", lock, vmid=CANARY)
    took = bench.run("2").of(CANARY).took
    assert took is not None and took < MINUTE


def test_how_long_a_storage_was_away_after_a_restart_is_not_what_the_next_guest_needs() -> None:
    bench = Bench().furnish(3)
    store = bench.datacentre.store("n1", "local")
    bench.datacentre.faults.afterwards("reboot", lambda: setattr(store, "active", False), vmid=CANARY)
    bench.later(5 * HOUR, lambda: setattr(store, "active", True))
    bench.answers = [lambda: bench.later(6 * HOUR, bench.order("resume"))]
    bench.deadline += 12 * HOUR
    progress = bench.run("2")
    assert (progress.state, progress.of(CANARY).took) == (RolloutState.SUCCEEDED, None)


def test_a_half_way_guest_is_looked_after_while_the_write_of_another_one_waits_for_a_lock() -> None:
    bench = Bench(make_policy(lock_wait="2h", max_failures=2)).furnish(4).spoil(GUEST, behaviour=turns_unhealthy("2"))
    _switch_off(bench, GUEST)
    bench.later(10 * MINUTE, partial(bench.datacentre.power_on, GUEST))
    lock = partial(bench.datacentre.lock, OTHER, "backup", 50 * MINUTE)
    bench.datacentre.faults.meanwhile("exchange", lock, vmid=OTHER)
    plan = bench.submit("2")
    bench.work(plan)
    assert _event_at(bench, TargetEvent.REVERT_PROVED, GUEST) - plan.created < 15 * MINUTE
    bench.assert_clean(plan)


def test_a_proof_that_waits_for_a_backup_fills_no_ledger() -> None:
    bench = Bench(make_policy(lock_wait="1m", auto_promote=False)).furnish(3)
    bench.datacentre.faults.afterwards("reboot", partial(bench.datacentre.lock, GUEST, "backup", 6 * HOUR), vmid=GUEST)
    counts: list[int] = []

    def count_and_go_on() -> None:
        counts.append(len(bench.ledger.read()))
        bench.order("resume")()

    bench.answers = [lambda: (counts.append(len(bench.ledger.read())), bench.later(5 * HOUR, count_and_go_on))]
    bench.work(bench.submit("2"))
    assert counts[1] - counts[0] < 10


# --------------------------------------------------------------- pending roots


def test_where_a_date_is_promised_no_root_is_left_pending() -> None:
    bench = TellingBench(make_telling_policy(exchange_pending="any-time")).furnish(4)
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == 4
    for target in plan.targets:
        written = bench.entries(Kind.INTENT, PUT, target.vmid)[0].at
        assert bench.entries(Kind.REQUESTED, "exchange.restart", target.vmid)[0].at - written < MINUTE
