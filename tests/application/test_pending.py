"""An exchange that is left to the guest's next restart: the customer's own, whatever it brings, or ours in the window."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.application.rollout_bench import Bench, make_policy
from tests.datacentre import Behaviour, exits_soon, never_boots, turns_unhealthy
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.steps import RolloutState, TargetState

GUESTS = 4
CANARY = 5001
NIGHT = {"name": "night", "rule": "FREQ=DAILY", "start": "04:20", "length_minutes": 120, "cutoff_minutes": 30}
WITHDRAWAL = 3
"""The canary's config is written for its marks, for the exchange, and to take that back."""
TEN_MINUTES = timedelta(minutes=10)
Restart = Callable[[Bench, int], object]


def _restart_inside(bench: Bench, vmid: int) -> None:
    bench.datacentre.restart_inside(vmid)


def _restart_in_the_panel(bench: Bench, vmid: int) -> None:
    """A task of somebody else's, during which the guest is off for some seconds."""
    bench.datacentre.reboot(bench.datacentre.ref(vmid), timedelta(minutes=1))


RESTARTS = pytest.mark.parametrize("restart", [_restart_inside, _restart_in_the_panel], ids=["inside", "in the panel"])


def _pending(**rollout: object) -> Bench:
    """The window opens twenty minutes after the plan is made."""
    return Bench(make_policy(windows=[NIGHT], exchange_pending="any-time", **rollout)).furnish(GUESTS)


@RESTARTS
def test_a_customer_who_restarts_before_the_window_brings_the_new_root_and_it_is_proved(restart: Restart) -> None:
    bench = _pending()
    bench.later(TEN_MINUTES, lambda: restart(bench, CANARY))
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    (proved,) = bench.entries(Kind.EVENT, "proved", CANARY)
    assert proved.at < plan.created + timedelta(minutes=20)
    assert not bench.entries(Kind.REQUESTED, "exchange.restart", CANARY)
    assert bench.progress(plan).failures == 0
    bench.assert_clean(plan)


@RESTARTS
def test_a_bad_root_that_a_customers_restart_brings_goes_back_at_once_and_condemns_the_version(
    restart: Restart,
) -> None:
    bench = _pending().spoil(CANARY, behaviour=turns_unhealthy("2"))
    bench.later(TEN_MINUTES, lambda: restart(bench, CANARY))
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.state is RolloutState.REVERTED
    assert progress.of(CANARY).state is TargetState.REVERTED
    assert bench.runs(CANARY) == "1"
    assert bench.revoked() == ["2"]
    (back,) = bench.entries(Kind.EVENT, "revert_proved", CANARY)
    assert back.at < plan.created + timedelta(minutes=20)
    assert {row.target.vmid for row in progress.targets if row.state is not TargetState.SKIPPED} == {CANARY}
    bench.assert_clean(plan)


@pytest.mark.parametrize("bad", [never_boots("2"), exits_soon("2")], ids=["never boots", "exits soon"])
def test_a_root_on_which_a_customers_restart_ends_off_goes_back_and_the_guest_runs_again(bad: Behaviour) -> None:
    bench = _pending().spoil(CANARY, behaviour=bad)
    bench.later(TEN_MINUTES, lambda: _restart_in_the_panel(bench, CANARY))
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.of(CANARY).state is TargetState.REVERTED
    assert bench.revoked() == ["2"]
    bench.assert_clean(plan)


def test_a_customer_who_switches_off_before_the_window_is_not_taken_for_a_bad_version() -> None:
    bench = _pending()
    bench.later(TEN_MINUTES, lambda: bench.datacentre.power_off(CANARY))
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert (progress.state, progress.failures) == (RolloutState.SUCCEEDED, 0)
    assert progress.of(CANARY).state is TargetState.PROVING
    bench.assert_clean(plan)


@pytest.mark.parametrize("pending", ["any-time", "in-window", "never"])
@pytest.mark.parametrize("moment", ["just before the write", "just after the write"])
@RESTARTS
def test_a_customer_who_restarts_around_the_write_is_restarted_at_most_once_more(
    restart: Restart, moment: str, pending: str
) -> None:
    bench = Bench(make_policy(exchange_pending=pending)).furnish(GUESTS)
    order = bench.datacentre.faults.meanwhile if "before" in moment else bench.datacentre.faults.afterwards
    order("exchange", lambda: restart(bench, CANARY), vmid=CANARY)
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert (progress.state, progress.failures) == (RolloutState.SUCCEEDED, 0)
    assert bench.tend(plan, timedelta(hours=1)).count(TargetState.HEALTHY) == GUESTS
    asked = bench.entries(Kind.REQUESTED, "exchange.restart", CANARY)
    assert len(asked) <= (moment == "just before the write")
    bench.assert_clean(plan)


@RESTARTS
def test_a_root_that_a_restart_brings_while_it_is_taken_back_goes_back_too(restart: Restart) -> None:
    bench = _pending()
    bench.later(TEN_MINUTES, bench.order("revert"))
    plan = bench.submit("2")
    bench.datacentre.faults.meanwhile("write_config", lambda: restart(bench, CANARY), WITHDRAWAL, CANARY)
    assert bench.work(plan).state is RolloutState.REVERTED
    assert bench.runs(CANARY) == "1"
    bench.assert_clean(plan)


def test_a_guest_that_was_switched_off_and_does_not_start_on_its_new_root_goes_back_in_the_soak() -> None:
    bench = _pending().spoil(CANARY, behaviour=never_boots("2"))
    bench.later(TEN_MINUTES, lambda: bench.datacentre.power_off(CANARY))
    plan = bench.submit("2")
    assert bench.work(plan).of(CANARY).state is TargetState.PROVING
    bench.datacentre.containers[CANARY].wanted = True
    bench.datacentre.start(bench.datacentre.ref(CANARY))
    assert bench.tend(plan, timedelta(hours=1)).of(CANARY).state is TargetState.REVERTED
    bench.assert_clean(plan)


def test_an_exchange_that_nobody_restarts_for_comes_in_the_window() -> None:
    bench = _pending()
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert all(e.at >= plan.created + timedelta(minutes=20) for e in bench.entries(Kind.EVENT, "proved"))
    assert max(bench.progress(plan).durations()) < timedelta(minutes=1), "the wait for the window is no work"
    bench.assert_clean(plan)


def test_a_restart_that_was_not_ours_does_not_say_how_long_the_next_one_takes() -> None:
    bench = _pending()
    bench.later(TEN_MINUTES, lambda: bench.datacentre.restart_inside(CANARY))
    plan = bench.submit("2")
    assert bench.work(plan).of(CANARY).state is TargetState.HEALTHY
    assert bench.progress(plan).of(CANARY).took is None


def test_an_abort_takes_pending_exchanges_back_without_a_restart() -> None:
    bench = _pending()
    bench.later(timedelta(minutes=10), bench.order("abort"))
    plan = bench.submit("2")
    assert bench.work(plan).state is RolloutState.ABORTED
    assert not bench.executed("reboot")
    bench.assert_clean(plan)


def test_a_hold_that_is_set_while_the_root_is_pending_keeps_us_from_restarting_the_guest() -> None:
    bench = _pending()
    hold = "zlh-hold.20991231t0000z"
    bench.later(TEN_MINUTES, lambda: bench.datacentre.edit_config(CANARY, tags=f"{_tags(bench)};{hold}"))
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.of(CANARY).state is TargetState.SKIPPED
    assert "on hold" in progress.of(CANARY).reason
    assert not bench.entries(Kind.REQUESTED, "exchange.restart", CANARY)
    assert bench.runs(CANARY) == "1"
    bench.assert_clean(plan)


def _tags(bench: Bench) -> str:
    return str(bench.datacentre.containers[CANARY].values["tags"])


def test_a_guest_whose_root_is_pending_stays_with_the_ha_manager_until_we_restart_it() -> None:
    bench = _pending(ha="ignore")
    bench.datacentre.containers[CANARY].ha_state = "started"
    states: list[str | None] = []
    bench.later(TEN_MINUTES, lambda: states.append(bench.datacentre.containers[CANARY].ha_state))
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert states == ["started"]
    assert bench.datacentre.containers[CANARY].ha_state == "started"
