"""The side effects of a root exchange, each a durable step. Order and reasons: docs/decisions/0003-one-put-exchange.md.

Proxmox validates nothing of ``rootfs=``: each step reads the guest again and checks every volume id before it writes.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from zlh_hooks.application.ports import Cluster, Upid
from zlh_hooks.application.scratch import FILLER_GIB, FILLER_PATH, find_task, read_if_there
from zlh_hooks.application.step import Data, Found
from zlh_hooks.domain import tag
from zlh_hooks.domain.errors import GuestLocked, TargetError
from zlh_hooks.domain.guest import GuestConfig, GuestRef, Mount, parse_mount
from zlh_hooks.domain.kept_volume import KeptVolume, find_change, note_volume
from zlh_hooks.domain.progress import LEFT

OS_PATH = "/zlh-os"


def _mount_at(config: GuestConfig, path: str) -> Mount | None:
    return next((mount for mount in config.data_mounts if mount.path == path), None)


def _slot_of(config: GuestConfig, volume: str) -> str | None:
    return next((mount.key for mount in config.unused if mount.volume == volume), None)


def pending_root(cluster: Cluster, ref: GuestRef) -> str | None:
    """The volume that becomes the root at the next stop, or None."""
    value = cluster.inventory.read_pending(ref).get("rootfs")
    return parse_mount("rootfs", value).volume if value else None


def look_at(cluster: Cluster, ref: GuestRef, volid: str, config: GuestConfig | None = None) -> KeptVolume | None:
    """What the guest's volume is now, in ``config`` (else read anew) and on its storage; None if it is gone."""
    stored = cluster.storage.list_volumes(ref.node, volid.partition(":")[0], ref.vmid)
    return note_volume(config or cluster.inventory.read_config(ref), stored, volid)


def read_root_size(cluster: Cluster, ref: GuestRef) -> int:
    """Bytes; 0 where the storage knows no size (a subvolume without quota)."""
    root = cluster.inventory.read_config(ref).rootfs
    stored = cluster.storage.list_volumes(ref.node, root.storage, ref.vmid)
    return next((volume.size for volume in stored if volume.volid == root.volume), 0)


@dataclass(frozen=True, slots=True)
class GrowRoot:
    """Make a new root at least as large as the one it replaces: the template's is often smaller. ``size``: bytes."""

    name: str
    cluster: Cluster
    ref: GuestRef
    size: int

    def plan(self) -> Data:
        return {"size": self.size}

    def find(self, intent: Data) -> Found:
        size = read_root_size(self.cluster, self.ref)
        return {"size": size} if size >= intent["size"] or not size else None

    def adopt(self, intent: Data, since: datetime) -> Upid | None:
        return find_task(self.cluster, self.ref, ("resize",), since)

    def act(self, intent: Data) -> Upid:
        config = self.cluster.inventory.read_config(self.ref)
        return self.cluster.editor.resize(config, "rootfs", intent["size"])


@dataclass(frozen=True, slots=True)
class AddFiller:
    """Give the scratch guest a second small volume that can take the root's place."""

    name: str
    cluster: Cluster
    scratch: GuestRef
    storage: str

    def plan(self) -> Data:
        config = self.cluster.inventory.read_config(self.scratch)
        return {"key": config.free_key("mp"), "size_gib": FILLER_GIB}

    def find(self, intent: Data) -> Found:
        mount = _mount_at(self.cluster.inventory.read_config(self.scratch), FILLER_PATH)
        return {"key": mount.key, "volume": mount.volume} if mount else None

    def act(self, intent: Data) -> None:
        config = self.cluster.inventory.read_config(self.scratch)
        value = f"{self.storage}:{intent['size_gib']},mp={FILLER_PATH}"
        self.cluster.editor.write_config(self.scratch, {intent["key"]: value}, config.digest)


@dataclass(frozen=True, slots=True)
class DetachRoot:
    """Swap filler and root of the scratch guest: a root itself cannot be given away, a mount point can."""

    name: str
    cluster: Cluster
    scratch: GuestRef

    def plan(self) -> Data:
        config = self.cluster.inventory.read_config(self.scratch)
        filler = _mount_at(config, FILLER_PATH)
        if filler is None:
            raise TargetError(f"scratch guest {self.scratch} has lost its filler volume")
        sizes = (dict(config.rootfs.options).get("size"), dict(filler.options).get("size"))
        return {
            "key": filler.key,
            "root": config.rootfs.volume,
            "filler": filler.volume,
            "root_size": sizes[0],
            "filler_size": sizes[1],
        }

    def find(self, intent: Data) -> Found:
        config = self.cluster.inventory.read_config(self.scratch)
        mount = _mount_at(config, OS_PATH)
        swapped = mount is not None and mount.volume == intent["root"] and config.rootfs.volume == intent["filler"]
        return {"key": intent["key"], "root": intent["root"], "size": intent["root_size"]} if swapped else None

    def act(self, intent: Data) -> None:
        config = self.cluster.inventory.read_config(self.scratch)
        if config.rootfs.volume != intent["root"]:
            raise TargetError(f"scratch guest {self.scratch} has another root than recorded: left alone")
        root = Mount("rootfs", intent["filler"], _sized(intent["filler_size"]))
        os_mount = Mount(intent["key"], intent["root"], (("mp", OS_PATH), *_sized(intent["root_size"])))
        values = {"rootfs": root.render(), intent["key"]: os_mount.render()}
        self.cluster.editor.write_config(self.scratch, values, config.digest)


def _sized(size: str | None) -> tuple[tuple[str, str], ...]:
    return (("size", size),) if size else ()


def is_given(cluster: Cluster, scratch: GuestRef, key: str) -> bool:
    """Whether a scratch guest has given away what it had there, or is gone itself."""
    config = read_if_there(cluster, scratch)
    return config is None or key not in {mount.key for mount in config.mounts}


def find_in_slot(cluster: Cluster, guest: GuestRef, intent: Data) -> str | None:
    """The volume that has come into the slot which ``GiveRoot`` intended."""
    config = cluster.inventory.read_config(guest)
    came = (m.volume for m in config.unused if m.key == intent["slot"] and m.volume not in intent["had"])
    return next(came, None)


@dataclass(frozen=True, slots=True)
class GiveRoot:
    """Rename the scratch guest's OS volume to the target, as an unused volume of it; the target may run."""

    name: str
    cluster: Cluster
    scratch: GuestRef
    key: str
    guest: GuestRef

    def plan(self) -> Data:
        config = self.cluster.inventory.read_config(self.guest)
        return {
            "key": self.key,
            "slot": config.free_key("unused"),
            "had": sorted(mount.volume for mount in config.mounts),
        }

    def find(self, intent: Data) -> Found:
        """As long as the scratch guest has it, what lies in the guest's slot is somebody else's."""
        if is_given(self.cluster, self.scratch, intent["key"]):
            volume = find_in_slot(self.cluster, self.guest, intent)
            return {"volume": volume, "slot": intent["slot"]} if volume else None
        return None

    def adopt(self, intent: Data, since: datetime) -> Upid | None:
        return find_task(self.cluster, self.scratch, ("move_volume",), since)

    def act(self, intent: Data) -> Upid:
        source = self.cluster.inventory.read_config(self.scratch)
        target = self.cluster.inventory.read_config(self.guest)
        return self.cluster.editor.move_volume(source, intent["key"], target, intent["slot"])


@dataclass(frozen=True, slots=True)
class WriteTags:
    """Set some of our tags on a guest and drop others; all foreign tags stay."""

    name: str
    cluster: Cluster
    ref: GuestRef
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()

    def plan(self) -> Data:
        return {"add": list(self.add), "drop": list(self.drop)}

    def _wanted(self, config: GuestConfig) -> set[str]:
        return (set(config.tags) - set(self.drop)) | set(self.add)

    def find(self, intent: Data) -> Found:
        config = self.cluster.inventory.read_config(self.ref)
        return {} if self._wanted(config) == set(config.tags) else None

    def act(self, intent: Data) -> None:
        config = self.cluster.inventory.read_config(self.ref)
        self.cluster.editor.write_config(self.ref, {"tags": tag.render_tags(self._wanted(config))}, config.digest)


@dataclass(frozen=True, slots=True)
class PutRoot:
    """The exchange: one atomic write of ``rootfs`` and ``unusedN``. Going back is the same with the volumes exchanged.

    A running guest keeps ``old`` until its next stop; a stopped one changes at once. ``kept``: what ``new`` was when it
    was put aside, if that was noted. ``sign``: the tag by which the guest says from this write on that it is in work.
    """

    name: str
    cluster: Cluster
    guest: GuestRef
    old: str
    new: str
    new_size: str | None
    kept: KeptVolume | None = None
    sign: str | None = None

    def plan(self) -> Data:
        return {"old": self.old, "new": self.new, "size": self.new_size}

    def find(self, intent: Data) -> Found:
        coming = pending_root(self.cluster, self.guest)  # read first: a stop in between brings it into force
        root = self.cluster.inventory.read_config(self.guest).rootfs.volume
        if root == self.new and coming in (None, self.new):
            return {"pending": False}
        return {"pending": True} if coming == self.new else None

    def act(self, intent: Data) -> None:
        config = self.cluster.inventory.read_config(self.guest)
        if config.rootfs.volume == self.new:  # only a pending write of the old root stands in the way
            keys = ("rootfs", _slot_of(config, self.old) or "rootfs")
            self.cluster.editor.write_config(self.guest, {}, config.digest, revert=keys)
            return
        slot = self._find_slot(config)
        values = {"rootfs": config.rootfs.holding(self.new, self.new_size).render(), slot: self.old}
        if self.sign is not None:
            others = (one for one in config.tags if not one.startswith(tag.BUSY))
            values["tags"] = tag.render_tags([*others, self.sign])
        self.cluster.editor.write_config(self.guest, values, config.digest)

    def _find_slot(self, config: GuestConfig) -> str:
        """The slot that holds the new root, after every volume was checked."""
        slot = _slot_of(config, self.new)
        if config.rootfs.volume != self.old:
            raise TargetError(f"the root of {self.guest} is {config.rootfs.volume}, not {self.old} as recorded")
        if slot is None:
            raise TargetError(f"{self.new} is no unused volume of {self.guest} any more")
        stored = self.cluster.storage.list_volumes(self.guest.node, self.new.partition(":")[0], self.guest.vmid)
        if self.new not in {volume.volid for volume in stored}:
            raise TargetError(f"{self.new} is not on the storage or not {self.guest.vmid}'s")
        if change := self._find_change(note_volume(config, stored, self.new)):
            raise TargetError(f"{self.new} is not what was put aside: {change}")
        return slot

    def _find_change(self, seen: KeptVolume | None) -> str | None:
        """A copy that moved with its guest to another node is as good a root as the original."""
        if self.kept is None or self.kept.node != self.guest.node:
            return None
        return find_change(self.kept, seen)


@dataclass(frozen=True, slots=True)
class Restart:
    """One reboot task, after which ``root`` is in force. Somebody else's restart in between does as well."""

    name: str
    cluster: Cluster
    guest: GuestRef
    root: str
    timeout: timedelta

    def plan(self) -> Data:
        return {"root": self.root, "uptime": self.cluster.inventory.read_power(self.guest).uptime_seconds}

    def find(self, intent: Data) -> Found:
        config = self.cluster.inventory.read_config(self.guest)
        if config.rootfs.volume != self.root or pending_root(self.cluster, self.guest):
            return None
        power = self.cluster.inventory.read_power(self.guest)
        return {"uptime": power.uptime_seconds} if power.running else None

    def adopt(self, intent: Data, since: datetime) -> Upid | None:
        return find_task(self.cluster, self.guest, ("vzreboot",), since)

    def act(self, intent: Data) -> Upid:
        """Proxmox reboots a locked guest too, in the middle of its backup: the lock is waited for here."""
        lock = self.cluster.inventory.read_config(self.guest).lock
        if lock:
            raise GuestLocked(f"guest {self.guest} is locked ({lock})", lock)
        return self.cluster.power.reboot(self.guest, self.timeout)


@dataclass(frozen=True, slots=True)
class Stop:
    """Shut down; when the time-out has passed, stop hard. Only for ways back and for scratch guests."""

    name: str
    cluster: Cluster
    guest: GuestRef
    timeout: timedelta

    def plan(self) -> Data:
        return {"timeout_seconds": self.timeout.total_seconds()}

    def find(self, intent: Data) -> Found:
        return None if self.cluster.inventory.read_power(self.guest).running else {}

    def adopt(self, intent: Data, since: datetime) -> Upid | None:
        return find_task(self.cluster, self.guest, ("vzshutdown", "vzstop"), since)

    def act(self, intent: Data) -> Upid:
        return self.cluster.power.shutdown(self.guest, self.timeout)


@dataclass(frozen=True, slots=True)
class Start:
    """Start a stopped guest. That the task ends well proves nothing: probes do."""

    name: str
    cluster: Cluster
    guest: GuestRef

    def plan(self) -> Data:
        return {}

    def find(self, intent: Data) -> Found:
        return {} if self.cluster.inventory.read_power(self.guest).running else None

    def adopt(self, intent: Data, since: datetime) -> Upid | None:
        return find_task(self.cluster, self.guest, ("vzstart",), since)

    def act(self, intent: Data) -> Upid:
        return self.cluster.power.start(self.guest)


@dataclass(frozen=True, slots=True)
class FreeVolume:
    """Give an unused volume of the guest back to its storage, if it is neither its root nor about to become it.

    A volume of that name that is not what was ``kept`` is left alone for good: it may be the customer's.
    """

    name: str
    cluster: Cluster
    guest: GuestRef
    volume: str
    kept: KeptVolume | None

    def plan(self) -> Data:
        return {"volume": self.volume}

    def find(self, intent: Data) -> Found:
        config = self.cluster.inventory.read_config(self.guest)
        if self.volume in {mount.volume for mount in config.mounts}:
            left = self._find_stranger(config)
            return {LEFT: left} if left else None
        stored = self.cluster.storage.list_volumes(self.guest.node, self.volume.partition(":")[0], self.guest.vmid)
        return {"kept_by_snapshot": self.volume in {volume.volid for volume in stored}}

    def act(self, intent: Data) -> None:
        config = self.cluster.inventory.read_config(self.guest)
        slot = _slot_of(config, self.volume)
        if slot is None or pending_root(self.cluster, self.guest) == self.volume:
            raise TargetError(f"{self.volume} is in use by {self.guest}: left alone")
        if left := self._find_stranger(config):
            raise TargetError(left)
        self.cluster.editor.write_config(self.guest, {}, config.digest, delete=(slot,))

    def _find_stranger(self, config: GuestConfig) -> str | None:
        """Why it is left alone; the config's digest guards the deletion that may follow. A root is for ``act``."""
        if config.rootfs.volume == self.volume:
            return None
        change = find_change(self.kept, look_at(self.cluster, self.guest, self.volume, config))
        return f"{self.volume} was left alone, free it by hand if it is nobody's: {change}" if change else None
