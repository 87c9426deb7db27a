"""Reading all that an exchange of a root depends on, at one moment. What follows from it: ``domain.precheck``."""

from collections.abc import Sequence

from zlh_hooks.application.pending_root import leave_out_ours
from zlh_hooks.application.ports import Cluster
from zlh_hooks.domain.errors import GuestMissing, RoadError, StorageAway
from zlh_hooks.domain.guest import GuestConfig, GuestRef, StorageSpace
from zlh_hooks.domain.plan import Release
from zlh_hooks.domain.precheck import Facts


def read_facts(cluster: Cluster, ref: GuestRef, release: Release, new: str = "") -> Facts:
    """Of the guest, its storage and the release's template; ``StorageAway`` if what it stands on does not answer, and
    ``RoadError`` if the template is gone: that speaks against no guest, and a person must bring it back.

    ``new``: the root that may be pending by our own exchange.
    """
    config = cluster.inventory.read_config(ref)
    name = config.rootfs.storage
    spaces = cluster.storage.list_storages(ref.node)
    if away := _find_away(config, spaces):
        raise StorageAway(f"its storage {away} is not active on {ref.node}")
    template = _read_template(cluster, GuestRef(release.templates[ref.node], ref.node))
    return Facts(
        guest=config,
        pending=leave_out_ours(cluster.inventory.read_pending(ref), config.rootfs.volume, new),
        power=cluster.inventory.read_power(ref),
        template=template,
        template_root_size=_read_root_size(cluster, template),
        storage=next((space for space in spaces if space.name == name), None),
        volumes=cluster.storage.list_volumes(ref.node, name, ref.vmid) if name else (),
    )


def find_storage_away(cluster: Cluster, ref: GuestRef) -> str | None:
    """The storage that the guest needs for its start and that does not answer, or None."""
    return _find_away(cluster.inventory.read_config(ref), cluster.storage.list_storages(ref.node))


def _find_away(config: GuestConfig, spaces: Sequence[StorageSpace]) -> str | None:
    needed = {mount.storage for mount in config.mounts if not mount.key.startswith("unused")}
    return next((space.name for space in spaces if space.name in needed and not space.active), None)


def _read_template(cluster: Cluster, ref: GuestRef) -> GuestConfig:
    try:
        return cluster.inventory.read_config(ref)
    except GuestMissing as error:
        raise RoadError(f"template {ref}, from which new roots come, is gone: {error}") from error


def _read_root_size(cluster: Cluster, template: GuestConfig) -> int:
    """Bytes; 0 where the storage knows no size."""
    root, ref = template.rootfs, template.ref
    volumes = cluster.storage.list_volumes(ref.node, root.storage, ref.vmid)
    size = next((volume.size for volume in volumes if volume.volid == root.volume), None)
    if size is None:  # a storage that goes at this moment lists nothing
        raise StorageAway(f"the root {root.volume} of template {ref} is not on its storage")
    return size
