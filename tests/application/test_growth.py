"""A new root is never smaller than the one it replaces."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.application.rollout_bench import ENLARGED, Bench, make_policy
from zlh_hooks.domain.errors import TargetError
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.steps import RolloutState, TargetState
from zlh_hooks.simulation.volume import GIB

GUESTS = 3
NIGHT = {"name": "night", "rule": "FREQ=DAILY", "start": "04:00", "length_minutes": 120}


def _root_size(bench: Bench, vmid: int) -> tuple[int, str]:
    """Bytes of the volume, and what the config says."""
    container = bench.datacentre.containers[vmid]
    volume = bench.datacentre.volume(container.node, container.config.rootfs.volume)
    assert volume is not None
    return volume.size, dict(container.config.rootfs.options).get("size", "")


def test_a_guest_whose_root_was_enlarged_gets_a_new_root_of_that_size_and_keeps_it_on_its_way_back() -> None:
    bench = Bench().furnish(GUESTS)
    plan = bench.submit("2")
    assert bench.work(plan).of(ENLARGED).state is TargetState.HEALTHY
    assert _root_size(bench, ENLARGED) == (2 * GIB, "2G")
    assert _root_size(bench, 5001) == (GIB, "1G")
    assert sum(bench.executed("resize").values()) == 1
    bench.order("revert")()
    assert bench.work(plan).state is RolloutState.REVERTED
    assert _root_size(bench, ENLARGED) == (2 * GIB, "2G")
    bench.assert_clean(plan)


def test_where_no_root_has_a_size_nothing_grows() -> None:
    bench = Bench().furnish(GUESTS)
    for volume in bench.datacentre.stores["n1", "local"].volumes.values():
        volume.size = 0
    plan = bench.submit("2")
    assert bench.work(plan).of(5001).state is TargetState.HEALTHY
    assert sum(bench.executed("resize").values()) == 1  # the one on the other node, whose size is known


def test_a_guest_whose_root_has_no_limit_is_not_given_the_templates() -> None:
    bench = Bench().furnish(GUESTS)
    for volume in bench.datacentre.stores["n1", "local"].volumes.values():
        volume.size = volume.size if volume.owner == 8002 else 0
    progress = bench.work(bench.submit("2"))
    assert progress.of(5001).state is TargetState.SKIPPED
    assert "its root has no limit; the template's would give it one of 1024 MiB" in progress.of(5001).reason


def test_a_guest_whose_root_has_a_size_and_whose_templates_has_none_is_left_alone() -> None:
    bench = Bench().furnish(GUESTS)
    for volume in bench.datacentre.stores["n1", "local"].volumes.values():
        volume.size = 0 if volume.owner == 8002 else volume.size
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.of(5001).state is TargetState.SKIPPED
    assert "cannot grow" in progress.of(5001).reason


def test_a_storage_without_room_for_the_larger_root_leaves_its_guest_alone_and_says_what_is_needed() -> None:
    bench = Bench().furnish(GUESTS)
    bench.datacentre.faults.meanwhile(
        "move_volume", lambda: setattr(bench.datacentre.stores["n2", "local"], "free", int(1.5 * GIB)), vmid=5001
    )
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.of(ENLARGED).state is TargetState.SKIPPED
    assert "the new root needs 2150 MiB" in progress.of(ENLARGED).reason
    assert progress.count(TargetState.HEALTHY) == GUESTS - 1
    bench.clock.sleep(timedelta(minutes=1))
    bench.assert_clean(plan)


# ------------------------------------------------- enlarged after staging


def _enlarge(bench: Bench, vmid: int) -> Callable[[], object]:
    """Somebody enlarges the guest's root, as it is then, to 4 GiB."""

    def grow() -> None:
        container = bench.datacentre.containers[vmid]
        root, store = container.config.rootfs, bench.datacentre.store(container.node, "local")
        store.grow(store.volumes[root.volume], 4 * GIB, bench.datacentre.now)
        bench.datacentre.edit_config(vmid, rootfs=root.holding(root.volume, "4G").render())

    return grow


def _by_day(**rollout: object) -> tuple[Bench, Plan]:
    """What is staged at 02:00 waits for its window at 04:00."""
    bench = Bench(make_policy([NIGHT], **rollout)).furnish(GUESTS)
    bench.deadline += timedelta(days=2)
    bench.clock.sleep(timedelta(hours=22))
    return bench, bench.submit("2")


def test_a_root_that_was_enlarged_after_staging_is_exchanged_for_one_of_that_size_in_one_interruption() -> None:
    bench, plan = _by_day()
    bench.later(timedelta(hours=1), _enlarge(bench, 5001))
    assert bench.work(plan).of(5001).state is TargetState.HEALTHY
    assert _root_size(bench, 5001) == (4 * GIB, "4G")
    assert _root_size(bench, 5003) == (GIB, "1G")
    assert bench.executed("reboot")["reboot", 5001] == 1
    bench.order("revert")()
    assert bench.work(plan).state is RolloutState.REVERTED
    assert _root_size(bench, 5001) == (4 * GIB, "4G")
    bench.assert_clean(plan)


def test_a_root_that_is_enlarged_while_its_exchange_waits_for_a_restart_loses_nothing_of_its_size() -> None:
    bench, plan = _by_day(exchange_pending="any-time")
    bench.later(timedelta(minutes=30), _enlarge(bench, 5001))
    bench.later(timedelta(hours=1), lambda: bench.datacentre.restart_inside(5001))
    assert bench.work(plan).of(5001).state is TargetState.HEALTHY
    assert _root_size(bench, 5001) == (4 * GIB, "4G")
    bench.order("revert")()
    assert bench.work(plan).state is RolloutState.REVERTED
    assert _root_size(bench, 5001) == (4 * GIB, "4G")


def test_a_guest_that_is_off_gets_its_size_too() -> None:
    bench, plan = _by_day()
    bench.datacentre.power_off(5003)
    bench.later(timedelta(hours=1), _enlarge(bench, 5003))
    assert bench.work(plan).of(5003).state is TargetState.PROVING
    assert _root_size(bench, 5003) == (4 * GIB, "4G")


def test_a_guest_whose_new_root_cannot_be_enlarged_goes_back_to_its_old_one() -> None:
    bench, plan = _by_day(max_failures=1)
    bench.later(timedelta(hours=1), _enlarge(bench, 5003))
    refused = TargetError("unable to resize: No space left on device")
    bench.datacentre.faults.meanwhile(
        "reboot", lambda: bench.datacentre.faults.refuse("resize", refused, vmid=5003), vmid=5003
    )
    progress = bench.work(plan)
    assert progress.of(5003).state is TargetState.REVERTED
    assert "No space left" in progress.of(5003).reason
    assert _root_size(bench, 5003) == (4 * GIB, "4G")
    assert progress.of(5001).state is TargetState.HEALTHY
    bench.assert_clean(plan)


@pytest.mark.parametrize(("free", "state"), [(GIB, TargetState.SKIPPED), (4 * GIB, TargetState.HEALTHY)])
def test_at_the_exchange_only_the_growth_needs_room_for_the_rest_lies_there_already(
    free: int, state: TargetState
) -> None:
    bench, plan = _by_day()

    def fill() -> None:
        _enlarge(bench, 5001)()
        bench.datacentre.stores["n1", "local"].free = free

    bench.later(timedelta(hours=1), fill)
    progress = bench.work(plan)
    assert progress.of(5001).state is state
    assert ("the new root needs 3225 MiB" in progress.of(5001).reason) == (state is TargetState.SKIPPED)
    assert progress.of(5003).state is TargetState.HEALTHY


def test_a_storage_that_is_full_once_all_is_staged_stops_no_exchange() -> None:
    bench, plan = _by_day()
    bench.later(timedelta(hours=1), lambda: setattr(bench.datacentre.stores["n1", "local"], "free", 0))
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
