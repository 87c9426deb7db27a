"""What Proxmox says of a guest, as values: where it is, its config, its volumes, its power.

Shapes follow pve-container's ``PVE::LXC::Config``: a mount value is ``VOLUME[,option=value...]``, a volume id is
``STORAGE:NAME`` and an absolute path is a bind or device mount.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from zlh_hooks.domain.tag import is_ours, parse_tags

MOUNT_KEY = re.compile(r"(?:rootfs|mp\d+|unused\d+)\Z")
_VOLATILE_KEYS = frozenset({"digest", "lock", "rootfs", "tags"})


@dataclass(frozen=True, slots=True, order=True)
class GuestRef:
    """One guest, a container unless it says otherwise, and the node it was last seen on."""

    vmid: int
    node: str
    is_container: bool = True

    def __str__(self) -> str:
        return f"{self.vmid} on {self.node}"


def render_ha_resource(guest: GuestRef) -> str:
    """The guest's name as an HA resource."""
    return f"{'ct' if guest.is_container else 'vm'}:{guest.vmid}"


@dataclass(frozen=True, slots=True)
class GuestSummary:
    """One row of the cluster's list of guests; seconds stale: plan from it, read the guest again before acting."""

    ref: GuestRef
    name: str
    running: bool
    template: bool
    tags: tuple[str, ...] = ()
    lock: str | None = None
    pool: str | None = None

    @property
    def vmid(self) -> int:
        """The guest's number, unique in the cluster."""
        return self.ref.vmid

    @property
    def is_container(self) -> bool:
        """False for a virtual machine."""
        return self.ref.is_container


@dataclass(frozen=True, slots=True)
class Mount:
    """A ``rootfs``, ``mpN`` or ``unusedN`` entry: its volume id (or bind path) and options in stored order."""

    key: str
    volume: str
    options: tuple[tuple[str, str], ...] = ()

    @property
    def path(self) -> str:
        """Where the guest sees it; ``/`` for the root, empty for an unused volume."""
        return "/" if self.key == "rootfs" else dict(self.options).get("mp", "")

    @property
    def is_volume(self) -> bool:
        """False for bind and device mounts, which belong to the node and not to the guest."""
        return not self.volume.startswith("/")

    @property
    def storage(self) -> str:
        """The storage id of a volume; empty for bind and device mounts."""
        return self.volume.partition(":")[0] if self.is_volume else ""

    def render(self) -> str:
        """The value as Proxmox takes it."""
        return ",".join([self.volume, *(f"{name}={value}" for name, value in self.options)])

    def holding(self, volume: str, size: str | None) -> "Mount":
        """The same entry with another volume; every option is kept but ``size``, which describes the volume."""
        options = tuple((name, value) for name, value in self.options if name != "size")
        return Mount(self.key, volume, options if size is None else (*options, ("size", size)))


@lru_cache(maxsize=4096)  # a config is looked at many times for each time that it is read
def parse_mount(key: str, text: str) -> Mount:
    """``local:5001/vm-5001-disk-0.raw,size=1G`` as a Mount; ``volume=`` before the id is accepted as Proxmox does."""
    parts = text.split(",")
    volume = next((part.removeprefix("volume=") for part in parts if "=" not in part or part.startswith("volume=")), "")
    pairs = (part.partition("=") for part in parts if "=" in part and not part.startswith("volume="))
    return Mount(key, volume, tuple((name, value) for name, _, value in pairs))


@dataclass(frozen=True, slots=True)
class GuestConfig:
    """A guest's config as Proxmox returned it, every value as text. ``digest`` guards the next write."""

    ref: GuestRef
    digest: str
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def mounts(self) -> tuple[Mount, ...]:
        """Root, mount points and unused volumes, sorted by key."""
        return tuple(parse_mount(key, self.values[key]) for key in sorted(self.values) if MOUNT_KEY.match(key))

    @property
    def rootfs(self) -> Mount:
        """The root; an empty Mount if the config has none."""
        return parse_mount("rootfs", self.values.get("rootfs", ""))

    @property
    def data_mounts(self) -> tuple[Mount, ...]:
        """The ``mpN`` entries."""
        return tuple(mount for mount in self.mounts if mount.key.startswith("mp"))

    @property
    def unused(self) -> tuple[Mount, ...]:
        """The ``unusedN`` entries: volumes that belong to the guest and are not in use."""
        return tuple(mount for mount in self.mounts if mount.key.startswith("unused"))

    @property
    def tags(self) -> tuple[str, ...]:
        """Tags in stored order."""
        return parse_tags(self.values.get("tags", ""))

    @property
    def lock(self) -> str | None:
        """The config lock, e.g. ``backup``, or None."""
        return self.values.get("lock") or None

    def flag(self, key: str) -> bool:
        """A boolean option such as ``template``, ``protection``, ``onboot``, ``unprivileged``; absent is False."""
        return self.values.get(key, "0") in ("1", "yes", "on", "true")

    def free_key(self, prefix: str) -> str:
        """The first free ``mpN`` or ``unusedN``; Proxmox allows 256 of each."""
        return next(key for key in (f"{prefix}{number}" for number in range(256)) if key not in self.values)

    def fingerprint(self) -> str:
        """SHA-256 over all that an exchange must leave alone: not the root volume, unused volumes or our tags."""
        kept = {k: v for k, v in self.values.items() if k not in _VOLATILE_KEYS and not k.startswith("unused")}
        kept["rootfs"] = self.rootfs.holding("", None).render()
        kept["tags"] = ";".join(tag for tag in self.tags if not is_ours(tag))
        return hashlib.sha256("\n".join(f"{k}: {kept[k]}" for k in sorted(kept)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Power:
    """Live power state (not the stale list). ``uptime_seconds`` is 0 when stopped."""

    running: bool
    uptime_seconds: int
    ha_managed: bool = False
    ha_state: str | None = None


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume as the storage itself lists it. ``size`` in bytes.

    ``stamp``: aware UTC, where the storage tells any: of LVM when it was made, of files when they were last changed.
    """

    volid: str
    owner: int | None
    size: int
    stamp: datetime | None = None


def render_size(size: int) -> str:
    """Bytes as Proxmox writes them in a config (``format_size`` of PVE::JSONSchema), e.g. ``8G``."""
    for unit in ("", "K", "M", "G"):
        if size % 1024:
            return f"{size}{unit}"
        size //= 1024
    return f"{size}T"


@dataclass(frozen=True, slots=True)
class StorageSpace:
    """A storage as one node sees it; ``free`` in bytes. ``kind`` is Proxmox's type: dir, lvmthin, zfspool, btrfs..."""

    name: str
    kind: str
    free: int
    active: bool
    holds_roots: bool


def render_guests(count: int) -> str:
    """``1 guest``, ``3 guests``."""
    return f"{count} guest{'' if count == 1 else 's'}"
