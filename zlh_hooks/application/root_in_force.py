"""Whether the root that a guest runs on is one of the two of its exchange, or somebody has brought another one.

Whoever brings a backup back, or edits ``rootfs`` by hand, has decided what the guest runs on. Nothing of that speaks
against the version that was brought before.
"""

from zlh_hooks.application.ports import Cluster
from zlh_hooks.application.verdict import Replaced
from zlh_hooks.domain import tag
from zlh_hooks.domain.guest import GuestConfig, GuestRef


def assure_new(cluster: Cluster, ref: GuestRef, rollout: str, old: str, new: str) -> None:
    """``Replaced`` if the guest is not on the root that its exchange brought. Roots are volume ids."""
    root = _read_ours(cluster, ref, rollout, old, new)
    if root == old:
        raise Replaced(f"its root is {old} again: somebody put that back")


def assure_known(cluster: Cluster, ref: GuestRef, rollout: str, old: str, new: str) -> None:
    """``Replaced`` if the guest is on neither root of its exchange."""
    _read_ours(cluster, ref, rollout, old, new)


def _read_ours(cluster: Cluster, ref: GuestRef, rollout: str, old: str, new: str) -> str:
    config = cluster.inventory.read_config(ref)
    root = config.rootfs.volume
    if root not in (old, new):
        raise Replaced(f"its root is {root}: somebody brought that")
    if root == new and _is_made_anew(config, rollout, old):
        raise Replaced(f"its marks and its old root are gone: {root} need not be what was exchanged, but from a backup")
    return root


def _is_made_anew(config: GuestConfig, rollout: str, old: str) -> bool:
    """A backup that is brought back has neither our marks nor an unused volume, and takes the lowest free names."""
    return tag.ROLLOUT + rollout not in config.tags and old not in {mount.volume for mount in config.unused}
