"""A guest's turn: whatever has to be waited for, nothing begins outside its window, against an order, or among players."""

from dataclasses import replace
from datetime import timedelta
from functools import cache, partial

import pytest

from tests.application.rollout_bench import Bench, make_policy
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.evidence import Measurement
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.probe import Probe
from zlh_hooks.domain.progress import RESTART
from zlh_hooks.domain.steps import RolloutState, TargetEvent, TargetState

GUESTS = 3
MINUTE = timedelta(minutes=1)
NIGHT = ({"name": "night", "rule": "FREQ=DAILY", "start": "04:00", "length_minutes": 120, "cutoff_minutes": 30},)
MORNING = {"name": "morning", "rule": "FREQ=DAILY", "start": "06:05", "length_minutes": 120, "cutoff_minutes": 30}
OPEN = (
    (timedelta(hours=4), timedelta(hours=5, minutes=30)),
    (timedelta(hours=6, minutes=5), timedelta(hours=7, minutes=35)),
)
"""From when to when something may begin in these two."""
BEFORE_CUTOFF = timedelta(minutes=85)
"""From the bench's beginning to 05:25: an undisturbed rollout is over before the cutoff."""
MIDNIGHT = {"hour": 0, "minute": 0, "second": 0, "microsecond": 0}


# -------------------------------------------------------- locks and the cutoff


def _shortly_before_the_cutoff() -> Bench:
    bench = Bench(make_policy((*NIGHT, MORNING))).furnish(GUESTS)
    bench.clock.sleep(BEFORE_CUTOFF)
    return bench


@cache
def _count_changes() -> int:
    """How many changing requests an undisturbed rollout makes at that hour."""
    bench = _shortly_before_the_cutoff()
    bench.work(bench.submit("2"))
    return sum(call.changing and "append" not in call.names for call in bench.datacentre.faults.log)


def _list_late(bench: Bench) -> list[str]:
    """What was begun outside a window, or after its cutoff: a change, or a restart that brings it."""
    began = bench.entries(Kind.EVENT, TargetEvent.EXCHANGE_BEGAN) + bench.entries(Kind.REQUESTED, RESTART)
    times = [(entry, entry.at - entry.at.replace(**MIDNIGHT)) for entry in began]
    late = [entry for entry, time in times if not any(opens <= time <= cutoff for opens, cutoff in OPEN)]
    return [f"{entry.target} {entry.name} {entry.at:%a %H:%M:%S}" for entry in late]


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.matrix), 9], ids=["all", "sample"])
@pytest.mark.parametrize("vmid", [5001, 5002])
@pytest.mark.parametrize("minutes", [9, 20], ids=["within lock_wait", "beyond lock_wait"])
def test_a_guest_that_is_locked_at_any_moment_before_the_cutoff_is_never_begun_or_restarted_after_it(
    vmid: int, minutes: int, every: int
) -> None:
    for nth in range(1, _count_changes() + 1, every):
        bench = _shortly_before_the_cutoff()
        lock = partial(bench.datacentre.lock, vmid, "backup", minutes * MINUTE)
        bench.datacentre.faults.meanwhile(None, lock, nth)
        plan = bench.submit("2")
        progress = bench.work(plan)
        assert not _list_late(bench), f"locked at change {nth}"
        assert progress.state is RolloutState.SUCCEEDED, f"locked at change {nth}: {progress.reason}"
        bench.tend(plan, timedelta(minutes=30))
        bench.assert_clean(plan)


def test_a_guest_whose_lock_goes_after_the_cutoff_comes_in_the_next_window() -> None:
    bench = _shortly_before_the_cutoff()
    lock = partial(bench.datacentre.lock, 5002, "backup", 9 * MINUTE)
    bench.datacentre.faults.meanwhile("exchange", lock, vmid=5001)
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    (began,) = bench.entries(Kind.EVENT, TargetEvent.EXCHANGE_BEGAN, 5002)
    assert began.at.hour == 6


@pytest.mark.parametrize("begun", [False, True], ids=["to begin", "to restart"])
@pytest.mark.parametrize("verb", ["pause", "abort", "revert"])
def test_an_order_is_obeyed_while_a_lock_is_waited_for(verb: str, begun: bool) -> None:
    bench = Bench().furnish(GUESTS)
    bench.answers = [partial(bench.later, timedelta(hours=1), bench.order("abort"))]
    lock = partial(bench.datacentre.lock, 5002, "backup", 9 * MINUTE)
    if begun:
        bench.datacentre.faults.afterwards("exchange", lock, vmid=5002)
    else:
        bench.datacentre.faults.meanwhile("exchange", lock, vmid=5001)
    bench.later(4 * MINUTE, bench.order(verb))
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert bool(bench.entries(Kind.EVENT, TargetEvent.EXCHANGE_BEGAN, 5002)) == begun
    assert not bench.executed("reboot").get(("reboot", 5002))
    assert progress.of(5002).state in (TargetState.SKIPPED, *([TargetState.REVERTED] if begun else ()))
    bench.tend(plan, timedelta(hours=1))
    bench.assert_clean(plan)


def test_an_order_that_comes_a_moment_before_the_lock_goes_is_obeyed() -> None:
    bench = Bench().furnish(GUESTS)
    bench.answers = [partial(bench.later, timedelta(hours=1), bench.order("abort"))]

    def lock() -> None:
        bench.datacentre.lock(5002, "backup", 5 * MINUTE)
        bench.later(5 * MINUTE - timedelta(seconds=2), bench.order("pause"))

    bench.datacentre.faults.afterwards("exchange", lock, vmid=5002)
    bench.run("2")
    assert not bench.entries(Kind.REQUESTED, RESTART, 5002)


# ------------------------------------------------------------------- players

PLAYERS = {"probes": [{"kind": "agent"}, {"kind": "minecraft", "port": 25565}]}


def _open_with_players(*counts: int, **rules: object) -> Bench:
    bench = Bench(make_policy(line=PLAYERS, wait_until_empty="30m", **rules)).furnish(len(counts))
    for vmid, count in enumerate(counts, 5001):
        bench.datacentre.set_players(vmid, count)
    return bench


def test_who_joins_before_the_window_opens_is_waited_for_in_it() -> None:
    bench = _open_with_players(0, windows=(MORNING,))
    bench.clock.sleep(timedelta(minutes=110))
    bench.later(10 * MINUTE, lambda: bench.datacentre.set_players(5001, 7))
    bench.later(25 * MINUTE, lambda: bench.datacentre.set_players(5001, 0))
    plan = bench.submit("2")
    bench.work(plan)
    (restarted,) = bench.entries(Kind.REQUESTED, RESTART, 5001)
    assert 25 * MINUTE <= restarted.at - plan.created < 27 * MINUTE


def test_a_count_that_is_not_answered_is_not_taken_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = _open_with_players(7)
    measure = bench.datacentre.measure

    def lose_counts(probe: Probe, ref: GuestRef, address: str | None) -> Measurement:
        answer = measure(probe, ref, address)
        is_lost = probe.counts_players and bench.clock.now().minute == 10
        return replace(answer, facts={}) if is_lost else answer

    monkeypatch.setattr(bench.datacentre, "measure", lose_counts)
    plan = bench.submit("2")
    bench.work(plan)
    (restarted,) = bench.entries(Kind.REQUESTED, RESTART, 5001)
    assert restarted.at - plan.created >= 30 * MINUTE


def test_players_are_waited_for_again_after_a_lock_was() -> None:
    bench = _open_with_players(0, 0)
    bench.datacentre.faults.meanwhile("exchange", partial(bench.datacentre.lock, 5002, "backup", 5 * MINUTE), vmid=5001)
    bench.later(3 * MINUTE, lambda: bench.datacentre.set_players(5002, 4))
    bench.later(15 * MINUTE, lambda: bench.datacentre.set_players(5002, 0))
    plan = bench.submit("2")
    bench.work(plan)
    (restarted,) = bench.entries(Kind.REQUESTED, RESTART, 5002)
    assert 15 * MINUTE <= restarted.at - plan.created < 17 * MINUTE


def test_in_each_window_players_are_waited_for_anew() -> None:
    """They play over the first one's cutoff: what was waited then is not taken off the next wait."""
    short = {"name": "short", "rule": "FREQ=DAILY", "start": "04:00", "length_minutes": 20}
    bench = _open_with_players(7, windows=(short, short | {"name": "next", "start": "04:40", "length_minutes": 60}))
    bench.later(65 * MINUTE, lambda: bench.datacentre.set_players(5001, 0))
    plan = bench.submit("2")
    bench.work(plan)
    (restarted,) = bench.entries(Kind.REQUESTED, RESTART, 5001)
    assert 65 * MINUTE <= restarted.at - plan.created < 67 * MINUTE


# ------------------------------------------------------------ pending restarts


def test_players_are_waited_for_before_the_restart_of_a_guest_whose_exchange_is_pending() -> None:
    bench = _open_with_players(3, exchange_pending="any-time")
    bench.later(15 * MINUTE, lambda: bench.datacentre.set_players(5001, 0))
    plan = bench.submit("2")
    bench.work(plan)
    (restarted,) = bench.entries(Kind.REQUESTED, RESTART, 5001)
    assert restarted.at - plan.created >= 15 * MINUTE
