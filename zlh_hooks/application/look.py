"""Reading all that an exchange of a root depends on, at one moment. What follows from it: ``domain.precheck``."""

from zlh_hooks.application.ports import Cluster
from zlh_hooks.domain.errors import StorageAway, TargetError
from zlh_hooks.domain.guest import GuestConfig, GuestRef
from zlh_hooks.domain.plan import Release
from zlh_hooks.domain.precheck import Facts


def read_facts(cluster: Cluster, ref: GuestRef, release: Release) -> Facts:
    """Of the guest, its storage and the release's template; ``StorageAway`` if the storage cannot be looked into."""
    config = cluster.inventory.read_config(ref)
    name = config.rootfs.storage
    space = next((space for space in cluster.storage.list_storages(ref.node) if space.name == name), None)
    if space is not None and not space.active:
        raise StorageAway(f"its storage {name} is not active on {ref.node}")
    template = cluster.inventory.read_config(GuestRef(release.templates[ref.node], ref.node))
    return Facts(
        guest=config,
        pending=cluster.inventory.read_pending(ref),
        power=cluster.inventory.read_power(ref),
        template=template,
        template_root_size=_read_root_size(cluster, template),
        storage=space,
        volumes=cluster.storage.list_volumes(ref.node, name, ref.vmid) if name else (),
    )


def _read_root_size(cluster: Cluster, template: GuestConfig) -> int:
    """Bytes; 0 where the storage knows no size."""
    root, ref = template.rootfs, template.ref
    volumes = cluster.storage.list_volumes(ref.node, root.storage, ref.vmid)
    size = next((volume.size for volume in volumes if volume.volid == root.volume), None)
    if size is None:
        raise TargetError(f"the root {root.volume} of template {ref} is not on its storage")
    return size
