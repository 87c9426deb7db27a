"""What Proxmox's tasks do, part by part, and what speaks against one before it begins."""

from datetime import timedelta
from itertools import count

from zlh_hooks.application.ports import Clock, CloneOrder, Upid
from zlh_hooks.domain.errors import TargetError
from zlh_hooks.domain.guest import GuestConfig, Mount, parse_mount
from zlh_hooks.simulation.builder import Builder
from zlh_hooks.simulation.container import Container
from zlh_hooks.simulation.edit import check_digest
from zlh_hooks.simulation.physics import Body
from zlh_hooks.simulation.volume import StoredVolume, VolumeStore, render_size


class Work(Builder):
    """``durations`` are those of tasks whose length is not the guest's own."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        lengths = {"clone": 3, "move": 0.2, "destroy": 1, "stop": 0.5, "resize": 0.5}
        self.durations = {name: timedelta(seconds=length) for name, length in lengths.items()}
        self._macs = count(2)

    def cloning(self, template: Container, new: Container, store: VolumeStore, order: CloneOrder) -> Body:
        copies: list[StoredVolume] = []
        try:
            values = self._inherited(template, order)
            for mount in self.volumes(template.config):
                original = self.volume(template.node, mount.volume)
                if original is None:
                    raise TargetError(f"no such volume '{mount.volume}'")
                self.activate(template.node, store.name)
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

    def moving(self, giver: Container, key: str, taker: Container, target_key: str) -> Body:
        yield self.durations["move"]
        self.check_move(giver, key, taker, target_key)
        mount = parse_mount(key, giver.values[key])
        store, volume = self.activate(giver.node, mount.storage), self.volume(giver.node, mount.volume)
        if volume is None:
            raise TargetError(f"no such volume '{mount.volume}'")
        store.rename(volume, taker.vmid, self.now)
        del giver.values[key]
        kept = Mount(target_key, volume.volid) if target_key.startswith("unused") else mount.holding(volume.volid, None)
        taker.values[target_key] = kept.render()

    def resizing(self, container: Container, digest: str, key: str, size: int) -> Body:
        yield self.durations["resize"]
        check_digest(container, digest)
        volume = self.check_resize(container, key, size)
        self.activate(container.node, volume.volid.partition(":")[0]).grow(volume, size, self.now)
        mount = parse_mount(key, container.values[key])
        container.values[key] = mount.holding(volume.volid, render_size(size)).render()

    def destroying(self, container: Container) -> Body:
        container.values["lock"] = "destroyed"
        try:
            yield self.durations["destroy"]
            self.activate_all(container, self.volumes(container.config, unused=True))
        except TargetError:
            container.values.pop("lock")  # the config is only replaced by that lock once the volumes are gone
            raise
        named = self.volumes(container.config, unused=True)
        del self.containers[container.vmid]
        container.values, container.pending = {}, {}
        for mount in named:
            self.free_if_own(container, mount.volume)

    def starting(self, container: Container) -> Body:
        behaviour = self.behaviour(container)
        yield timedelta(seconds=behaviour.start_seconds if behaviour else 2)
        if container.running:
            raise TargetError(f"CT {container.vmid} already running")
        self.activate_all(container, self.volumes(container.config))
        self.boot(container)

    def stopping(self, container: Container, timeout: timedelta, *, then: Body | None = None) -> Body:
        behaviour = self.behaviour(container)
        length = timedelta(seconds=behaviour.shutdown_seconds) if behaviour else timedelta(0)
        deaf = length > timeout or (behaviour is not None and behaviour.refuses_shutdown)
        yield timeout if deaf else length
        if container.running:
            self.halt(container)
        if then is not None:
            yield from then

    def cutting(self, container: Container) -> Body:
        yield self.durations["stop"]
        if container.running:
            self.halt(container)

    def ask_ha(self, container: Container, state: str) -> Upid:
        def queue() -> Body:
            yield timedelta(seconds=1)
            container.ha_state = state
            self.at(timedelta(seconds=5), lambda: self.reconcile(container))

        return self.begin_task("hastart" if state == "started" else "hastop", (container,), queue())

    def check_clone(self, template: Container, order: CloneOrder) -> None:
        if order.new_vmid in self.containers:
            raise TargetError(f"unable to create CT {order.new_vmid} - CT {order.new_vmid} already exists")
        if template.running:
            raise TargetError("Full clone of a running container is only possible from a snapshot")
        bound = next((mount for mount in template.config.data_mounts if not mount.is_volume), None)
        if bound is not None:
            raise TargetError(f"unable to clone mountpoint '{bound.key}' (type bind)")

    def check_move(self, giver: Container, key: str, taker: Container, target_key: str) -> None:
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

    def check_resize(self, container: Container, key: str, size: int) -> StoredVolume:
        """As ``resize_vm`` of pve-container does it; a volume without a size is a subvolume."""
        if key.startswith("unused"):
            said = f"disk: value '{key}' does not have a value in the enumeration 'rootfs, mp0, mp1, ...'"
            raise TargetError(f"400 Parameter verification failed. {said}")
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

    def volumes(self, config: GuestConfig, *, unused: bool = False) -> list[Mount]:
        wanted = [mount for mount in config.mounts if mount.is_volume]
        return [mount for mount in wanted if unused or not mount.key.startswith("unused")]
