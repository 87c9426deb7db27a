"""Rules of what follows a revocation: who carries the version, and exchanges that must not happen any more."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from tests.clock import FakeClock
from tests.datacentre import Datacentre, MemoryLedger
from zlh_hooks.application.recall import (
    Care,
    PendingState,
    Remedy,
    cancel_pending,
    list_affected,
    list_staged,
)
from zlh_hooks.application.retag import ChannelPorts
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.errors import GuestMissing
from zlh_hooks.domain.guest import GuestConfig, GuestRef, GuestSummary, parse_mount
from zlh_hooks.domain.line import TemplateVersion
from zlh_hooks.domain.steps import TargetEvent

LINE = "game-base"
BAD = TemplateVersion(LINE, "2", (GuestRef(9002, "n1"),))
NEW = "local:5001/vm-5001-disk-9.raw"


class World:
    """A node with one template and guests born from versions 1 and 2."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.datacentre = Datacentre(self.clock)
        self.datacentre.add_node("n1")
        self.datacentre.add_storage("local", "n1")
        self.datacentre.add_template(LINE, "2", "n1", 9002)
        self.datacentre.add_guest(5001, "n1", version="2")
        self.ledger = MemoryLedger(self.clock, self.datacentre.faults)
        cluster = self.datacentre.cluster
        self.ports = ChannelPorts(cluster.inventory, cluster.editor, self.ledger, self.clock)

    def affected(self, stable: str | None = "1") -> dict[int, tuple[Remedy, str]]:
        care = Care(
            lambda guest: "policy does not exchange roots of dev guests" if "dev" in guest.tags else None,
            lambda config: None if config.data_mounts else "customer data (/data) lies in the root",
            lambda guest: LINE,
        )
        return {
            one.ref.vmid: (one.remedy, one.detail) for one in list_affected(self.ports.inventory, BAD, stable, care)
        }

    def exchange(self, vmid: int, new: str) -> str:
        """Send the one PUT; returns the root until then."""
        ref = self.datacentre.containers[vmid].ref
        config = self.ports.inventory.read_config(ref)
        values = {"rootfs": config.rootfs.holding(new, "1G").render(), "unused0": config.rootfs.volume}
        self.ports.editor.write_config(ref, values, config.digest)
        return config.rootfs.volume

    def pending(self, vmid: int) -> Mapping[str, str | None]:
        return self.ports.inventory.read_pending(self.datacentre.containers[vmid].ref)

    def staged(self, rollout: str, version: str, vmid: int, volume: str) -> None:
        release = {"line": LINE, "version": version, "templates": {}}
        self.ledger.append(Draft(Kind.PLAN, "plan", rollout, data={"release": release}))
        self.ledger.append(Draft(Kind.EVENT, TargetEvent.STAGED, rollout, vmid, {"volume": volume, "size": "1G"}))


@pytest.fixture
def world() -> World:
    return World()


# --- who carries it


def test_a_guest_with_its_data_on_a_volume_can_be_rolled_to_the_stable_version(world: World) -> None:
    assert world.affected() == {5001: (Remedy.ROLL, "1")}


def test_a_guest_with_its_data_in_the_root_can_only_be_patched_live(world: World) -> None:
    world.datacentre.add_guest(5002, "n1", version="2", data_paths=())
    assert world.affected()[5002] == (Remedy.LIVE_PATCH, "customer data (/data) lies in the root")


def test_a_guest_that_policy_leaves_alone_is_its_owners_to_mend(world: World) -> None:
    world.datacentre.add_guest(6001, "n1", version="2", tags=("dev",))
    assert world.affected()[6001] == (Remedy.OWNER, "policy does not exchange roots of dev guests")


def test_without_a_stable_version_nobody_can_be_rolled(world: World) -> None:
    assert world.affected(stable=None) == {5001: (Remedy.LIVE_PATCH, "no stable version to roll to")}


def test_guests_of_other_versions_are_not_affected(world: World) -> None:
    world.datacentre.add_guest(5003, "n1", version="1")
    assert 5003 not in world.affected()


def test_a_guest_deleted_meanwhile_is_left_out(world: World) -> None:
    world.datacentre.faults.refuse("read_config", GuestMissing("gone"), vmid=5001)
    assert world.affected() == {}


# --- which volumes a rollout has brought


def test_the_ledger_names_what_rollouts_of_the_version_have_staged(world: World) -> None:
    world.staged("r1", "2", 5001, NEW)
    world.staged("r2", "3", 5002, "local:5002/vm-5002-disk-9.raw")
    assert list_staged(world.ledger, LINE, "2") == {5001: NEW}


def test_a_volume_name_that_a_later_rollout_uses_again_is_that_rollouts(world: World) -> None:
    world.staged("r1", "2", 5001, NEW)
    world.staged("r2", "3", 5001, NEW)
    assert list_staged(world.ledger, LINE, "2") == {}
    assert list_staged(world.ledger, LINE, "3") == {5001: NEW}


# --- exchanges that must not happen


def test_a_pending_exchange_is_taken_back_whole(world: World) -> None:
    before = dict(world.datacentre.containers[5001].values)
    world.exchange(5001, NEW)
    assert set(world.pending(5001)) == {"rootfs", "unused0"}
    (done,) = cancel_pending(world.ports, {5001: NEW})
    assert done.state is PendingState.TAKEN_BACK
    assert world.pending(5001) == {}
    assert world.datacentre.containers[5001].values == before


def test_changes_that_the_customer_left_pending_stay(world: World) -> None:
    world.exchange(5001, NEW)
    world.datacentre.containers[5001].pending["features"] = "nesting=1"
    cancel_pending(world.ports, {5001: NEW})
    assert world.pending(5001) == {"features": "nesting=1"}


def test_a_pending_root_of_another_name_is_somebody_elses(world: World) -> None:
    world.exchange(5001, "local:5001/vm-5001-disk-8.raw")
    (left,) = cancel_pending(world.ports, {5001: NEW})
    assert left.state is PendingState.NONE_WAITS
    assert "rootfs" in world.pending(5001)


def test_an_exchange_that_a_restart_has_brought_is_said(world: World) -> None:
    world.datacentre.containers[5001].values["rootfs"] = f"{NEW},size=1G"
    (late,) = cancel_pending(world.ports, {5001: NEW})
    assert late.state is PendingState.RUNS_IT


def test_a_restart_between_look_and_write_is_noticed(world: World) -> None:
    world.exchange(5001, NEW)

    def restart() -> None:
        container = world.datacentre.containers[5001]
        container.values |= {key: value for key, value in container.pending.items() if value}
        container.pending.clear()

    world.datacentre.faults.meanwhile("write_config", restart)
    (late,) = cancel_pending(world.ports, {5001: NEW})
    assert late.state is PendingState.RUNS_IT
    assert parse_mount("rootfs", world.datacentre.containers[5001].values["rootfs"]).volume == NEW


def test_a_guest_that_stays_locked_is_named_and_the_others_are_done(world: World) -> None:
    world.datacentre.add_guest(5002, "n1", version="2")
    for vmid in (5001, 5002):
        world.exchange(vmid, NEW)
    world.datacentre.lock(5001, "backup", timedelta(hours=2))
    locked, done = cancel_pending(world.ports, {5001: NEW, 5002: NEW})
    assert (locked.state, locked.vmid) == (None, 5001)
    assert "backup" in locked.reason
    assert done.state is PendingState.TAKEN_BACK


def test_a_guest_that_is_gone_is_named(world: World) -> None:
    (gone,) = cancel_pending(world.ports, {7777: NEW})
    assert (gone.vmid, gone.state, gone.reason) == (7777, None, "no such container")


def test_care_sees_the_guest_and_its_config(world: World) -> None:
    seen: list[GuestSummary | GuestConfig] = []
    care = Care(lambda guest: seen.append(guest), lambda config: seen.append(config), lambda guest: LINE)
    list_affected(world.ports.inventory, BAD, "1", care)
    assert [type(one) for one in seen] == [GuestSummary, GuestConfig]
