"""Taking back a root that waits for its guest's next restart, so that whoever restarts it in that moment wins."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from zlh_hooks.application.ports import Cluster, GuestEditor, Inventory
from zlh_hooks.application.step import Data, Found
from zlh_hooks.domain.guest import GuestRef, parse_mount


class PendingState(StrEnum):
    """How a guest stands after its pending exchange was to be taken back."""

    TAKEN_BACK = "taken back"
    NONE_WAITS = "none waits"
    RUNS_IT = "it is the root already"


def take_back(inventory: Inventory, editor: GuestEditor, ref: GuestRef, volume: str) -> PendingState:
    """Let the volume become no root at the next restart; a pending root of any other name is somebody else's.

    The digest is read before the pending changes: a restart between our read and write makes the write fail.
    """
    config = inventory.read_config(ref)
    pending = inventory.read_pending(ref)
    if config.rootfs.volume == volume:
        return PendingState.RUNS_IT
    keys = _list_ours(pending, config.rootfs.volume, volume)
    if not keys:
        return PendingState.NONE_WAITS
    editor.write_config(ref, {}, config.digest, revert=keys)
    return PendingState.TAKEN_BACK


def is_torn(inventory: Inventory, ref: GuestRef, volume: str) -> bool:
    """Whether somebody has taken back one half of a pending exchange: a root would be lost, or named twice."""
    pending = inventory.read_pending(ref)  # read first: a stop in between brings both into force
    config = inventory.read_config(ref)
    root = config.rootfs.volume
    is_kept = any(_partners(pending, root)) or root in {mount.volume for mount in config.unused}
    return root != volume and is_kept is not (_volume_of(pending, "rootfs") == volume)


def leave_out_ours(pending: Mapping[str, str | None], root: str, volume: str) -> Mapping[str, str | None]:
    """What somebody else has made pending on a guest with that root, beside the exchange that brings the volume."""
    ours = _list_ours(pending, root, volume) if volume else ()
    return {key: value for key, value in pending.items() if key not in ours}


def _list_ours(pending: Mapping[str, str | None], root: str, volume: str) -> tuple[str, ...]:
    """The keys of an exchange that brings the volume; of one whose root somebody took back already, its other half."""
    coming, partners = _volume_of(pending, "rootfs"), tuple(_partners(pending, root))
    if coming == volume:
        return ("rootfs", *partners)
    return partners if coming in ("", root) else ()


def _partners(pending: Mapping[str, str | None], root: str) -> Iterable[str]:
    """The keys that would take in the root of today; both halves of an exchange go back in one write."""
    return (key for key in sorted(pending) if key.startswith("unused") and _volume_of(pending, key) == root)


def _volume_of(pending: Mapping[str, str | None], key: str) -> str:
    return parse_mount(key, pending.get(key) or "").volume


@dataclass(frozen=True, slots=True)
class WithdrawRoot:
    """Take an exchange back that waits for a restart; one that comes in that moment wins. ``reason``: for people;
    ``leaves``: the guest is left then.
    """

    name: str
    cluster: Cluster
    guest: GuestRef
    new: str
    reason: str
    leaves: bool

    def plan(self) -> Data:
        return {"volume": self.new, "reason": self.reason, "leaves": self.leaves}

    def find(self, intent: Data) -> Found:
        pending = self.cluster.inventory.read_pending(self.guest)  # read first: a stop in between brings it into force
        root = self.cluster.inventory.read_config(self.guest).rootfs.volume
        return None if _list_ours(pending, root, self.new) else {"brought": root == self.new}

    def act(self, intent: Data) -> None:
        take_back(self.cluster.inventory, self.cluster.editor, self.guest, self.new)
