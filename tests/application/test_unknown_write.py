"""What a dead worker left without an answer, and what was refused: nothing is done twice, late, or held against a version."""

from collections.abc import Callable
from datetime import timedelta
from functools import cache, partial

import pytest

from tests.application.rollout_bench import Bench, make_policy
from tests.datacentre import Crash, turns_unhealthy
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import TargetError
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.progress import RESTART
from zlh_hooks.domain.steps import HALF_WAY, RolloutState, TargetEvent, TargetState

CANARY, GUEST = 5001, 5002
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
NIGHT = {"name": "night", "rule": "FREQ=DAILY", "start": "10:00", "length_minutes": 120}


def _die_at_work(bench: Bench, plan: Plan) -> None:
    """One worker, to its death."""
    with pytest.raises(Crash):
        bench.work(plan)
    bench.datacentre.faults.restart()
    bench.datacentre.faults.clear()


# ------------------------------------------------------- orders after a death


def _locked_bench() -> Bench:
    return Bench(make_policy(lock_wait="10m")).furnish(2)


@cache
def _count_requests() -> int:
    bench = _locked_bench()
    bench.work(bench.submit("2"))
    return sum(call.changing and "append" not in call.names for call in bench.datacentre.faults.log)


def _die_at_request(bench: Bench, number: int, *, sent: bool) -> None:
    seen = 0

    def count() -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            bench.datacentre.faults.dead = True
            raise Crash(f"at request {number}")

    bench.datacentre.faults.always(None, count, after=sent)


def _order_if_it_runs(bench: Bench, plan: Plan, verb: str) -> None:
    if bench.progress(plan).state is RolloutState.RUNNING:
        bench.order(verb)()


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.matrix), 7], ids=["all", "sample"])
@pytest.mark.parametrize("verb", ["pause", "abort", "revert"])
@pytest.mark.parametrize("sent", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("is_off", [False, True], ids=["on", "off for a while"])
def test_a_restart_that_a_dead_worker_left_open_is_not_sent_after_an_order_when_a_lock_goes(
    verb: str, sent: bool, is_off: bool, every: int
) -> None:
    for number in range(1, _count_requests() + 1, every):
        bench = _locked_bench()
        plan = bench.submit("2")
        _die_at_request(bench, number, sent=sent)
        try:
            bench.work(plan)
        except Crash:
            bench.datacentre.faults.restart()
            bench.datacentre.faults.clear()
        for vmid in (CANARY, GUEST):
            bench.datacentre.lock(vmid, "backup", 9 * MINUTE)
            if is_off:
                bench.datacentre.power_off(vmid)
                bench.later(7 * MINUTE, partial(bench.datacentre.power_on, vmid))
        bench.answers = [lambda bench=bench: bench.later(HOUR, bench.order("revert"))]  # type: ignore[misc]
        if bench.progress(plan).is_executing:
            bench.later(5 * MINUTE, partial(_order_if_it_runs, bench, plan, verb))
            bench.work(plan)
        for ordered in bench.entries(Kind.COMMAND, verb)[:1]:
            restarts = bench.entries(Kind.REQUESTED, RESTART)
            assert [e for e in restarts if e.at > ordered.at and "adopted" not in e.data] == [], number
        bench.tend(plan, HOUR)  # a lock may have kept something from being cleared away
        bench.assert_clean(plan)


# --------------------------------------------------- a write nobody answers for


def test_a_bad_root_of_a_write_without_answer_that_a_customer_brings_goes_back_while_the_rollout_is_paused() -> None:
    bench = Bench(make_policy([NIGHT], exchange_pending="any-time")).furnish(3)
    bench.spoil(CANARY, behaviour=turns_unhealthy("2"))
    plan = bench.submit("2")
    bench.datacentre.faults.die_after("exchange", vmid=CANARY)
    _die_at_work(bench, plan)
    bench.order("pause")()
    bench.answers = [lambda: bench.later(2 * HOUR, bench.order("abort"))]
    bench.datacentre.restart_inside(CANARY)
    bench.work(plan)
    (back,) = bench.entries(Kind.EVENT, TargetEvent.REVERT_PROVED, CANARY)
    assert back.at - plan.created < 20 * MINUTE
    bench.assert_clean(plan)


def test_a_guest_that_falls_ill_under_a_write_without_answer_is_not_restarted_for_it() -> None:
    bench = Bench(make_policy([NIGHT], exchange_pending="any-time", lock_wait="1m")).furnish(3)
    plan = bench.submit("2")
    bench.datacentre.faults.die_after("exchange", vmid=CANARY)
    _die_at_work(bench, plan)
    for volume in bench.datacentre.volumes_of(bench.datacentre.containers[CANARY]):
        if volume.behaviour is not None and volume.behaviour.version == "1":
            volume.behaviour = turns_unhealthy("1", after=0)
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert bench.tend(plan, HOUR).of(CANARY).state is TargetState.SKIPPED
    assert ("reboot", CANARY) not in bench.executed("reboot")


@pytest.mark.parametrize("event", ["lose_answer", "die_after", "nothing"])
def test_a_guest_that_moves_between_its_write_and_the_look_at_it_is_proved_where_it_is(event: str) -> None:
    bench = Bench().furnish(3)
    faults = bench.datacentre.faults
    plan = bench.submit("2")
    faults.afterwards("exchange", partial(bench.datacentre.migrate_guest, CANARY, "n2"), vmid=CANARY)
    if event == "lose_answer":
        faults.lose_answer("exchange", vmid=CANARY)
    if event == "die_after":
        faults.die_after("exchange", vmid=CANARY)
        _die_at_work(bench, plan)
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert bench.tend(plan, HOUR).of(CANARY).state is TargetState.HEALTHY
    assert bench.runs(CANARY) == "2"


def test_a_customers_restart_while_ours_waits_for_a_lock_is_followed_by_none_of_ours() -> None:
    bench = Bench(make_policy(lock_wait="20m")).furnish(3)
    bench.datacentre.faults.afterwards(
        "exchange", partial(bench.datacentre.lock, CANARY, "backup", 9 * MINUTE), vmid=CANARY
    )
    bench.later(4 * MINUTE, partial(bench.datacentre.restart_inside, CANARY))
    plan = bench.submit("2")
    assert bench.work(plan).of(CANARY).state is TargetState.HEALTHY
    assert ("reboot", CANARY) not in bench.executed("reboot")


def _stop_by_task(bench: Bench, vmid: int) -> None:
    """As the button of Proxmox's own pages does it."""
    bench.datacentre.containers[vmid].wanted = False
    bench.datacentre.cluster.power.stop(bench.datacentre.ref(vmid))


def test_a_guest_that_somebody_stops_behind_our_restart_while_no_worker_lives_condemns_no_version() -> None:
    bench = Bench(make_policy(max_failures=0)).furnish(3)
    plan = bench.submit("2")
    bench.datacentre.faults.die_after("reboot", vmid=CANARY)
    _die_at_work(bench, plan)
    bench.clock.sleep(MINUTE)
    _stop_by_task(bench, CANARY)
    bench.clock.sleep(MINUTE)
    progress = bench.work(plan)
    assert (bench.revoked(), progress.of(CANARY).state) == ([], TargetState.PROVING)
    assert "somebody else stopped it" in progress.of(CANARY).reason


def test_a_guest_that_its_customer_shuts_down_between_its_proof_and_the_record_of_it_stays_off() -> None:
    bench = Bench(make_policy(max_failures=0)).furnish(3)
    plan = bench.submit("2")

    def die_when_proved() -> None:
        if bench.entries(Kind.EVIDENCE, "after", CANARY):
            bench.datacentre.faults.dead = True
            raise Crash("before its end is recorded")

    bench.datacentre.faults.always("write_config", die_when_proved)
    _die_at_work(bench, plan)
    bench.datacentre.power_off(CANARY)
    bench.clock.sleep(MINUTE)
    progress = bench.work(plan)
    assert (bench.revoked(), progress.of(CANARY).state) == ([], TargetState.HEALTHY)
    assert not bench.datacentre.containers[CANARY].running


# ------------------------------------------------------------ what was refused


@pytest.mark.parametrize("vmid", [CANARY, GUEST])
def test_a_write_that_proxmox_refuses_changes_nothing_and_speaks_against_no_version(vmid: int) -> None:
    bench = Bench().furnish(3)
    bench.datacentre.faults.refuse("exchange", TargetError("can't update CT - protection mode enabled"), vmid=vmid)
    plan = bench.submit("2")
    progress = bench.work(plan)
    row = progress.of(vmid)
    assert (progress.state, row.state, "protection" in row.reason) == (
        RolloutState.SUCCEEDED,
        TargetState.SKIPPED,
        True,
    )
    assert (progress.failures, bench.revoked(), bench.runs(vmid)) == (0, [], "1")
    bench.assert_clean(plan)


def _take_back(bench: Bench, vmid: int) -> None:
    """As the button of Proxmox's own pages does it."""
    bench.datacentre.containers[vmid].pending.clear()


def _bring_back(bench: Bench, vmid: int) -> None:
    bench.datacentre.bring_back(vmid)


@pytest.mark.parametrize("method", ["exchange", "reboot"])
@pytest.mark.parametrize("vmid", [CANARY, GUEST])
@pytest.mark.parametrize("act", [_take_back, _bring_back])
def test_a_pending_root_that_goes_in_the_moment_of_our_restart_condemns_no_version(
    method: str, vmid: int, act: Callable[[Bench, int], None]
) -> None:
    bench = Bench().furnish(3)
    faults = bench.datacentre.faults
    order = faults.afterwards if method == "exchange" else faults.meanwhile
    order(method, partial(act, bench, vmid), vmid=vmid)
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert (progress.state, progress.of(vmid).state) == (RolloutState.SUCCEEDED, TargetState.SKIPPED)
    assert (bench.runs(vmid), bench.revoked(), progress.count(*HALF_WAY)) == ("1", [], 0)
