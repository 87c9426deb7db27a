"""What the stand-in for Proxmox owns but does not know how to do: volumes on a storage, and running guests.

The default is memory; the lab plugs in real volumes and real containers. Every method may block (the stand-in calls it
in a thread, several at once for different guests) and may raise any exception: it becomes the task's error.
"""

import errno
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredVolume:
    """A volume as its storage lists it. ``size`` in bytes, ``changed`` in seconds since 1970: of a file its ``st_ctime``."""

    volid: str
    owner: int
    size: int
    changed: int


class VolumeStore(Protocol):
    """Volumes of all storages of the cluster; a volid is ``STORAGE:NAME`` and says its owner's VMID in its name.

    A new name takes the first free number of its owner, so numbers are recycled and a volid is no identity over time.
    No room is ``OSError(ENOSPC)``, an unknown volid ``FileNotFoundError``.
    """

    def allocate(self, storage: str, owner: int, size: int) -> str:
        """Make an empty volume of ``size`` bytes with a file system on it; returns its volid."""

    def copy(self, volid: str, storage: str, owner: int) -> str:
        """Copy a volume, whole; the copy is no base volume even if ``volid`` is one. Returns the new volid."""

    def grow(self, volid: str, size: int) -> None:
        """Make the volume, and the file system on it, ``size`` bytes large; it is smaller now."""

    def rename(self, volid: str, owner: int) -> str:
        """Give the volume to another guest, on the same storage; returns the new volid."""

    def make_base(self, volid: str) -> str:
        """Turn it into a template's volume (``base-...``), never written again; returns the new volid."""

    def free(self, volid: str) -> None:
        """Destroy the volume and what is in it."""

    def list(self, storage: str) -> Sequence[StoredVolume]:
        """The volumes that are really there, sorted by volid."""


@dataclass(frozen=True, slots=True)
class GuestSpec:
    """What a start is given: the config in force, values as text, e.g. ``rootfs`` = ``local:5001/vm-5001-disk-0.raw``."""

    vmid: int
    node: str
    config: Mapping[str, str] = field(default_factory=dict)


StopListener = Callable[[int, bool], GuestSpec | None]
"""Called with the VMID and whether it reboots when a guest stopped *by itself* (power-off, reboot, crash from inside),
after it has stopped and before it may start again. Answers the spec to start it with, or None to leave it stopped."""


class Runtime(Protocol):
    """Running guests, by VMID."""

    def listen(self, listener: StopListener) -> None:
        """Name the one who is told of guests that stop by themselves; called once, before any start."""

    def start(self, guest: GuestSpec) -> None:
        """Start it; returns when its init runs (not: when its services answer). An exception means it did not start."""

    def shutdown(self, vmid: int, timeout: float) -> bool:
        """Ask the guest to power off; True if it has stopped within ``timeout`` seconds."""

    def stop(self, vmid: int) -> None:
        """Stop it hard; returns when it has stopped. Nothing happens if it is stopped."""

    def is_running(self, vmid: int) -> bool:
        """Whether it runs now."""

    def uptime(self, vmid: int) -> int:
        """Whole seconds since its init started; 0 when stopped."""

    def address(self, vmid: int) -> str | None:
        """An IPv4 address the guest itself reports, or None if it has none (yet)."""


def volume_name(kind: str, owner: int, number: int, base: bool = False) -> str:
    """A volume's name as the storage plugins of pve-storage build it (``PVE::Storage::*Plugin``)."""
    prefix = "base" if base else "vm"
    if kind == "zfspool":
        return f"{'basevol' if base else 'subvol'}-{owner}-disk-{number}"
    if kind in ("dir", "nfs", "cifs", "btrfs"):
        return f"{owner}/{prefix}-{owner}-disk-{number}.raw"
    return f"{prefix}-{owner}-disk-{number}"


class MemoryVolumes:
    """Volumes as entries of a dict. ``kinds``: storage to its type; ``capacity``: storage to bytes in all."""

    def __init__(self, kinds: Mapping[str, str], capacity: Mapping[str, int] | None = None) -> None:
        self.kinds = dict(kinds)
        self.capacity = dict(capacity or {})
        self._volumes: dict[str, dict[str, StoredVolume]] = {storage: {} for storage in kinds}
        self._lock = threading.RLock()

    def allocate(self, storage: str, owner: int, size: int) -> str:
        with self._lock:
            room = self.capacity.get(storage)
            if room is not None and self.used(storage) + size > room:
                raise OSError(errno.ENOSPC, "No space left on device", storage)
            return self._put(storage, StoredVolume("", owner, size, int(time.time())))

    def copy(self, volid: str, storage: str, owner: int) -> str:
        return self.allocate(storage, owner, self.find(volid).size)

    def grow(self, volid: str, size: int) -> None:
        with self._lock:
            volume, storage = self.find(volid), volid.partition(":")[0]
            room = self.capacity.get(storage)
            if room is not None and self.used(storage) + size - volume.size > room:
                raise OSError(errno.ENOSPC, "No space left on device", storage)
            self._volumes[storage][volid] = replace(volume, size=size, changed=int(time.time()))

    def rename(self, volid: str, owner: int) -> str:
        with self._lock:
            volume = self._take(volid)
            return self._put(volid.partition(":")[0], replace(volume, owner=owner, changed=int(time.time())))

    def make_base(self, volid: str) -> str:
        with self._lock:
            volume = self._take(volid)
            return self._put(volid.partition(":")[0], volume, base=True)

    def free(self, volid: str) -> None:
        with self._lock:
            self._take(volid)

    def list(self, storage: str) -> Sequence[StoredVolume]:
        with self._lock:
            return tuple(self._volumes[storage][volid] for volid in sorted(self._volumes[storage]))

    def find(self, volid: str) -> StoredVolume:
        """The volume, or FileNotFoundError."""
        try:
            return self._volumes[volid.partition(":")[0]][volid]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "no such volume", volid) from None

    def used(self, storage: str) -> int:
        """Bytes allocated there."""
        return sum(volume.size for volume in self._volumes[storage].values())

    def _put(self, storage: str, volume: StoredVolume, base: bool = False) -> str:
        kind, volumes = self.kinds[storage], self._volumes[storage]
        for number in count():
            volid = f"{storage}:{volume_name(kind, volume.owner, number, base)}"
            if volid not in volumes and f"{storage}:{volume_name(kind, volume.owner, number, not base)}" not in volumes:
                volumes[volid] = replace(volume, volid=volid)
                return volid
        raise AssertionError("count() ends")

    def _take(self, volid: str) -> StoredVolume:
        volume = self.find(volid)
        del self._volumes[volid.partition(":")[0]][volid]
        return volume


class MemoryRuntime:
    """Guests that only remember that they run. Tests set ``shutdown_seconds`` and ``start_errors`` per VMID."""

    def __init__(self) -> None:
        self.shutdown_seconds: dict[int, float] = {}
        self.start_errors: dict[int, str] = {}
        self.addresses: dict[int, str] = {}
        self.running: dict[int, GuestSpec] = {}
        self._since: dict[int, float] = {}
        self._listener: StopListener = lambda _vmid, _reboot: None

    def listen(self, listener: StopListener) -> None:
        self._listener = listener

    def start(self, guest: GuestSpec) -> None:
        if guest.vmid in self.start_errors:
            raise RuntimeError(self.start_errors[guest.vmid])
        self.running[guest.vmid] = guest
        self._since[guest.vmid] = time.monotonic()

    def shutdown(self, vmid: int, timeout: float) -> bool:
        needed = self.shutdown_seconds.get(vmid, 0)
        if needed > timeout:
            return False
        self.stop(vmid)
        return True

    def stop(self, vmid: int) -> None:
        self.running.pop(vmid, None)
        self._since.pop(vmid, None)

    def is_running(self, vmid: int) -> bool:
        return vmid in self.running

    def uptime(self, vmid: int) -> int:
        return int(time.monotonic() - self._since[vmid]) if vmid in self._since else 0

    def address(self, vmid: int) -> str | None:
        return self.addresses.get(vmid)

    def leave_inside(self, vmid: int, reboot: bool) -> None:
        """The customer powers the guest off (or reboots it) from inside."""
        self.stop(vmid)
        after = self._listener(vmid, reboot)
        if after is not None:
            self.start(after)
