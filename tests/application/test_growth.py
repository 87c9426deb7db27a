"""A new root is never smaller than the one it replaces."""

from datetime import timedelta

from tests.application.rollout_bench import ENLARGED, Bench
from zlh_hooks.domain.steps import RolloutState, TargetState
from zlh_hooks.simulation.volume import GIB

GUESTS = 3


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
