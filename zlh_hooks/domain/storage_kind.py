"""What kinds of storage can do. A kind is Proxmox's storage type, e.g. ``dir`` or ``lvmthin``."""

RENAMING_KINDS = frozenset({"dir", "nfs", "cifs", "btrfs", "lvm", "lvmthin", "zfspool", "rbd"})
"""Kinds whose plugin offers the feature ``rename`` for a container's volume (current, not base).

Source: ``volume_has_feature`` in pve-storage 9.1.7, ``src/PVE/Storage/*Plugin.pm``. ``dir``, ``nfs`` and ``cifs``
inherit it from ``Plugin.pm``, there and on ``btrfs`` for raw images only: a ``subvol`` (a directory without quota) is
refused by ``move_volume`` itself. Observed on real code: ``dir`` with raw images and ``btrfs``.
"""


def may_rename(kind: str) -> bool:
    """Whether a volume there can be given to another guest without copying it. Unknown kinds cannot."""
    return kind in RENAMING_KINDS
