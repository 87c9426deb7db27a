"""What others do to the HA manager, and a storage that is full, speak against no version."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest

from tests.application.rollout_bench import Bench, make_policy
from tests.datacentre import Crash, turns_unhealthy
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import TargetError
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.progress import Progress
from zlh_hooks.domain.steps import RolloutState, TargetState
from zlh_hooks.simulation.volume import GIB

CANARY, GUEST, LAST = 5001, 5002, 5003
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
NIGHT = {"name": "night", "rule": "FREQ=DAILY", "start": "04:00", "length_minutes": 120}


# ------------------------------------------------------------- the HA manager


def _open(ha_state: str | None = "started", **rules: object) -> Bench:
    """No failure at all is forgiven."""
    bench = Bench(make_policy(ha="ignore", max_failures=0, **rules)).furnish(3)
    _set_ha(bench, ha_state)
    return bench


def _set_ha(bench: Bench, state: str | None) -> None:
    """Whoever runs the platform puts the guest under HA, or takes it from there, and means it."""
    bench.datacentre.containers[GUEST].ha_state = state
    bench.datacentre.remember(bench.datacentre.containers[GUEST])


def _at(bench: Bench, moment: str, state: str | None) -> None:
    faults, event = bench.datacentre.faults, partial(_set_ha, bench, state)
    method, _, nth = moment.partition(" ")
    order = faults.meanwhile if nth else faults.afterwards
    order(method, event, int(nth or 1), vmid=GUEST)


LEAVES = pytest.mark.parametrize(
    "moment", ["write_ha_state 1", "write_ha_state", "exchange", "reboot", "write_ha_state 2"]
)
"""Before or after our first write to the HA manager, on the way, and just before we give the guest back."""


def _die_in_the_way_back(bench: Bench, number: int) -> None:
    """After the so manyth change of the guest once its way back has begun."""
    faults, seen = bench.datacentre.faults, 0

    def count() -> None:
        nonlocal seen
        seen += bool(bench.entries(Kind.EVENT, "revert_began", GUEST))
        if seen == number:
            faults.dead = True
            raise Crash(f"at change {number} of the way back")

    faults.always(None, count)


@pytest.mark.parametrize("number", range(1, 40, 2))
def test_a_way_back_that_is_taken_up_again_gives_the_guest_back_to_the_ha_manager(number: int) -> None:
    bench = _open().spoil(GUEST, behaviour=turns_unhealthy("2"))
    plan = bench.submit("2")
    _die_in_the_way_back(bench, number)
    try:
        bench.work(plan)
    except Crash:
        bench.datacentre.faults.restart()
        bench.datacentre.faults.clear()
        bench.work(plan)
    bench.tend(plan, HOUR)
    assert bench.progress(plan).of(GUEST).state is TargetState.REVERTED
    assert bench.datacentre.containers[GUEST].ha_state == "started"
    bench.assert_clean(plan)


def _said(bench: Bench) -> list[str]:
    return [str(entry.data["reason"]) for entry in bench.entries(Kind.NOTE, "ha", GUEST)]


def _assert_spared(bench: Bench, progress: Progress) -> None:
    assert (progress.failures, bench.revoked(), bench.pauses) == (0, [], [])
    bench.assert_clean(progress.plan)


@LEAVES
def test_a_guest_that_is_taken_from_ha_during_its_exchange_is_healthy_and_stays_out_of_ha(moment: str) -> None:
    bench = _open()
    _at(bench, moment, None)
    progress = bench.run("2")
    assert progress.of(GUEST).state is TargetState.HEALTHY
    assert any("took it from the HA manager" in said for said in _said(bench))
    _assert_spared(bench, progress)


@LEAVES
def test_a_guest_that_is_taken_from_ha_on_its_way_back_owes_nothing(moment: str) -> None:
    bench = _open()
    plan = bench.submit("2")
    bench.work(plan)
    _at(bench, moment, None)
    bench.order("revert")()
    progress = bench.work(plan)
    assert (progress.of(GUEST).state, progress.of(GUEST).owes) == (TargetState.REVERTED, False)
    assert len(_said(bench)) == 1
    _assert_spared(bench, progress)


def test_a_guest_that_is_taken_from_ha_in_the_soak_goes_back_and_owes_nothing() -> None:
    bench = _open()
    plan = bench.submit("2")
    bench.work(plan)
    _set_ha(bench, None)
    bench.order("revert")()
    progress = bench.work(plan)
    assert (progress.of(GUEST).state, progress.of(GUEST).owes) == (TargetState.REVERTED, False)
    _assert_spared(bench, progress)


def test_a_guest_that_was_left_as_it_was_and_is_taken_from_ha_meanwhile_owes_nothing() -> None:
    bench = _open(lock_wait="1m")

    def lock() -> None:
        bench.datacentre.lock(GUEST, "backup", 10 * MINUTE)
        _set_ha(bench, None)

    bench.datacentre.faults.meanwhile("exchange", lock, vmid=GUEST)
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.of(GUEST).state is TargetState.SKIPPED
    progress = bench.tend(plan, HOUR)
    assert not progress.of(GUEST).owes
    assert len(_said(bench)) == 1
    _assert_spared(bench, progress)


def test_a_guest_that_ha_does_not_take_back_for_another_reason_is_owed_until_it_does() -> None:
    bench = _open()
    plan = bench.submit("2")
    bench.work(plan)
    bench.datacentre.faults.refuse("write_ha_state", TargetError("out of order"), nth=2, vmid=GUEST)
    bench.order("revert")()
    assert bench.work(plan).of(GUEST).owes
    progress = bench.tend(plan, HOUR)
    assert not progress.of(GUEST).owes
    assert _said(bench) == []
    _assert_spared(bench, progress)


@pytest.mark.parametrize("moment", ["exchange 1", "exchange", "reboot"])
@pytest.mark.parametrize("state", ["started", "ignored"])
def test_a_guest_that_is_put_under_ha_during_its_exchange_keeps_its_place_there(moment: str, state: str) -> None:
    bench = _open(ha_state=None)
    _at(bench, moment, state)
    progress = bench.run("2")
    assert progress.of(GUEST).state is TargetState.HEALTHY
    _assert_spared(bench, progress)


@pytest.mark.parametrize("ha", ["ignore", "skip"])
@pytest.mark.parametrize("moment", ["exchange", "reboot"])
def test_a_guest_that_is_put_under_ha_goes_back_all_the_same(moment: str, ha: str) -> None:
    bench = Bench(make_policy(ha=ha)).furnish(3).spoil(GUEST, behaviour=turns_unhealthy("2"))
    _at(bench, moment, "started")
    plan = bench.submit("2")
    assert bench.work(plan).of(GUEST).state is TargetState.REVERTED
    bench.clock.sleep(MINUTE)
    bench.assert_clean(plan)


# ------------------------------------------------------- a storage that is full


def _enlarge(bench: Bench, vmid: int) -> Callable[[], object]:
    """Somebody enlarges the guest's root, as it is then, to 4 GiB."""

    def grow() -> None:
        container = bench.datacentre.containers[vmid]
        root, store = container.config.rootfs, bench.datacentre.store(container.node, "local")
        store.grow(store.volumes[root.volume], 4 * GIB, bench.datacentre.now)
        bench.datacentre.edit_config(vmid, rootfs=root.holding(root.volume, "4G").render())

    return grow


def _before_the_window(**rollout: object) -> tuple[Bench, Plan]:
    """What is staged at 03:00 waits for its window at 04:00. No failure at all is forgiven."""
    bench = Bench(make_policy([NIGHT], max_failures=0, **rollout)).furnish(3)
    bench.deadline += timedelta(days=2)
    bench.clock.sleep(23 * HOUR)
    return bench, bench.submit("2")


def _refuse_growth(bench: Bench, vmid: int) -> None:
    bench.datacentre.faults.refuse("resize", TargetError("No space left on device"), times=10**6, vmid=vmid)


@pytest.mark.parametrize("vmid", [CANARY, LAST], ids=["canary", "in a wave"])
def test_a_guest_whose_enlarged_root_finds_no_room_goes_back_and_speaks_against_no_version(vmid: int) -> None:
    bench, plan = _before_the_window()
    bench.later(20 * MINUTE, _enlarge(bench, vmid))
    bench.datacentre.faults.meanwhile("reboot", partial(_refuse_growth, bench, vmid), vmid=vmid)
    progress = bench.work(plan)
    assert (progress.state, progress.of(vmid).state) == (RolloutState.SUCCEEDED, TargetState.REVERTED)
    assert "No space left on device" in progress.of(vmid).reason
    assert progress.count(TargetState.HEALTHY) == 2
    _assert_spared(bench, progress)


def test_no_room_for_the_root_that_a_customers_own_restart_brought_speaks_against_no_version() -> None:
    bench, plan = _before_the_window(exchange_pending="any-time")
    bench.later(20 * MINUTE, _enlarge(bench, CANARY))
    bench.later(30 * MINUTE, partial(_refuse_growth, bench, CANARY))
    bench.later(30 * MINUTE, lambda: bench.datacentre.restart_inside(CANARY))
    progress = bench.work(plan)
    assert (progress.state, progress.of(CANARY).state) == (RolloutState.SUCCEEDED, TargetState.REVERTED)
    _assert_spared(bench, progress)


def test_a_guest_whose_growth_a_lock_delayed_and_that_is_unhealthy_then_counts_all_the_same() -> None:
    bench, plan = _before_the_window(lock_wait="1m")
    bench.spoil(GUEST, behaviour=turns_unhealthy("2"))
    bench.later(20 * MINUTE, _enlarge(bench, GUEST))

    def lock() -> None:
        bench.datacentre.lock(GUEST, "backup", 10 * MINUTE)
        bench.order("pause")()

    bench.datacentre.faults.meanwhile("resize", lock, vmid=GUEST)
    bench.answers = [partial(bench.later, 20 * MINUTE, bench.order("resume"))]
    progress = bench.work(plan)
    assert bench.entries(Kind.FAILED, "exchange.grow", GUEST)
    assert (progress.state, progress.failures) == (RolloutState.REVERTED, 1)


def test_a_root_that_waits_for_a_restart_and_was_enlarged_without_room_costs_no_restart() -> None:
    bench, plan = _before_the_window(exchange_pending="any-time", lock_wait="1m")

    def fill() -> None:
        _enlarge(bench, CANARY)()
        bench.datacentre.store("n1", "local").free = GIB

    bench.later(20 * MINUTE, fill)
    progress = bench.work(plan)
    progress = bench.tend(plan, HOUR)
    assert progress.of(CANARY).state is TargetState.SKIPPED
    assert "the new root needs 3225 MiB" in progress.of(CANARY).reason
    assert not bench.executed("reboot").get(("reboot", CANARY))
    assert progress.count(TargetState.HEALTHY) == 2
    _assert_spared(bench, progress)
