"""Storages and volumes: the store itself, which knows nothing of configs."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

from zlh_hooks.domain.errors import TargetError
from zlh_hooks.simulation.behaviour import Behaviour

MIB = 1024**2
GIB = 1024**3
_NEW_VOLUME = re.compile(r"[^/:\s]+:(\d+(?:\.\d+)?)\Z")
_IN_FOLDERS = frozenset({"dir", "nfs", "cifs", "btrfs", "cephfs"})
_DATED_WHEN_MADE = frozenset({"lvm", "lvmthin"})
_RENAMES = frozenset({"dir", "nfs", "cifs", "btrfs", "lvm", "lvmthin", "zfspool", "rbd"})


def parse_new_size(volume: str) -> int | None:
    """Bytes to allocate if the volume is ``STORAGE:GIB``, rounded down to MiB as Proxmox does; else None."""
    match = _NEW_VOLUME.match(volume)
    return int(float(match[1]) * 1024) * MIB if match else None


def render_size(size: int) -> str:
    """Bytes as Proxmox writes them: ``51M``, ``8G``."""
    return f"{size // GIB}G" if size % GIB == 0 else f"{size // MIB}M"


@dataclass(slots=True)
class StoredVolume:
    """One volume: who owns it by its name, how it behaves as a root, and what the customer has written on it."""

    volid: str
    owner: int
    number: int
    size: int
    created: datetime
    changed: datetime
    behaviour: Behaviour | None = None
    records: list[str] = field(default_factory=list)


@dataclass(slots=True)
class VolumeStore:
    """A storage as the nodes that reach it see it; ``free`` in bytes."""

    name: str
    kind: str
    free: int
    nodes: tuple[str, ...]
    active: bool = True
    holds_roots: bool = True
    volumes: dict[str, StoredVolume] = field(default_factory=dict)

    @property
    def renames(self) -> bool:
        """Whether a volume can be given to another guest."""
        return self.kind in _RENAMES

    def allocate(self, owner: int, size: int, created: datetime, *, base: bool = False) -> StoredVolume:
        """A new empty volume under the first free name of its owner."""
        if size > self.free:
            raise TargetError(f"unable to create image: storage '{self.name}': No space left on device")
        number = self._free_number(owner)
        volume = StoredVolume(self._volid(owner, number, base), owner, number, size, created, created)
        self.volumes[volume.volid] = volume
        self.free -= size
        return volume

    def copy(self, source: StoredVolume, owner: int, created: datetime) -> StoredVolume:
        """A full copy, content and all, for another owner."""
        volume = self.allocate(owner, source.size, created)
        volume.behaviour, volume.records = source.behaviour, list(source.records)
        return volume

    def stamp(self, volume: StoredVolume, in_use_at: datetime | None) -> datetime | None:
        """The date that the storage's content lists; a file in use is written to all the time."""
        if self.kind in _DATED_WHEN_MADE:
            return volume.created
        return (in_use_at or volume.changed) if self.kind in _IN_FOLDERS else None

    def grow(self, volume: StoredVolume, size: int, now: datetime) -> None:
        """Make the volume larger."""
        if size - volume.size > self.free:
            raise TargetError(f"unable to resize: storage '{self.name}': No space left on device")
        self.free -= size - volume.size
        volume.size, volume.changed = size, now

    def rename(self, volume: StoredVolume, owner: int, now: datetime) -> None:
        """Give the volume to another owner: first free name, numbers are recycled."""
        del self.volumes[volume.volid]
        number = self._free_number(owner)
        volume.volid, volume.owner, volume.number = self._volid(owner, number, False), owner, number
        volume.changed = now
        self.volumes[volume.volid] = volume

    def release(self, volid: str) -> None:
        """Free the volume; nothing happens if it is gone."""
        volume = self.volumes.pop(volid, None)
        self.free += volume.size if volume else 0

    def _free_number(self, owner: int) -> int:
        taken = {volume.number for volume in self.volumes.values() if volume.owner == owner}
        return next(number for number in count() if number not in taken)

    def _volid(self, owner: int, number: int, base: bool) -> str:
        ordinary, template = ("subvol", "basevol") if self.kind == "zfspool" else ("vm", "base")
        prefix = template if base else ordinary
        name = f"{prefix}-{owner}-disk-{number}"
        return f"{self.name}:{owner}/{name}.raw" if self.kind in _IN_FOLDERS else f"{self.name}:{name}"
