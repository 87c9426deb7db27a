"""A small cluster that every implementation of the ports can set up: one node, one storage, a template, guests."""

from datetime import datetime, timedelta
from typing import Protocol

from tests.clock import FakeClock
from tests.datacentre import Datacentre
from zlh_hooks.application.ports import CloneOrder, Cluster, TaskResult, Upid
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.interlock import BackupJob

NODE, STORAGE, LINE = "n1", "local", "game-base"
TEMPLATE = GuestRef(8002, NODE)
SCRATCH = GuestRef(890000, NODE)
GIB = 1024**3
GUEST = GuestRef(5001, NODE)
OTHER = GuestRef(5002, NODE)
MACHINE = GuestRef(600, NODE, is_container=False)
MINUTE = timedelta(minutes=1)


class Bench(Protocol):
    """The cluster as the application sees it, and what only its surroundings can do.

    It begins with TEMPLATE (version 2 of LINE), with two guests of version 1 with data volumes: GUEST runs and OTHER is
    off; and with MACHINE, a virtual machine that is off.
    """

    @property
    def cluster(self) -> Cluster:
        """The ports."""

    @property
    def begun(self) -> datetime:
        """When it was set up, by the cluster's own clock."""

    def lock(self, guest: GuestRef, lock: str) -> None:
        """A job of the operator's takes the config lock for good."""

    def power_off_inside(self, guest: GuestRef) -> None:
        """The customer shuts the guest down from inside; it is off when this returns."""

    def restart_inside(self, guest: GuestRef) -> None:
        """The customer reboots from inside; it is up again when this returns."""

    def back_up_several(self) -> None:
        """A job of the operator's begins to back up several guests of the node, for longer than a test takes."""

    def plan_backups(self, due: datetime) -> None:
        """Jobs that come then: of GUEST by its number, of pool ``customers``, and of all others than GUEST."""

    def wait(self, upid: Upid) -> TaskResult:
        """Let time pass until the task has ended."""


class MemoryBench:
    """The bench in memory."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.begun = self.clock.now()
        self.world = Datacentre(self.clock)
        self.world.add_node(NODE)
        self.world.add_storage(STORAGE)
        self.world.add_template(LINE, "1", NODE, 8001, channel="stable")
        self.world.add_template(LINE, "2", NODE, TEMPLATE.vmid)
        self.world.add_guest(GUEST.vmid, NODE)
        self.world.add_guest(OTHER.vmid, NODE, running=False)
        self.world.add_vm(MACHINE.vmid, NODE)

    @property
    def cluster(self) -> Cluster:
        return self.world.cluster

    def lock(self, guest: GuestRef, lock: str) -> None:
        self.world.lock(guest.vmid, lock)

    def power_off_inside(self, guest: GuestRef) -> None:
        self.world.power_off(guest.vmid)

    def restart_inside(self, guest: GuestRef) -> None:
        self.world.restart_inside(guest.vmid)

    def back_up_several(self) -> None:
        self.world.back_up_several(GUEST.vmid, timedelta(hours=1))

    def plan_backups(self, due: datetime) -> None:
        self.world.backup_jobs += [
            BackupJob("numbers", due, vmids=frozenset({GUEST.vmid})),
            BackupJob("pool", due, pool="customers"),
            BackupJob("all", due, takes_all=True, excluded=frozenset({GUEST.vmid})),
        ]

    def wait(self, upid: Upid) -> TaskResult:
        while (result := self.cluster.tasks.read_task(upid)).running:
            self.clock.sleep(timedelta(seconds=0.1))
        return result


def clone(bench: Bench, scratch: GuestRef = SCRATCH) -> GuestRef:
    """A scratch guest cloned from TEMPLATE."""
    order = CloneOrder(scratch.vmid, STORAGE, "scratch", "a scratch guest")
    assert bench.wait(bench.cluster.editor.clone(TEMPLATE, order)).ok
    return scratch


def detach_root(bench: Bench, scratch: GuestRef = SCRATCH) -> str:
    """Make the scratch guest's root its ``mp0``, with a small filler as its root; the volume that was the root."""
    editor, inventory = bench.cluster.editor, bench.cluster.inventory
    editor.write_config(scratch, {"mp0": f"{STORAGE}:0.05,mp=/zlh-filler"}, None)
    config = inventory.read_config(scratch)
    root, filler = config.rootfs.volume, config.data_mounts[0].volume
    editor.write_config(scratch, {"rootfs": f"{filler},size=51M", "mp0": f"{root},mp=/zlh-os"}, config.digest)
    return root


def stage(bench: Bench, guest: GuestRef, slot: str = "unused0") -> str:
    """The whole staging: afterwards the guest owns a new root as an unused volume, whose id is the answer."""
    clone(bench)
    detach_root(bench)
    inventory = bench.cluster.inventory
    source, target = inventory.read_config(SCRATCH), inventory.read_config(guest)
    assert bench.wait(bench.cluster.editor.move_volume(source, "mp0", target, slot)).ok
    assert bench.wait(bench.cluster.editor.destroy(SCRATCH)).ok
    return inventory.read_config(guest).values[slot]


def exchange(bench: Bench, guest: GuestRef, new: str, slot: str = "unused0") -> str:
    """The one PUT; the answer is the volume that was the root."""
    config = bench.cluster.inventory.read_config(guest)
    values = {"rootfs": config.rootfs.holding(new, "1G").render(), slot: config.rootfs.volume}
    bench.cluster.editor.write_config(guest, values, config.digest)
    return config.rootfs.volume
