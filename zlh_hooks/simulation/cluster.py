"""The cluster: every port by which the application reaches Proxmox and asks guests how they are, in memory."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from zlh_hooks.application.ports import CloneOrder, Cluster, TaskResult, TaskSummary, Upid
from zlh_hooks.domain.errors import GuestLocked, RoadError, StorageAway, TargetError
from zlh_hooks.domain.evidence import Measurement, Verdict
from zlh_hooks.domain.guest import (
    GuestConfig,
    GuestRef,
    GuestSummary,
    Power,
    StorageSpace,
    Volume,
    parse_mount,
)
from zlh_hooks.domain.interlock import ActiveTask, BackupJob
from zlh_hooks.domain.probe import Probe
from zlh_hooks.simulation import edit
from zlh_hooks.simulation.container import Container, Seen
from zlh_hooks.simulation.edit import check_digest
from zlh_hooks.simulation.seam import changing, reading
from zlh_hooks.simulation.work import Work

_ADDRESS_AFTER = 1.0
_LIST_AGE = timedelta(seconds=5)


class SimulatedCluster(Work):
    """Give it the clock that the code has that works on it; it lives on as that clock passes, call by call."""

    @property
    def cluster(self) -> Cluster:
        """The ports as the application takes them."""
        return Cluster(self, self, self, self, self, self, self)

    # Inventory

    @reading
    def list_guests(self) -> tuple[GuestSummary, ...]:
        """Power, name and template mark are up to five seconds old; the rest is live, as in PVE::API2::Cluster."""
        guests = sorted(self.containers.values(), key=lambda container: container.vmid)
        return tuple(self._summary(guest) for guest in guests if self.may("VM.Audit", f"/vms/{guest.vmid}"))

    @reading
    def list_nodes(self) -> tuple[str, ...]:
        """All that were ever there."""
        return tuple(sorted(self.online))

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
        seen = [store for store in stores if self.may("Datastore.Audit", f"/storage/{store.name}")]
        return tuple(StorageSpace(one.name, one.kind, one.free, one.active, one.holds_roots) for one in seen)

    @reading
    def list_volumes(self, node: str, storage: str, owner: int) -> tuple[Volume, ...]:
        """From the store."""
        self.reach(node)
        self.need("Datastore.Audit", f"/storage/{storage}")
        self.need("VM.Config.Disk", f"/vms/{owner}")
        try:
            store = self.activate(node, storage)
        except StorageAway as error:
            raise RoadError(str(error)) from error
        mine = sorted((one for one in store.volumes.values() if one.owner == owner), key=lambda one: one.volid)
        used = self.list_used(self.containers.get(owner))
        stamps = (store.stamp(one, self.now if one.volid in used else None) for one in mine)
        return tuple(Volume(one.volid, one.owner, one.size, stamp) for one, stamp in zip(mine, stamps, strict=True))

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
            self.need(edit.privilege_for(key), f"/vms/{guest.vmid}")
        self.wait_for_file(container)
        container.refuse_if_locked()
        check_digest(container, digest)
        kept = {key: value for key, value in values.items() if value}
        edit.write(self, container, kept, [*delete, *(key for key in values if key not in kept)], revert)

    @changing
    def clone(self, source: GuestRef, order: CloneOrder) -> Upid:
        """A full clone; the source is locked with ``disk`` and the new guest with ``create`` until it is done."""
        template = self.find(source)
        self.need("VM.Clone", f"/vms/{source.vmid}")
        self.need("VM.Allocate", f"/vms/{order.new_vmid}")
        self.need("Datastore.AllocateSpace", f"/storage/{order.storage}")
        self.need("SDN.Use", "/sdn/zones/localnetwork/vmbr0")
        template.refuse_if_locked()
        store = self.store(source.node, order.storage)
        self.check_clone(template, order)
        new = Container(order.new_vmid, template.node, {"lock": "create"}, pool=None)
        template.values["lock"] = "disk"
        self.containers[new.vmid] = new
        return self.begin_task("vzclone", (template, new), self.cloning(template, new, store, order))

    @changing
    def move_volume(self, source: GuestConfig, key: str, target: GuestConfig, target_key: str) -> Upid:
        """A rename to the first free name of the target."""
        giver, taker = self.find(source.ref), self.find(target.ref)
        self.need("VM.Config.Disk", f"/vms/{giver.vmid}")
        self.need("VM.Config.Disk", f"/vms/{taker.vmid}")
        self.need("Datastore.AllocateSpace", f"/storage/{parse_mount(key, giver.values.get(key, '')).storage}")
        check_digest(giver, source.digest)
        check_digest(taker, target.digest)
        self.check_move(giver, key, taker, target_key)
        name = f"{giver.vmid}-{key}>{taker.vmid}-{target_key}"
        return self.begin_task("move_volume", (giver, taker), self.moving(giver, key, taker, target_key), name)

    @changing
    def resize(self, guest: GuestConfig, key: str, size: int) -> Upid:
        """Only grows; checked before the task and, with the config held, in it."""
        container = self.find(guest.ref)
        self.need("VM.Config.Disk", f"/vms/{container.vmid}")
        self.need("VM.Config.Options", f"/vms/{container.vmid}")
        self.need("Datastore.AllocateSpace", f"/storage/{parse_mount(key, container.values.get(key, '')).storage}")
        container.refuse_if_locked()
        check_digest(container, guest.digest)
        self.check_resize(container, key, size)
        body = self.holding_file(container, self.resizing(container, guest.digest, key, size))
        return self.begin_task("resize", (container,), body)

    @changing
    def destroy(self, guest: GuestRef) -> Upid:
        """The guest and all volumes that it names and owns."""
        container = self.find(guest)
        self.need("VM.Allocate", f"/vms/{guest.vmid}")
        container.refuse_if_locked()
        container.refuse_if_protected(f"can't remove CT {guest.vmid}")
        if container.ha_state is not None:
            raise TargetError(f"unable to remove CT {guest.vmid} - used in HA resources and purge parameter not set.")
        if container.running:
            raise TargetError(f"container {guest.vmid} is running")
        return self.begin_task("vzdestroy", (container,), self.destroying(container))

    # PowerSwitch

    @changing
    def start(self, guest: GuestRef) -> Upid:
        """HA-managed: the task ends when the request is queued."""
        container = self._switchable(guest, running=False)
        if container.ha_state not in (None, "ignored"):
            return self.ask_ha(container, "started")
        return self.begin_task("vzstart", (container,), self.holding_file(container, self.starting(container)))

    @changing
    def reboot(self, guest: GuestRef, timeout: timedelta) -> Upid:
        """Orderly, and hard after the time-out; asks neither the HA manager nor the config lock."""
        container = self._switchable(guest, running=True)
        body = self.stopping(container, timeout, then=self.starting(container))
        held = self.holding_file(container, body, obeys_lock=False)
        return self.begin_task("vzreboot", (container,), held)

    @changing
    def shutdown(self, guest: GuestRef, timeout: timedelta) -> Upid:
        """Orderly, and hard after the time-out."""
        container = self._switchable(guest, running=True)
        if container.ha_state not in (None, "ignored"):
            return self.ask_ha(container, "stopped")
        body = self.stopping(container, timeout)
        return self.begin_task("vzshutdown", (container,), self.holding_file(container, body))

    @changing
    def stop(self, guest: GuestRef) -> Upid:
        """Hard."""
        container = self._switchable(guest, running=True)
        if container.ha_state not in (None, "ignored"):
            return self.ask_ha(container, "stopped")
        return self.begin_task("vzstop", (container,), self.holding_file(container, self.cutting(container)))

    # Tasks

    @reading
    def read_task(self, upid: Upid) -> TaskResult:
        """Running until the clock has passed its end."""
        self.reach(upid.split(":")[1])
        if upid not in self.tasks:
            raise TargetError(f"no such task '{upid}'")
        task = self.tasks[upid]
        lock = task.error.lock if isinstance(task.error, GuestLocked) else None
        return TaskResult(
            task.ending is None, task.ended_well, task.ending or "", lock, isinstance(task.error, StorageAway)
        )

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

    @reading
    def list_active(self, node: str) -> tuple[ActiveTask, ...]:
        """What runs now; a backup of several guests names none."""
        self.reach(node)
        running = [one for one in self.tasks.values() if one.node == node and one.ending is None]
        return tuple(one.as_active() for one in running)

    @reading
    def list_begun(self, node: str, since: datetime) -> tuple[ActiveTask, ...]:
        """What failed has done nothing."""
        self.reach(node)
        begun = (one for one in self.tasks.values() if one.node == node and one.started >= since)
        return tuple(one.as_active() for one in begun if one.ending is None or one.ended_well)

    # Backups

    @reading
    def list_backup_jobs(self) -> tuple[BackupJob, ...]:
        """All that were set up."""
        self.need("Sys.Audit", "/")
        return tuple(self.backup_jobs)

    # HighAvailability

    @changing
    def write_ha_state(self, vmid: int, state: str) -> None:
        """The manager acts on it ten seconds later."""
        self.need("Sys.Console", "/")
        container = self.containers.get(vmid)
        if container is None or container.ha_state is None:
            raise TargetError(f"no such resource 'ct:{vmid}'")
        container.ha_state = state
        self.at(timedelta(seconds=10), lambda: self.reconcile(container))

    # Prober

    def measure(self, probe: Probe, guest: GuestRef, address: str | None) -> Measurement:
        """What the root that really runs answers; an ordered RoadError becomes an unanswerable measurement."""
        try:
            verdict, detail, facts = self._measure(probe, guest, address)
        except RoadError as error:
            verdict, detail, facts = Verdict.ERROR, str(error), {}
        return Measurement(probe.name or probe.kind, verdict, detail, self.clock.now(), timedelta(seconds=0.01), facts)

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
        if not root.reads_data and container.config.data_mounts:
            return Verdict.UNHEALTHY, "500 the world cannot be loaded", {}
        return Verdict.HEALTHY, "answers", self._facts(probe, container)

    def _facts(self, probe: Probe, container: Container) -> dict[str, str]:
        root = self.behaviour(container)
        if probe.kind == "agent" and root:
            return {"version": root.reported, "state": root.state}
        if probe.kind in ("minecraft", "source"):
            return {"players": str(container.players), "max_players": "20"}
        return {}

    def _switchable(self, guest: GuestRef, *, running: bool) -> Container:
        container = self.find(guest)
        self.need("VM.PowerMgmt", f"/vms/{guest.vmid}")
        if container.config.flag("template"):
            raise TargetError("you can't start a CT if it's a template")
        if container.running != running and not container.flocked:
            raise TargetError(f"CT {guest.vmid} {'not' if running else 'already'} running")
        return container

    def _audited(self, guest: GuestRef) -> Container:
        container = self.find(guest)
        self.need("VM.Audit", f"/vms/{guest.vmid}")
        return container

    # views

    def _summary(self, container: Container) -> GuestSummary:
        name = container.values.get("hostname") or container.values.get("name", "")
        live = Seen(self.now, container.running, name, container.config.flag("template"))
        if container.seen is None or self.now - container.seen.at >= _LIST_AGE:
            container.seen = live
        seen, tags = container.seen, container.config.tags
        lock = container.config.lock
        return GuestSummary(container.ref, seen.name, seen.running, seen.template, tags, lock, container.pool)

    def _uptime(self, container: Container) -> float:
        return (self.now - container.started_at).total_seconds() if container.started_at else 0
