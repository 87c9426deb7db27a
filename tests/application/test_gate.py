"""Where a rollout waits: orders of people, windows, budgets of time, players."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest

from tests.application.rollout_bench import Bench, make_policy
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.progress import RESTART
from zlh_hooks.domain.steps import RolloutState, TargetState
from zlh_hooks.domain.window_rule import Freeze

GUESTS = 4
LATER = {"name": "later", "rule": "FREQ=DAILY", "start": "06:02", "length_minutes": 120}
NIGHT = {"name": "night", "rule": "FREQ=DAILY", "start": "04:00", "length_minutes": 120, "cutoff_minutes": 30}
MOMENTS = [("clone", 2), ("move_volume", 2), ("exchange", 2), ("exchange", 4), ("reboot", 1), ("reboot", 3)]


@pytest.mark.parametrize(("method", "nth"), MOMENTS)
def test_a_pause_at_any_moment_is_obeyed_before_the_next_guest_and_a_resume_ends_as_without_it(
    method: str, nth: int
) -> None:
    bench = Bench().furnish(GUESTS)
    bench.datacentre.faults.meanwhile(method, bench.order("pause"), nth)
    bench.answers = [partial(bench.later, timedelta(minutes=20), bench.order("resume"))]
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert bench.pauses == ["pause by tester"]
    assert progress.state is RolloutState.SUCCEEDED
    assert progress.count(TargetState.HEALTHY) == GUESTS
    (paused,) = bench.entries(Kind.EVENT, "paused")
    (resumed,) = bench.entries(Kind.EVENT, "resumed")
    began = [e for e in bench.entries(Kind.EVENT, "exchange_began") if paused.at < e.at < resumed.at]
    assert not began
    bench.assert_clean(plan)


@pytest.mark.parametrize(("method", "nth"), MOMENTS)
def test_an_abort_at_any_moment_keeps_what_is_healthy_and_takes_the_rest_away(method: str, nth: int) -> None:
    bench = Bench().furnish(GUESTS)
    bench.datacentre.faults.meanwhile(method, bench.order("abort"), nth)
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.state is RolloutState.ABORTED
    assert {row.state for row in progress.targets} <= {TargetState.HEALTHY, TargetState.SKIPPED, TargetState.REVERTED}
    assert bench.stable() == ["1"]
    assert bench.revoked() == []
    bench.assert_clean(plan)


@pytest.mark.parametrize(("method", "nth"), MOMENTS)
def test_a_revert_at_any_moment_brings_every_guest_back_and_revokes_nothing(method: str, nth: int) -> None:
    bench = Bench().furnish(GUESTS)
    bench.datacentre.faults.meanwhile(method, bench.order("revert", "not tonight"), nth)
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.state is RolloutState.REVERTED
    assert progress.reason == "not tonight"
    assert {bench.runs(row.target.vmid) for row in progress.targets} == {"1"}
    assert bench.stable() == ["1"]
    assert bench.revoked() == []
    bench.assert_clean(plan)


@pytest.mark.parametrize(("verb", "end"), [("abort", RolloutState.ABORTED), ("revert", RolloutState.REVERTED)])
def test_a_paused_rollout_can_be_ended(verb: str, end: RolloutState) -> None:
    bench = Bench().furnish(GUESTS)
    bench.datacentre.faults.meanwhile("reboot", bench.order("pause"), 2)
    bench.answers = [partial(bench.later, timedelta(minutes=5), bench.order(verb))]
    plan = bench.submit("2")
    assert bench.work(plan).state is end
    bench.assert_clean(plan)


def test_an_abort_before_a_worker_took_it_up_touches_nothing() -> None:
    bench = Bench().furnish(GUESTS)
    plan = bench.submit("2")
    bench.order("abort")()
    assert bench.work(plan).state is RolloutState.ABORTED
    assert not bench.executed("clone", "write_config")
    bench.assert_clean(plan)


@pytest.mark.parametrize("verb", ["pause", "resume", "abort", "revert", "finalize"])
def test_a_rollout_that_went_back_takes_no_more_orders(verb: str) -> None:
    bench = Bench().furnish(GUESTS)
    bench.run("3")
    with pytest.raises(NotAllowed, match=f"REVERTED: it cannot {verb}"):
        bench.order(verb)()


def test_without_auto_promote_stable_moves_only_when_a_person_resumes() -> None:
    bench = Bench(make_policy(auto_promote=False)).furnish(GUESTS)
    stable: list[str] = []

    def look_and_resume() -> None:
        stable.extend(bench.stable())
        bench.order("resume")()

    bench.answers = [look_and_resume]
    bench.run("2")
    assert stable == ["1"]
    assert bench.stable() == ["2"]


def test_a_resume_from_an_earlier_pause_is_no_consent_to_promote() -> None:
    bench = Bench(make_policy(auto_promote=False)).furnish(GUESTS)
    bench.datacentre.faults.meanwhile("reboot", bench.order("pause"), 2)
    bench.answers = [bench.order("resume"), bench.order("abort")]
    assert bench.run("2").state is RolloutState.ABORTED
    assert bench.stable() == ["1"]


# ------------------------------------------------------------------- windows


def _begins(bench: Bench) -> list[timedelta]:
    """When each exchange began, as time of day."""
    times = [entry.at for entry in bench.entries(Kind.EVENT, "exchange_began")]
    return [timedelta(hours=at.hour, minutes=at.minute, seconds=at.second) for at in times]


def test_staging_runs_ahead_of_the_window_and_nothing_is_exchanged_before_it_opens() -> None:
    bench = Bench(make_policy(windows=[NIGHT | {"start": "04:10"}])).furnish(GUESTS)
    plan = bench.submit("2")
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert min(_begins(bench)) >= timedelta(hours=4, minutes=10)
    assert all(entry.at.minute < 10 for entry in bench.entries(Kind.EVENT, "staged"))
    bench.assert_clean(plan)


FROZEN = {"name": "fair", "first": "2026-11-23", "last": "2026-11-25", "stops": "all-but-security"}


@pytest.mark.parametrize(("security", "waits"), [(False, True), (True, False)])
def test_a_freeze_that_spares_security_stops_all_other_rollouts(security: bool, waits: bool) -> None:
    policy = make_policy(windows=[NIGHT]).model_copy(update={"freezes": (Freeze.model_validate(FROZEN),)})
    bench = Bench(policy).furnish(1)
    plan = bench.submit("2", security=security)
    bench.later(timedelta(hours=1), bench.order("abort"))
    assert bench.work(plan).state is (RolloutState.ABORTED if waits else RolloutState.SUCCEEDED)


def test_nothing_starts_after_the_cutoff_and_the_rest_waits_for_the_next_window() -> None:
    bench = Bench(make_policy(windows=[NIGHT, LATER | {"start": "05:35"}], expected_duration="20s")).furnish(GUESTS)
    bench.clock.sleep(timedelta(minutes=88, seconds=50))
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    begins = _begins(bench)
    assert any(at < timedelta(hours=5, minutes=30) for at in begins)
    assert any(at >= timedelta(hours=5, minutes=35) for at in begins)
    assert not [at for at in begins if timedelta(hours=5, minutes=30) <= at < timedelta(hours=5, minutes=35)]


def test_nothing_starts_when_its_measured_duration_and_a_way_back_do_not_fit_any_more() -> None:
    window = NIGHT | {"cutoff_minutes": 0}
    bench = Bench(make_policy(windows=[window, LATER], expected_duration="1s", healthy_deadline="20m")).furnish(GUESTS)
    bench.datacentre.faults.slow_task("reboot", timedelta(minutes=10), times=10)
    bench.clock.sleep(timedelta(minutes=85))
    plan = bench.submit("2")
    bench.work(plan)
    begins = _begins(bench)
    took = max(bench.progress(plan).durations())
    assert took > timedelta(minutes=10)
    for at in begins[1:]:
        assert at + 2 * took <= timedelta(hours=6) or at >= timedelta(hours=6, minutes=2)


def test_no_guest_proved_within_the_progress_deadline_pauses() -> None:
    bench = Bench(make_policy(progress_deadline="2m", lock_wait="5m")).furnish(GUESTS)
    bench.datacentre.lock(5002, "backup", timedelta(hours=1))
    bench.datacentre.faults.afterwards(
        "exchange", lambda: bench.datacentre.lock(5003, "backup", timedelta(hours=1)), vmid=5003
    )
    bench.answers = [bench.order("resume")]
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS - 2
    assert "no guest became healthy" in bench.pauses[0]


def test_waiting_for_a_window_is_no_standstill() -> None:
    bench = Bench(make_policy(windows=[LATER | {"start": "04:15"}], progress_deadline="10m")).furnish(GUESTS)
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert not bench.pauses


# ------------------------------------------------------------------- players

PLAYERS = {"probes": [{"kind": "agent"}, {"kind": "minecraft", "port": 25565}]}


def _with_players(players: int) -> Bench:
    bench = Bench(make_policy(line=PLAYERS, wait_until_empty="1h")).furnish(GUESTS)
    bench.datacentre.set_players(5002, players)
    return bench


def test_a_guest_with_players_waits_until_it_is_empty() -> None:
    bench = _with_players(3)
    bench.later(timedelta(minutes=20), lambda: bench.datacentre.set_players(5002, 0))
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    (began,) = bench.entries(Kind.REQUESTED, RESTART, 5002)
    assert began.at >= plan.created + timedelta(minutes=20)
    assert began.at < plan.created + timedelta(minutes=25)


def test_a_guest_that_is_never_empty_is_exchanged_when_the_wait_is_over() -> None:
    bench = _with_players(3)
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    (began,) = bench.entries(Kind.REQUESTED, RESTART, 5002)
    assert began.at >= plan.created + timedelta(hours=1)


def test_a_second_worker_neither_forgets_a_pause_nor_obeys_an_order_twice() -> None:
    bench = Bench().furnish(GUESTS)
    bench.datacentre.faults.meanwhile("reboot", bench.order("pause"), 2)

    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    bench.answers = [kill]
    plan = bench.submit("2")
    with pytest.raises(Killed):
        bench.work(plan)
    assert bench.progress(plan).state is RolloutState.PAUSED
    resume: Callable[[], object] = bench.order("resume")
    bench.later(timedelta(minutes=5), resume)
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert len(bench.entries(Kind.EVENT, "paused")) == len(bench.entries(Kind.EVENT, "resumed")) == 1
