"""Rules of destroying template versions: only what nobody needs, looked at again before each deed."""

from datetime import timedelta

import pytest

from tests.clock import FakeClock
from tests.datacentre import Datacentre, MemoryLedger
from zlh_hooks.application.retag import ChannelPorts
from zlh_hooks.application.retention import destroy_version, list_destroyable
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import GuestLocked, TargetError
from zlh_hooks.domain.line import TemplateVersion

LINE = "game-base"


class World:
    """Two nodes with versions 1 to 4 (4 is stable) and one guest on 3."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.datacentre = Datacentre(self.clock)
        for number, node in enumerate(("n1", "n2")):
            self.datacentre.add_node(node)
            self.datacentre.add_storage("local", node)
            for version in ("1", "2", "3", "4"):
                channel = "stable" if version == "4" else None
                self.datacentre.add_template(LINE, version, node, 9000 + 10 * number + int(version), channel=channel)
        self.datacentre.add_guest(5001, "n1", version="3")
        self.ledger = MemoryLedger(self.clock, self.datacentre.faults)
        cluster = self.datacentre.cluster
        self.ports = ChannelPorts(cluster.inventory, cluster.editor, self.ledger, self.clock)

    def destroyable(self, keep: int = 1) -> tuple[TemplateVersion, ...]:
        return list_destroyable(self.ports, LINE, keep)

    def destroy(self, version: TemplateVersion) -> None:
        destroy_version(self.ports, self.datacentre.cluster.tasks, version, keep=1)


@pytest.fixture
def world() -> World:
    return World()


def test_old_versions_that_nobody_uses_are_found_and_destroyed_on_every_node(world: World) -> None:
    found = world.destroyable()
    assert [version.version for version in found] == ["1", "2"]
    for version in found:
        world.destroy(version)
    assert sorted(world.datacentre.containers) == [5001, 9003, 9004, 9013, 9014]


def test_configs_are_only_read_if_there_is_something_to_destroy(world: World) -> None:
    assert world.destroyable(keep=4) == ()
    assert world.datacentre.faults.calls("read_config") == 0


def test_a_version_under_a_linked_clone_is_kept(world: World) -> None:
    world.datacentre.containers[5001].values["rootfs"] = "zfs:basevol-9001-disk-0/subvol-5001-disk-0,size=1G"
    assert [version.version for version in world.destroyable()] == ["2"]


def test_a_version_that_came_into_use_meanwhile_is_left_alone(world: World) -> None:
    oldest = world.destroyable()[0]
    world.datacentre.add_guest(5002, "n2", version="1")
    with pytest.raises(TargetError, match="game-base 1 is in use now: left alone"):
        world.destroy(oldest)
    assert {9001, 9011} <= set(world.datacentre.containers)


@pytest.mark.parametrize(
    ("key", "value"),
    [("template", "0"), ("tags", "zlh-line.game-base;zlh-version.5"), ("tags", "zlh-line.dev;zlh-version.1")],
)
def test_a_number_that_is_something_else_by_now_is_left_alone(world: World, key: str, value: str) -> None:
    oldest = world.destroyable()[0]
    reads_for_the_plan = len(world.datacentre.containers)
    world.datacentre.faults.meanwhile(
        "read_config",
        lambda: world.datacentre.containers[9001].values.update({key: value}),
        nth=reads_for_the_plan + 1,
    )
    with pytest.raises(TargetError, match="9001 on n1 is no template of game-base 1 any more"):
        world.destroy(oldest)
    assert 9001 in world.datacentre.containers


def test_a_template_that_is_being_cloned_is_not_destroyed(world: World) -> None:
    oldest = world.destroyable()[0]
    world.datacentre.lock(9001, "disk", timedelta(minutes=1))
    with pytest.raises(GuestLocked):
        world.destroy(oldest)
    assert 9001 in world.datacentre.containers


def test_a_destruction_that_was_cut_short_is_completed(world: World) -> None:
    oldest = world.destroyable()[0]
    world.datacentre.containers.pop(9001)
    world.destroy(oldest)
    assert not {9001, 9011} & set(world.datacentre.containers)


def test_a_failed_task_is_an_error_and_recorded(world: World) -> None:
    world.datacentre.faults.fail_task("destroy", "storage 'local' is not online")
    with pytest.raises(TargetError, match="9001 on n1 was not destroyed: storage 'local' is not online"):
        world.destroy(world.destroyable()[0])
    assert [entry.kind for entry in world.ledger.read()] == [Kind.INTENT, Kind.FAILED]
