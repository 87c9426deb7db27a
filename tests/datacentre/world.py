"""The datacentre: every port of the application but ledger, lease and clock, in memory."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import count

from tests.datacentre import edit
from tests.datacentre.container import Container, Seen
from tests.datacentre.event import Events
from tests.datacentre.port import changing, reading
from tests.datacentre.simulation import Body
from tests.datacentre.volume import StoredVolume, VolumeStore, render_size
from zlh_hooks.application.ports import Clock, CloneOrder, Cluster, TaskResult, TaskSummary, Upid
from zlh_hooks.domain.errors import RightMissing, RoadError, TargetError
from zlh_hooks.domain.evidence import Measurement, Verdict
from zlh_hooks.domain.guest import (
    GuestConfig,
    GuestRef,
    GuestSummary,
    Mount,
    Power,
    StorageSpace,
    Volume,
    parse_mount,
)
from zlh_hooks.domain.probe import Probe

_ADDRESS_AFTER = 1.0
_LIST_AGE = timedelta(seconds=5)


def _seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


class Datacentre(Events):
    """Give it the clock that the code under test has; it lives on as that clock passes, call by call.

    ``durations`` are those of tasks whose length is not the guest's own; tests may change them.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.durations = {"clone": _seconds(3), "move": _seconds(0.2), "destroy": _seconds(1), "stop": _seconds(0.5)}
        self.durations["resize"] = _seconds(0.5)
        self._macs = count(2)

    @property
    def cluster(self) -> Cluster:
        """The ports as the application takes them."""
        return Cluster(self, self, self, self, self, self)

    # Inventory

    @reading
    def list_guests(self) -> tuple[GuestSummary, ...]:
        """Power, name and template mark are up to five seconds old; the rest is live, as in PVE::API2::Cluster."""
        guests = sorted(self.containers.values(), key=lambda container: container.vmid)
        return tuple(self._summary(guest) for guest in guests if self._may("VM.Audit", f"/vms/{guest.vmid}"))

    @reading
    def read_config(self, guest: GuestRef) -> GuestConfig:
        """The config in force."""
        return self._audited(guest).config

    @reading
    def read_pending(self, guest: GuestRef) -> Mapping[str, str | None]:
        """What waits for the next stop."""
        return dict(self._audited(guest).pending)

    @reading
    def read_power(self, guest: GuestRef) -> Power:
        """Live."""
        container = self._audited(guest)
        uptime = int(self._uptime(container)) if container.running else 0
        return Power(container.running, uptime, container.ha_state is not None, container.ha_state)

    @reading
    def read_address(self, guest: GuestRef) -> str | None:
        """None in the first second."""
        container = self._audited(guest)
        ready = container.running and self._uptime(container) >= _ADDRESS_AFTER
        return container.address if ready else None

    # Storage

    @reading
    def list_storages(self, node: str) -> tuple[StorageSpace, ...]:
        """Those on which the token may look."""
        self.reach(node)
        stores = [store for (at, _), store in self.stores.items() if at == node]
        seen = [store for store in stores if self._may("Datastore.Audit", f"/storage/{store.name}")]
        return tuple(StorageSpace(one.name, one.kind, one.free, one.active, one.holds_roots) for one in seen)

    @reading
    def list_volumes(self, node: str, storage: str, owner: int) -> tuple[Volume, ...]:
        """From the store."""
        self.reach(node)
        self._need("Datastore.Audit", f"/storage/{storage}")
        self._need("VM.Config.Disk", f"/vms/{owner}")
        volumes = self.store(node, storage).volumes.values()
        mine = sorted((volume for volume in volumes if volume.owner == owner), key=lambda volume: volume.volid)
        return tuple(Volume(one.volid, one.owner, one.size, one.created) for one in mine)

    # GuestEditor

    @changing
    def write_config(
        self,
        guest: GuestRef,
        values: Mapping[str, str],
        digest: str | None,
        *,
        delete: Sequence[str] = (),
        revert: Sequence[str] = (),
    ) -> None:
        """One PUT. An empty value deletes its key."""
        container = self.find(guest)
        for key in (*values, *delete, *revert):
            self._need(edit.privilege_for(key), f"/vms/{guest.vmid}")
        self.wait_for_file(container)
        container.refuse_if_locked()
        edit.check_digest(container, digest)
        kept = {key: value for key, value in values.items() if value}
        edit.write(self, container, kept, [*delete, *(key for key in values if key not in kept)], revert)

    @changing
    def clone(self, source: GuestRef, order: CloneOrder) -> Upid:
        """A full clone; the source is locked with ``disk`` and the new guest with ``create`` until it is done."""
        template = self.find(source)
        self._need("VM.Clone", f"/vms/{source.vmid}")
        self._need("VM.Allocate", f"/vms/{order.new_vmid}")
        self._need("Datastore.AllocateSpace", f"/storage/{order.storage}")
        self._need("SDN.Use", "/sdn/zones/localnetwork/vmbr0")
        template.refuse_if_locked()
        store = self.store(source.node, order.storage)
        self._check_clone(template, order)
        new = Container(order.new_vmid, template.node, {"lock": "create"}, pool=None)
        template.values["lock"] = "disk"
        self.containers[new.vmid] = new
        return self.begin_task("vzclone", self.call, (template, new), self._cloning(template, new, store, order))

    @changing
    def move_volume(self, source: GuestConfig, key: str, target: GuestConfig, target_key: str) -> Upid:
        """A rename to the first free name of the target."""
        giver, taker = self.find(source.ref), self.find(target.ref)
        self._need("VM.Config.Disk", f"/vms/{giver.vmid}")
        self._need("VM.Config.Disk", f"/vms/{taker.vmid}")
        self._need("Datastore.AllocateSpace", f"/storage/{parse_mount(key, giver.values.get(key, '')).storage}")
        edit.check_digest(giver, source.digest)
        edit.check_digest(taker, target.digest)
        self._check_move(giver, key, taker, target_key)
        name = f"{giver.vmid}-{key}>{taker.vmid}-{target_key}"
        return self.begin_task(
            "move_volume", self.call, (giver, taker), self._moving(giver, key, taker, target_key), name
        )

    @changing
    def resize(self, guest: GuestConfig, key: str, size: int) -> Upid:
        """Only grows; checked before the task and, with the config held, in it."""
        container = self.find(guest.ref)
        self._need("VM.Config.Disk", f"/vms/{container.vmid}")
        self._need("VM.Config.Options", f"/vms/{container.vmid}")
        self._need("Datastore.AllocateSpace", f"/storage/{parse_mount(key, container.values.get(key, '')).storage}")
        container.refuse_if_locked()
        edit.check_digest(container, guest.digest)
        self._check_resize(container, key, size)
        body = self.holding_file(container, self._resizing(container, guest.digest, key, size))
        return self.begin_task("resize", self.call, (container,), body)

    @changing
    def destroy(self, guest: GuestRef) -> Upid:
        """The guest and all volumes that it names and owns."""
        container = self.find(guest)
        self._need("VM.Allocate", f"/vms/{guest.vmid}")
        container.refuse_if_locked()
        container.refuse_if_protected(f"can't remove CT {guest.vmid}")
        if container.ha_state is not None:
            raise TargetError(f"unable to remove CT {guest.vmid} - used in HA resources and purge parameter not set.")
        if container.running:
            raise TargetError(f"container {guest.vmid} is running")
        return self.begin_task("vzdestroy", self.call, (container,), self._destroying(container))

    # PowerSwitch

    @changing
    def start(self, guest: GuestRef) -> Upid:
        """HA-managed: the task ends when the request is queued."""
        container = self._switchable(guest, running=False)
        if container.ha_state not in (None, "ignored"):
            return self._ask_ha(container, "started")
        return self.begin_task(
            "vzstart", self.call, (container,), self.holding_file(container, self._starting(container))
        )

    @changing
    def reboot(self, guest: GuestRef, timeout: timedelta) -> Upid:
        """Orderly, and hard after the time-out; asks neither the HA manager nor the config lock."""
        container = self._switchable(guest, running=True)
        body = self._stopping(container, timeout, then=self._starting(container))
        held = self.holding_file(container, body, obeys_lock=False)
        return self.begin_task("vzreboot", self.call, (container,), held)

    @changing
    def shutdown(self, guest: GuestRef, timeout: timedelta) -> Upid:
        """Orderly, and hard after the time-out."""
        container = self._switchable(guest, running=True)
        if container.ha_state not in (None, "ignored"):
            return self._ask_ha(container, "stopped")
        body = self._stopping(container, timeout)
        return self.begin_task("vzshutdown", self.call, (container,), self.holding_file(container, body))

    @changing
    def stop(self, guest: GuestRef) -> Upid:
        """Hard."""
        container = self._switchable(guest, running=True)
        if container.ha_state not in (None, "ignored"):
            return self._ask_ha(container, "stopped")
        return self.begin_task(
            "vzstop", self.call, (container,), self.holding_file(container, self._cutting(container))
        )

    # Tasks

    @reading
    def read_task(self, upid: Upid) -> TaskResult:
        """Running until the clock has passed its end."""
        self.reach(upid.split(":")[1])
        if upid not in self.tasks:
            raise TargetError(f"no such task '{upid}'")
        task = self.tasks[upid]
        ok = task.ending == "OK" or (task.ending or "").startswith("WARNINGS: ")
        return TaskResult(task.ending is None, ok, task.ending or "", task.refused_for)

    @reading
    def list_tasks(self, node: str, vmid: int, since: datetime) -> tuple[TaskSummary, ...]:
        """By the VMIDs in the task's id: a move's names two, and the summary its source."""
        self.reach(node)
        tasks = [one for one in self.tasks.values() if one.node == node and one.started >= since]
        return tuple(
            TaskSummary(one.upid, one.kind, one.vmids[0], one.started, one.ending is None)
            for one in tasks
            if vmid in one.vmids
        )

    # HighAvailability and Rights

    @changing
    def write_ha_state(self, vmid: int, state: str) -> None:
        """The manager acts on it ten seconds later."""
        self._need("Sys.Console", "/")
        container = self.containers.get(vmid)
        if container is None or container.ha_state is None:
            raise TargetError(f"no such resource 'ct:{vmid}'")
        container.ha_state = state
        self.at(_seconds(10), lambda: self.reconcile(container))

    @reading
    def read_rights(self, path: str | None = None) -> Mapping[str, frozenset[str]]:
        """``privileges`` as tests left them; those above a path hold on it."""
        return dict(self.privileges) if path is None else {path: self._effective(path)}

    # Prober

    def measure(self, probe: Probe, guest: GuestRef, address: str | None) -> Measurement:
        """What the root that really runs answers; an ordered RoadError becomes an unanswerable measurement."""
        try:
            verdict, detail, facts = self._measure(probe, guest, address)
        except RoadError as error:
            verdict, detail, facts = Verdict.ERROR, str(error), {}
        return Measurement(probe.name or probe.kind, verdict, detail, self.clock.now(), _seconds(0.01), facts)

    @reading
    def _measure(self, probe: Probe, guest: GuestRef, address: str | None) -> tuple[Verdict, str, dict[str, str]]:
        container = self.containers.get(guest.vmid)
        root = self.behaviour(container) if container else None
        if container is None or not container.running or root is None or not self.online[container.node]:
            return Verdict.UNHEALTHY, "no route to host", {}
        if address != container.address:
            return Verdict.UNHEALTHY, "no address yet" if address is None else f"{address} is not its address", {}
        uptime = self._uptime(container)
        if not root.measurable:
            return Verdict.ERROR, "the answer makes no sense", {}
        if uptime < root.boot_seconds:
            return Verdict.UNHEALTHY, "connection refused", {}
        if root.unhealthy_after is not None and uptime >= root.unhealthy_after:
            return Verdict.UNHEALTHY, "503 Service Unavailable", {}
        return Verdict.HEALTHY, "answers", self._facts(probe, container)

    def _facts(self, probe: Probe, container: Container) -> dict[str, str]:
        root = self.behaviour(container)
        if probe.kind == "agent" and root:
            return {"version": root.reported, "state": root.state}
        if probe.kind in ("minecraft", "source"):
            return {"players": str(container.players), "max_players": "20"}
        return {}

    # the work of tasks

    def _cloning(self, template: Container, new: Container, store: VolumeStore, order: CloneOrder) -> Body:
        copies: list[StoredVolume] = []
        try:
            values = self._inherited(template, order)
            for mount in self._volumes(template.config):
                original = self.volume(template.node, mount.volume)
                if original is None:
                    raise TargetError(f"no such volume '{mount.volume}'")
                copies.append(store.copy(original, new.vmid, self.now))
                values[mount.key] = mount.holding(copies[-1].volid, render_size(original.size)).render()
            yield self.durations["clone"]
            new.values = values
        except TargetError:
            for copy in copies:
                store.release(copy.volid)
            self.containers.pop(new.vmid, None)
            raise
        finally:
            template.values.pop("lock", None)

    def _inherited(self, template: Container, order: CloneOrder) -> dict[str, str]:
        dropped = ("lock", "template", "rootfs", "description", "hostname")
        kept = {key: value for key, value in template.values.items() if key not in dropped}
        values = {key: value for key, value in kept.items() if not key.startswith(("mp", "unused", "net"))}
        for key in (key for key in kept if key.startswith("net")):
            mac = f"hwaddr=BC:24:11:00:00:{next(self._macs):02X}"
            values[key] = ",".join(mac if part.startswith("hwaddr=") else part for part in kept[key].split(","))
        return values | {"hostname": order.hostname, "description": order.note.rstrip("\n") + "\n"}

    def _moving(self, giver: Container, key: str, taker: Container, target_key: str) -> Body:
        yield self.durations["move"]
        self._check_move(giver, key, taker, target_key)
        mount = parse_mount(key, giver.values[key])
        store, volume = self.store(giver.node, mount.storage), self.volume(giver.node, mount.volume)
        if volume is None:
            raise TargetError(f"no such volume '{mount.volume}'")
        store.rename(volume, taker.vmid)
        del giver.values[key]
        kept = Mount(target_key, volume.volid) if target_key.startswith("unused") else mount.holding(volume.volid, None)
        taker.values[target_key] = kept.render()

    def _resizing(self, container: Container, digest: str, key: str, size: int) -> Body:
        yield self.durations["resize"]
        edit.check_digest(container, digest)
        volume = self._check_resize(container, key, size)
        self.store(container.node, volume.volid.partition(":")[0]).grow(volume, size)
        mount = parse_mount(key, container.values[key])
        container.values[key] = mount.holding(volume.volid, render_size(size)).render()

    def _destroying(self, container: Container) -> Body:
        container.values["lock"] = "destroyed"
        try:
            yield self.durations["destroy"]
        except TargetError:
            container.values.pop("lock")  # the config is only replaced by that lock once the volumes are gone
            raise
        named = self._volumes(container.config, unused=True)
        del self.containers[container.vmid]
        container.values, container.pending = {}, {}
        for mount in named:
            self.free_if_own(container, mount.volume)

    def _starting(self, container: Container) -> Body:
        behaviour = self.behaviour(container)
        yield _seconds(behaviour.start_seconds if behaviour else 2)
        if container.running:
            raise TargetError(f"CT {container.vmid} already running")
        self.boot(container)

    def _stopping(self, container: Container, timeout: timedelta, *, then: Body | None = None) -> Body:
        behaviour = self.behaviour(container)
        length = _seconds(behaviour.shutdown_seconds) if behaviour else timedelta(0)
        deaf = length > timeout or (behaviour is not None and behaviour.refuses_shutdown)
        yield timeout if deaf else length
        if container.running:
            self.halt(container)
        if then is not None:
            yield from then

    def _cutting(self, container: Container) -> Body:
        yield self.durations["stop"]
        if container.running:
            self.halt(container)

    def _ask_ha(self, container: Container, state: str) -> Upid:
        def queue() -> Body:
            yield _seconds(1)
            container.ha_state = state
            self.at(_seconds(5), lambda: self.reconcile(container))

        return self.begin_task("hastart" if state == "started" else "hastop", self.call, (container,), queue())

    # checks

    def _check_clone(self, template: Container, order: CloneOrder) -> None:
        if order.new_vmid in self.containers:
            raise TargetError(f"unable to create CT {order.new_vmid} - CT {order.new_vmid} already exists")
        if template.running:
            raise TargetError("Full clone of a running container is only possible from a snapshot")
        bound = next((mount for mount in template.config.data_mounts if not mount.is_volume), None)
        if bound is not None:
            raise TargetError(f"unable to clone mountpoint '{bound.key}' (type bind)")

    def _check_move(self, giver: Container, key: str, taker: Container, target_key: str) -> None:
        giver.refuse_if_locked()
        taker.refuse_if_locked()
        mount = parse_mount(key, giver.values.get(key, ""))
        reasons = {
            "Cannot move to/from 'rootfs'": "rootfs" in (key, target_key),
            "Can't move volumes from or to template CT": giver.config.flag("template") or taker.config.flag("template"),
            f"Volume '{key}' for container '{giver.vmid}' does not exist": key not in giver.values,
            f"Target volume key '{target_key}' is already in use for container '{taker.vmid}'": target_key
            in taker.values.keys() | taker.pending.keys(),
            "Both containers need to be on the same node": giver.node != taker.node,
            "Moving an unused volume to a used one is not possible": key.startswith("unused")
            and not target_key.startswith("unused"),
            f"Cannot move a bind or device mount: '{key}'": not mount.is_volume,
            f"Container '{giver.vmid}' must be stopped": giver.running and not key.startswith("unused"),
            f"Container '{taker.vmid}' must be stopped": taker.running and not target_key.startswith("unused"),
            f"Volume '{mount.volume}' is used by a snapshot": giver.snapshot_uses(mount.volume),
        }
        wrong = next((reason for reason, found in reasons.items() if found), None)
        if wrong is None and not self.store(giver.node, mount.storage).renames:
            wrong = f"storage '{mount.storage}' does not support volume rename"
        if wrong is not None:
            raise TargetError(wrong)

    def _check_resize(self, container: Container, key: str, size: int) -> StoredVolume:
        """As ``resize_vm`` of pve-container does it; a volume without a size is a subvolume."""
        volume = self.volume(container.node, parse_mount(key, container.values.get(key, "")).volume)
        if volume is None:
            raise TargetError(f"Could not determine current size of volume '{key}'")
        if volume.owner != container.vmid:
            raise TargetError(f"can't resize mount point owned by another container ({volume.owner})")
        if size <= volume.size:
            raise TargetError(
                "disk is already at specified size" if size == volume.size else "unable to shrink disk size"
            )
        if not volume.size:
            raise TargetError("cannot resize subvolume - btrfs quotas are currently not supported")
        return volume

    def _switchable(self, guest: GuestRef, *, running: bool) -> Container:
        container = self.find(guest)
        self._need("VM.PowerMgmt", f"/vms/{guest.vmid}")
        if container.config.flag("template"):
            raise TargetError("you can't start a CT if it's a template")
        if container.running != running and not container.flocked:
            raise TargetError(f"CT {guest.vmid} {'not' if running else 'already'} running")
        return container

    def _audited(self, guest: GuestRef) -> Container:
        container = self.find(guest)
        self._need("VM.Audit", f"/vms/{guest.vmid}")
        return container

    def _may(self, privilege: str, path: str) -> bool:
        self.faults.needs.append((self.call, privilege))
        return privilege in self._effective(path)

    def _effective(self, path: str) -> frozenset[str]:
        parts = path.split("/")
        above = ["/", *("/".join(parts[:length]) for length in range(2, len(parts) + 1))]
        return frozenset().union(*(self.privileges.get(one, frozenset()) for one in above))

    def _need(self, privilege: str, path: str) -> None:
        if not self._may(privilege, path):
            raise RightMissing(f"Permission check failed ({path}, {privilege})", f"{path}, {privilege}")

    # views

    def _summary(self, container: Container) -> GuestSummary:
        name = container.values.get("hostname") or container.values.get("name", "")
        live = Seen(self.now, container.running, name, container.config.flag("template"))
        if container.seen is None or self.now - container.seen.at >= _LIST_AGE:
            container.seen = live
        seen, tags = container.seen, container.config.tags
        lock = container.config.lock
        return GuestSummary(
            container.ref, seen.name, seen.running, seen.template, tags, lock, container.pool, container.is_container
        )

    def _uptime(self, container: Container) -> float:
        return (self.now - container.started_at).total_seconds() if container.started_at else 0

    def _volumes(self, config: GuestConfig, *, unused: bool = False) -> list[Mount]:
        wanted = [mount for mount in config.mounts if mount.is_volume]
        return [mount for mount in wanted if unused or not mount.key.startswith("unused")]
