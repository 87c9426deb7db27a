"""Time, tasks, volumes and power: the physics of the world."""

import heapq
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from threading import RLock
from typing import TypeVar

from zlh_hooks.application.ports import Clock, Upid
from zlh_hooks.domain.errors import GuestLocked, GuestMissing, RightMissing, RoadError, StorageAway, TargetError
from zlh_hooks.domain.guest import GuestRef, Mount, parse_mount
from zlh_hooks.domain.interlock import ActiveTask, BackupJob
from zlh_hooks.simulation.behaviour import Behaviour
from zlh_hooks.simulation.container import Container
from zlh_hooks.simulation.seam import Request
from zlh_hooks.simulation.volume import StoredVolume, VolumeStore, parse_new_size, render_size

Body = Generator[timedelta, None, None]
"""A task's work: yields how long the next part takes, raises TargetError to fail."""
R = TypeVar("R")
OWNER = "zlh@pve!worker"
"""Whose tasks those of the stories are."""
_MOMENT = timedelta(seconds=0.1)
_FILE_LOCK_PATIENCE = timedelta(seconds=10)
_HA_REACTION = timedelta(seconds=10)


def _file_lock_timeout(container: Container) -> GuestLocked:
    file = f"/run/lock/lxc/pve-config-{container.vmid}.lock"
    return GuestLocked(f"can't lock file '{file}' - got timeout", "config")


@dataclass(slots=True)
class TaskFault:
    """What becomes of a task: an error (in place of its part ``part``), another ending, or a longer run."""

    error: TargetError | None = None
    part: int = 1
    ending: str = "OK"
    longer: timedelta = timedelta(0)


@dataclass(slots=True)
class Task:
    """A running or ended task. ``name`` is the SOURCE's VMID for clones, and empty for a backup of several guests;
    ``guests`` must live on until its end.
    """

    upid: Upid
    kind: str
    node: str
    name: str
    started: datetime
    body: Body
    fault: TaskFault
    guests: tuple[Container, ...]
    ending: str | None = None
    error: TargetError | None = None
    parts: int = 0

    @property
    def vmids(self) -> tuple[int, ...]:
        """The guests that the task's id names: ``890000-mp0>5001-unused0`` names two."""
        return tuple(int(part.partition("-")[0]) for part in self.name.split(">") if part)

    @property
    def ended_well(self) -> bool:
        """Whether it has done all that it was to do."""
        return self.ending == "OK" or (self.ending or "").startswith("WARNINGS: ")

    def as_active(self) -> ActiveTask:
        """As a node lists it."""
        return ActiveTask(self.upid, self.kind, next(iter(self.vmids), None))


class Simulation:
    """What there is and how it goes on by itself as the clock passes. Nothing happens but in :meth:`settle`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.containers: dict[int, Container] = {}
        self.stores: dict[tuple[str, str], VolumeStore] = {}
        self.online: dict[str, bool] = {}
        self.tasks: dict[Upid, Task] = {}
        self.backup_jobs: list[BackupJob] = []
        self.one_at_a_time = RLock()
        self._agenda: list[tuple[datetime, int, Callable[[], object]]] = []
        self._moment: datetime | None = None
        self._number = count(1)

    @property
    def now(self) -> datetime:
        """The moment that is being lived through: exact within a happening, else the clock's."""
        return self._moment or self.clock.now()

    def carry_out(self, request: Request, deed: Callable[[], R]) -> R:
        """Every call of a port method passes here, after all that was due before it."""
        self.settle()
        return deed()

    def fault_of_task(self) -> TaskFault:
        """What goes wrong with the task that begins now: here nothing ever does."""
        return TaskFault()

    def may(self, privilege: str, path: str) -> bool:
        """Whether the token has the privilege there: here it has every one."""
        return True

    def need(self, privilege: str, path: str) -> None:
        """``RightMissing`` as Proxmox says it, unless the token has the privilege there."""
        if not self.may(privilege, path):
            raise RightMissing(f"Permission check failed ({path}, {privilege})", f"{path}, {privilege}")

    def at(self, when: datetime | timedelta, action: Callable[[], object]) -> None:
        """Let something happen then (or so long from now)."""
        moment = self.now + when if isinstance(when, timedelta) else when
        heapq.heappush(self._agenda, (moment, next(self._number), action))

    def settle(self) -> None:
        """Live through all that was due until the clock's now, each at its own moment."""
        while self._moment is None and self._agenda and self._agenda[0][0] <= self.clock.now():
            self._moment, _, action = heapq.heappop(self._agenda)
            try:
                action()
            finally:
                self._moment = None

    def reach(self, node: str) -> None:
        """RoadError if the node is unknown or does not answer."""
        if not self.online.get(node, False):
            raise RoadError(f"{node}: no route to host")

    def find(self, guest: GuestRef) -> Container:
        """The guest, if it is on that node and of that kind."""
        self.reach(guest.node)
        container = self.containers.get(guest.vmid)
        if container is None or container.ref != guest:
            folder = "lxc" if guest.is_container else "qemu-server"
            raise GuestMissing(f"Configuration file 'nodes/{guest.node}/{folder}/{guest.vmid}.conf' does not exist")
        return container

    def store(self, node: str, name: str) -> VolumeStore:
        """The storage as that node sees it."""
        if (node, name) not in self.stores:
            raise TargetError(f"storage '{name}' does not exist on node '{node}'")
        return self.stores[node, name]

    def activate(self, node: str, name: str) -> VolumeStore:
        """The storage, if it answers."""
        store = self.store(node, name)
        if not store.active:
            raise StorageAway(f"unable to activate storage '{name}' - it is not mounted on {node}")
        return store

    def activate_all(self, container: Container, mounts: Iterable[Mount]) -> None:
        """The storages of its volumes, as far as the volumes exist."""
        for mount in mounts:
            if self.volume(container.node, mount.volume) is not None:
                self.activate(container.node, mount.storage)

    def volume(self, node: str, volid: str) -> StoredVolume | None:
        """The volume, if it exists."""
        store = self.stores.get((node, volid.partition(":")[0]))
        return store.volumes.get(volid) if store else None

    # tasks

    def begin_task(
        self, kind: str, guests: tuple[Container, ...], body: Body, name: str | None = None, owner: str = OWNER
    ) -> Upid:
        """Start a task on the node of the first of ``guests`` (and named after it); its first part runs now."""
        first, now = guests[0], self.now
        name = str(first.vmid) if name is None else name
        number, seconds = next(self._number), int(now.timestamp())
        upid = Upid(f"UPID:{first.node}:{number:08X}:{number:08X}:{seconds:08X}:{kind}:{name}:{owner}:")
        task = Task(upid, kind, first.node, name, now, body, self.fault_of_task(), guests)
        self.tasks[upid] = task
        self._advance(task, task.fault.longer, first=True)
        return upid

    def _advance(self, task: Task, longer: timedelta = timedelta(0), *, first: bool = False) -> None:
        if task.ending is not None:
            return
        try:
            pause = next(task.body) if first else self._resume(task)
        except StopIteration:
            task.ending = task.fault.ending
        except TargetError as error:
            task.ending = str(error)
            task.error = error
        else:
            self.at(pause + longer, lambda: self._advance(task))

    def _resume(self, task: Task) -> timedelta:
        gone = next((guest for guest in task.guests if self.containers.get(guest.vmid) is not guest), None)
        if gone is not None:
            return task.body.throw(GuestMissing(f"Configuration file '{gone.vmid}.conf' does not exist"))
        task.parts += 1
        if task.fault.error is not None and task.parts == task.fault.part:
            return task.body.throw(task.fault.error)
        return next(task.body)

    def wait_for_file(self, container: Container) -> None:
        """A power task holds the config file: a write waits ten seconds for it and then fails.

        A write that arrives late fails at once: nobody's clock waits for it.
        """
        until = self.now + _FILE_LOCK_PATIENCE
        while container.flocked:
            if self.now >= until or self._moment is not None:
                raise _file_lock_timeout(container)
            self.clock.sleep(_MOMENT)
            self.settle()

    def holding_file(self, container: Container, body: Body, *, obeys_lock: bool = True) -> Body:
        """The body, run while it holds the config file; it waits for its turn as any task does."""
        until = self.now + _FILE_LOCK_PATIENCE
        while container.flocked:
            if self.now >= until:
                raise _file_lock_timeout(container)
            yield _MOMENT
        container.flocked = True
        try:
            if obeys_lock:
                container.refuse_if_locked()
            yield from body
        finally:
            container.flocked = False

    # power

    def behaviour(self, container: Container) -> Behaviour | None:
        """How the root that runs, or would run, behaves; None if it is no root at all."""
        volume = self.volume(container.node, container.running_root or container.config.rootfs.volume)
        return volume.behaviour if volume else None

    def boot(self, container: Container) -> None:
        """Start now, on the root that the config names; what could not come into force at the stop may now."""
        self.apply_pending(container)
        behaviour = self.behaviour(container)
        mounts = [mount for mount in container.config.mounts if mount.is_volume and mount.path]
        whole = all(self.volume(container.node, mount.volume) for mount in mounts)
        if behaviour is None or not behaviour.boots or not whole:
            raise TargetError(f"startup for container '{container.vmid}' failed")
        container.started_at, container.running_root = self.now, container.config.rootfs.volume
        self._write_on(container)
        if behaviour.exits_after is not None:
            born = container.started_at
            self.at(timedelta(seconds=behaviour.exits_after), lambda: self._exit(container, born))

    def halt(self, container: Container) -> None:
        """Off now, whoever caused it: what was pending comes into force, and the HA manager takes note."""
        self._write_on(container)
        container.started_at = container.running_root = None
        self.apply_pending(container)
        if container.ha_state == "started":
            self.at(_HA_REACTION, lambda: self.reconcile(container))

    def list_used(self, container: Container | None) -> frozenset[str]:
        """The volumes that a running guest has mounted."""
        if container is None or container.running_root is None:
            return frozenset()
        return frozenset({container.running_root, *(mount.volume for mount in container.config.data_mounts)})

    def _write_on(self, container: Container) -> None:
        """Who mounts and who unmounts a file system writes to it."""
        volumes = (self.volume(container.node, volid) for volid in self.list_used(container))
        for volume in volumes:
            if volume is not None:
                volume.changed = self.now

    def reconcile(self, container: Container) -> None:
        """The HA manager brings the guest where its state says; ``ignored`` keeps it off."""
        if self.containers.get(container.vmid) is not container:
            return
        if container.ha_state == "started" and not container.running and not container.flocked:
            with suppress(TargetError):
                self.boot(container)
        if container.ha_state == "stopped" and container.running:
            self.halt(container)

    def _exit(self, container: Container, born: datetime) -> None:
        if container.started_at == born:
            self.halt(container)

    # pending changes

    def apply_pending(self, container: Container) -> list[str]:
        """Bring every pending change into force: deletions first, then the rest in the order of their names.

        What cannot be applied stays pending; the answer says why.
        """
        deleted = sorted(key for key, value in container.pending.items() if value is None)
        return self.apply(container, [*deleted, *sorted(container.pending.keys() - set(deleted))])

    def apply(self, container: Container, keys: Iterable[str]) -> list[str]:
        """Bring these pending changes into force."""
        errors = []
        for key in keys:
            try:
                self._apply(container, key)
            except TargetError as error:
                errors.append(f"{key}: unable to apply pending change {key} : {error}")
        return errors

    def _apply(self, container: Container, key: str) -> None:
        value = container.pending[key]
        if value is not None and key.startswith("mp"):
            value = self._sized(container, key, value)
        if value is None and key.startswith("unused") and key in container.values:
            self.activate_all(container, [parse_mount(key, container.values[key])])
        old = container.values.pop(key, None)
        if value is not None:
            container.values[key] = value
        del container.pending[key]
        if old is not None and key.startswith("mp"):
            self._keep_unused(container, parse_mount(key, old).volume)
        if old is not None and value is None and key.startswith("unused"):
            self.free_if_own(container, old)

    def free_if_own(self, container: Container, volid: str) -> None:
        """Free a volume unless it is another guest's or still named somewhere in this config."""
        volume = self.volume(container.node, volid)
        if volume and volume.owner == container.vmid and not container.uses(volid):
            self.activate(container.node, volid.partition(":")[0]).release(volid)

    def _keep_unused(self, container: Container, volid: str) -> None:
        """Also a volume that is still in use: pve-container compares it with the whole entry and never finds it."""
        if not volid.startswith("/") and volid not in {mount.volume for mount in container.config.unused}:
            container.values[container.config.free_key("unused")] = volid

    def _sized(self, container: Container, key: str, value: str) -> str:
        mount = parse_mount(key, value)
        size = parse_new_size(mount.volume)
        if size is None:
            volume = self.volume(container.node, mount.volume)
        else:
            volume = self.activate(container.node, mount.storage).allocate(container.vmid, size, self.now)
        return value if volume is None else mount.holding(volume.volid, render_size(volume.size)).render()
