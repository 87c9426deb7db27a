"""Roots that lie beside a guest's own: noted when they are put there, looked at again before they are used or freed.

Between staging and exchange, and from the exchange to the end of the soak, lie days in which people remove volumes,
enlarge roots and bring back backups. A name alone proves nothing then: see ``domain.kept_volume``.
"""

from zlh_hooks.application import root_step
from zlh_hooks.application.journal import Journal
from zlh_hooks.application.ports import Cluster
from zlh_hooks.domain.errors import GuestMissing, HeldUp, TargetError
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.kept_volume import KeptVolume, find_change, parse_kept
from zlh_hooks.domain.progress import GROW

STAGED, OLD, NEW = "staged.kept", "old_root.kept", "new_root.kept"
"""Evidence: the new root as it was staged; the old one after its exchange; the new one after its way back."""


def note(cluster: Cluster, ref: GuestRef, journal: Journal, name: str, volid: str) -> KeptVolume | None:
    """What the volume is, read once, when it has just been put aside; None if it was not there then."""

    def read() -> dict[str, object]:
        seen = root_step.look_at(cluster, ref, volid)
        return {} if seen is None else seen.dump()

    return parse_kept(journal.once(name, read))


def find_known(journal: Journal, name: str) -> KeptVolume | None:
    """What was noted."""
    return parse_kept(journal.evidence(name))


def find_staging_flaw(cluster: Cluster, ref: GuestRef, journal: Journal, root: str, staged: str) -> str | None:
    """Why ``staged`` is not to be brought to the guest, whose root was ``root`` when it was staged; or None."""
    present = cluster.inventory.read_config(ref).rootfs.volume
    if present != root:
        return f"its root is {present}, and was {root} when its new one was staged"
    change = find_change(find_known(journal, STAGED), root_step.look_at(cluster, ref, staged))
    return f"its new root {staged} is not what was staged: {change}" if change else None


def keep_room(cluster: Cluster, ref: GuestRef, journal: Journal) -> None:
    """Enlarge the new root to the old one's size, if somebody enlarged that after staging.

    Proxmox resizes a root or a mount point only, not an unused volume (``resize_vm`` in pve-container 6.1): it is done
    when the new root is in force, running or not. What fails of it fails in the storage, whatever the version is:
    a file system that does not grow is only a warning there.
    """
    old = find_known(journal, OLD)
    if old is None:
        return
    try:
        journal.retry(root_step.GrowRoot(GROW, cluster, ref, old.size))
    except (HeldUp, GuestMissing):
        raise
    except TargetError as error:
        raise TargetError(f"its root was enlarged after staging, and its new one cannot be: {error}") from error


def free(cluster: Cluster, ref: GuestRef, journal: Journal, name: str, volid: str, kept: KeptVolume | None) -> None:
    """Free the volume if it is what was ``kept``. What is not stays, and the step's outcome says why."""
    journal.clear(root_step.FreeVolume(name, cluster, ref, volid, kept))
