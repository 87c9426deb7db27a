"""What others do to the world: customers, operators, backup jobs, hardware. Call now, with ``at``, or in a fault."""

from datetime import timedelta

from tests.datacentre.memory import Memory
from zlh_hooks.application.ports import Clock
from zlh_hooks.domain.errors import TargetError
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.simulation.container import Container
from zlh_hooks.simulation.physics import Body
from zlh_hooks.simulation.volume import StoredVolume

ROLE = frozenset(
    {
        "VM.Audit",
        "VM.Clone",
        "VM.Allocate",
        "VM.Config.Disk",
        "VM.Config.Options",
        "VM.PowerMgmt",
        "Datastore.AllocateSpace",
        "Datastore.Audit",
        "SDN.Use",
        "Sys.Audit",
        "Sys.Console",
    }
)

PLATFORM = "platform@pve!api"
"""The token of the one who makes guests."""


def _working(length: timedelta) -> Body:
    yield length


def _failing() -> Body:
    yield timedelta(seconds=1)
    raise TargetError("no space left on the storage")


class Events(Memory):
    """Each method is one event; it asks nobody and obeys no lock unless it says so."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.privileges: dict[str, frozenset[str]] = {"/": ROLE}
        self.quorate = True
        self.token_valid = True

    def delete_guest(self, vmid: int) -> None:
        """Somebody destroys the guest with all its volumes."""
        container = self.containers.pop(vmid)
        self.acknowledged.pop(vmid, None)
        self.baselines.pop(vmid, None)
        for volume in self.volumes_of(container):
            self.store(container.node, volume.volid.partition(":")[0]).release(volume.volid)

    def migrate_guest(self, vmid: int, node: str) -> None:
        """Somebody moves the guest to another node, restarting it if it runs; local volumes go along."""
        container = self.containers[vmid]
        was_running = container.running
        if was_running:
            self.halt(container)
        for volume in self.volumes_of(container):
            name = volume.volid.partition(":")[0]
            here, there = self.store(container.node, name), self.store(node, name)
            there.volumes[volume.volid] = here.volumes.pop(volume.volid)
            if here is not there:  # it is a copy
                volume.created = volume.changed = self.now
        container.node = node
        if vmid in self.baselines:
            self.baselines[vmid].node = node
        if was_running:
            self.boot(container)

    def edit_config(self, vmid: int, **values: str) -> None:
        """Somebody else edits the config; what is empty is removed. The guest is expected to stay like that."""
        container = self.containers[vmid]
        container.values.update(values)
        for key in [key for key, value in values.items() if not value]:
            del container.values[key]
        self.remember(container)

    def power_off(self, vmid: int) -> None:
        """The customer shuts the guest down from inside and means it."""
        self.containers[vmid].wanted = False
        if self.containers[vmid].running:
            self.halt(self.containers[vmid])

    def power_on(self, vmid: int) -> None:
        """The customer starts the guest."""
        self.containers[vmid].wanted = True
        if not self.containers[vmid].running:
            self.boot(self.containers[vmid])

    def restart_inside(self, vmid: int) -> None:
        """The customer reboots from inside; no task tells of it."""
        if self.containers[vmid].running:
            self.halt(self.containers[vmid])
            self.boot(self.containers[vmid])

    def lock(self, vmid: int, lock: str, length: timedelta | None = None) -> None:
        """A backup (or another job) takes the config lock, for a while or for good."""
        self.containers[vmid].values["lock"] = lock
        if length is not None:
            self.at(length, lambda: self.unlock(vmid))

    def work_on(self, vmid: int, kind: str, length: timedelta) -> None:
        """Somebody's task is at work on the guest, and has not locked it (yet)."""
        self.begin_task(kind, (self.containers[vmid],), _working(length))

    def back_up_several(self, vmid: int, length: timedelta) -> None:
        """A backup of several guests runs on this one's node; its task names none."""
        self.begin_task("vzdump", (self.containers[vmid],), _working(length), name="")

    def provision(self, template: int, length: timedelta) -> None:
        """The platform makes a new guest from the template, which its task names."""
        self.begin_task("vzclone", (self.containers[template],), _working(length), owner=PLATFORM)

    def fail_to_provision(self, template: int) -> None:
        """It cannot."""
        self.begin_task("vzclone", (self.containers[template],), _failing(), owner=PLATFORM)

    def unlock(self, vmid: int) -> None:
        """The job is done."""
        if vmid in self.containers:
            self.containers[vmid].values.pop("lock", None)

    def bring_back(self, vmid: int) -> None:
        """An operator restores a backup: the guest's root is a new volume, and nothing waits for a restart any more."""
        container = self.containers[vmid]
        old = self.volume(container.node, container.config.rootfs.volume)
        assert old is not None
        new = self.store(container.node, old.volid.partition(":")[0]).allocate(vmid, old.size, self.now)
        new.behaviour = old.behaviour
        container.pending.clear()
        self.edit_config(vmid, rootfs=container.config.rootfs.holding(new.volid, None).render())

    def take_snapshot(self, vmid: int, name: str) -> None:
        """An operator takes a snapshot."""
        self.containers[vmid].snapshots[name] = dict(self.containers[vmid].values)

    def remove_snapshot(self, vmid: int, name: str) -> None:
        """The snapshot goes; volumes that only it named come back as ``unusedN``."""
        container = self.containers[vmid]
        del container.snapshots[name]
        for volume in self.volumes_of(container):
            if container.names(volume.volid):
                continue
            container.values[container.config.free_key("unused")] = volume.volid

    def fill_storage(self, node: str, name: str) -> None:
        """Nothing more fits on the storage."""
        self.store(node, name).free = 0

    def lose_quorum(self, length: timedelta | None = None) -> None:
        """No write is accepted, for a while or for good; reads go on."""
        self.quorate = False
        if length is not None:
            self.at(length, self.regain_quorum)

    def regain_quorum(self) -> None:
        """Writes are accepted again."""
        self.quorate = True

    def cut_node(self, node: str, length: timedelta | None = None) -> None:
        """The node does not answer; its guests go on meanwhile."""
        self.online[node] = False
        if length is not None:
            self.at(length, lambda: self.bring_node(node))

    def crash_node(self, node: str, length: timedelta | None = None) -> None:
        """The node loses power; its guests are off, and its tasks have died, until it is back."""
        for container in self._guests_on(node):
            container.flocked = False
            if container.running:
                self.halt(container)
        for task in self.tasks.values():
            if task.node == node and task.ending is None:
                task.ending = "unexpected status"
        self.cut_node(node, length)

    def bring_node(self, node: str) -> None:
        """The node is back and starts its guests with ``onboot`` that are off and should be on."""
        self.online[node] = True
        for container in self._guests_on(node):
            if container.wanted and not container.running and container.values.get("onboot") == "1":
                self.boot(container)

    def refuse_token(self, length: timedelta) -> None:
        """Proxmox does not know the token, for a while."""
        self.token_valid = False
        self.at(length, self.accept_token)

    def accept_token(self) -> None:
        """Proxmox knows the token again."""
        self.token_valid = True

    def revoke_privilege(self, privilege: str) -> None:
        """The token loses a privilege everywhere."""
        self.privileges = {path: held - {privilege} for path, held in self.privileges.items()}

    def set_players(self, vmid: int, players: int) -> None:
        """So many people play there now."""
        self.containers[vmid].players = players

    def keep_writing(self, vmid: int, every: timedelta, times: int) -> None:
        """The game stores numbered records by itself; those that it cannot store are not acknowledged."""
        start = len(self.acknowledged[vmid])
        for number in range(1, times + 1):
            self.at(every * number, lambda text=f"{vmid}-{start + number}": self.write_record(vmid, text))  # type: ignore[misc]

    def volumes_of(self, container: Container) -> list[StoredVolume]:
        """Every volume that the storages of its node hold for the guest."""
        stores = {id(store): store for (node, _), store in self.stores.items() if node == container.node}
        return [
            volume
            for store in stores.values()
            for volume in list(store.volumes.values())
            if volume.owner == container.vmid
        ]

    def ref(self, vmid: int) -> GuestRef:
        """Where the guest is now."""
        return self.containers[vmid].ref

    def _guests_on(self, node: str) -> list[Container]:
        return [container for container in self.containers.values() if container.node == node]
