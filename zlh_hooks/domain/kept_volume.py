"""What tells a volume that is ours to free from a later one of the same name.

Proxmox gives a guest's lowest free name again: a volume that somebody removed by hand may have a successor that is the
customer's data. What a storage tells of a volume beside its name (pve-storage 9.1.7, ``list_images`` of each plugin):

- ``lvm``, ``lvmthin``: when it was made (``lv_time``), whatever is written to it or done with its name;
- ``dir``, ``nfs``, ``cifs`` and ``btrfs``, raw images: when its file was last written to or renamed (``st_ctime``).
  That stands still while no guest uses the volume, and only then is it compared;
- ``zfspool``, ``rbd``: its size only. A successor of the same size that was put into the same slot is not recognised.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from zlh_hooks.domain.guest import GuestConfig, Volume


@dataclass(frozen=True, slots=True)
class KeptVolume:
    """A volume as it was seen out of use. ``slot``: its key in the config; ``size``: bytes; ``stamp``: seconds UTC."""

    volid: str
    node: str
    slot: str
    size: int
    stamp: int | None

    def dump(self) -> dict[str, Any]:
        """JSON values for the ledger."""
        return asdict(self)


def note_volume(config: GuestConfig, stored: Sequence[Volume], volid: str) -> KeptVolume | None:
    """The volume as config and storage have it now; None if one of them has it no more."""
    slot = next((mount.key for mount in config.mounts if mount.volume == volid), None)
    volume = next((volume for volume in stored if volume.volid == volid), None)
    if slot is None or volume is None:
        return None
    stamp = None if volume.stamp is None else int(volume.stamp.timestamp())
    return KeptVolume(volid, config.ref.node, slot, volume.size, stamp)


def parse_kept(data: Mapping[str, Any] | None) -> KeptVolume | None:
    """The volume from the ledger's JSON values; None if nothing was noted, or the volume was not there."""
    return KeptVolume(**data) if data else None


def find_change(kept: KeptVolume | None, seen: KeptVolume | None) -> str | None:
    """Why what is seen need not be what was kept, as a sentence; None if it is the same volume."""
    if seen is None:
        return "it is not there any more"
    if kept is None:
        return "nothing but its name is known"
    if seen.slot != kept.slot:
        return f"it was in {kept.slot} and is in {seen.slot}"
    if seen.size != kept.size:
        return f"it had {kept.size >> 20} MiB and has {seen.size >> 20} MiB"
    if seen.stamp != kept.stamp and seen.node != kept.node:
        return f"it was on {kept.node}, and what is on {seen.node} was written anew"
    if seen.stamp != kept.stamp:
        return f"its storage dated it {_render(kept.stamp)} and dates it {_render(seen.stamp)}"
    return None


def _render(stamp: int | None) -> str:
    return "not at all" if stamp is None else datetime.fromtimestamp(stamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
