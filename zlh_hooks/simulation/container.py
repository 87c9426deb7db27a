"""A container's config file and its life, without the rules that change them."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from zlh_hooks.domain.errors import GuestLocked, TargetError
from zlh_hooks.domain.guest import MOUNT_KEY, GuestConfig, GuestRef, parse_mount


def volumes_in(values: Mapping[str, str | None], *, unused: bool = True) -> frozenset[str]:
    """The volume ids that these config values name, as ``unusedN`` too or as root and mount points only."""
    mounts = (parse_mount(key, value) for key, value in values.items() if value and MOUNT_KEY.match(key))
    wanted = (mount for mount in mounts if unused or not mount.key.startswith("unused"))
    return frozenset(mount.volume for mount in wanted if mount.is_volume)


@dataclass(slots=True)
class Seen:
    """What the cluster's list says of a guest until it looks again."""

    at: datetime
    running: bool
    name: str
    template: bool


@dataclass(slots=True)
class Container:
    """A guest. ``values`` is the config in force, ``pending`` what waits for the next stop (None deletes).

    ``running_root`` is the root that was mounted at the start, whatever the config says since; ``flocked`` means that
    a power task holds the config file; ``wanted`` is the power state that customer or operator left it in.
    """

    vmid: int
    node: str
    values: dict[str, str]
    pending: dict[str, str | None] = field(default_factory=dict)
    snapshots: dict[str, dict[str, str]] = field(default_factory=dict)
    pool: str | None = None
    ha_state: str | None = None
    started_at: datetime | None = None
    running_root: str | None = None
    flocked: bool = False
    wanted: bool = False
    players: int = 0
    is_container: bool = True
    seen: Seen | None = None

    @property
    def ref(self) -> GuestRef:
        """Where it is now."""
        return GuestRef(self.vmid, self.node, self.is_container)

    @property
    def running(self) -> bool:
        """Whether it is on."""
        return self.started_at is not None

    @property
    def config(self) -> GuestConfig:
        """The config in force, with the digest of the whole file."""
        return GuestConfig(self.ref, self.digest, dict(self.values))

    @property
    def digest(self) -> str:
        """SHA-1 of the file's content, pending changes and snapshots included: the same content, the same digest."""
        sections: list[tuple[str, Mapping[str, str | None]]] = [("", self.values), ("[pve:pending]", self.pending)]
        sections += sorted(self.snapshots.items())
        lines = [line for name, values in sections for line in (name, *(f"{k}: {values[k]}" for k in sorted(values)))]
        return hashlib.sha1("\n".join(lines).encode(), usedforsecurity=False).hexdigest()

    @property
    def address(self) -> str:
        """Where it answers when it runs: the fixed address of ``net0``, or the one that it always gets."""
        fixed = re.search(r"(?:^|,)ip=([0-9.]+)", self.values.get("net0", ""))
        if fixed:
            return fixed[1]
        return f"10.{self.vmid >> 16 & 255}.{self.vmid >> 8 & 255}.{self.vmid & 255}"

    def names(self, volid: str) -> bool:
        """Whether the config, its pending part or a snapshot names the volume anywhere."""
        return volid in volumes_in(self.values) | volumes_in(self.pending) or self.snapshot_uses(volid)

    def uses(self, volid: str) -> bool:
        """Whether it is a root or mount point there; ``unusedN`` is no use (``is_volume_in_use``)."""
        used = volumes_in(self.values, unused=False) | volumes_in(self.pending, unused=False)
        return volid in used or self.snapshot_uses(volid)

    def snapshot_uses(self, volid: str) -> bool:
        """Whether a snapshot names the volume."""
        return any(volid in volumes_in(values) for values in self.snapshots.values())

    def refuse_if_locked(self) -> None:
        """``CT is locked (…)`` as Proxmox says it."""
        if lock := self.values.get("lock"):
            raise GuestLocked(f"CT is locked ({lock})", lock)

    def refuse_if_protected(self, what: str) -> None:
        """``… - protection mode enabled`` as Proxmox says it."""
        if self.values.get("protection") == "1":
            raise TargetError(f"{what} - protection mode enabled")
