"""What has to be true of the world in the end, whatever happened on the way."""

from collections.abc import Collection, Mapping

from tests.datacentre.world import Datacentre
from zlh_hooks.domain import tag
from zlh_hooks.simulation.container import Container, volumes_in

SCRATCH = range(890000, 891000)


def assert_no_leftovers(
    datacentre: Datacentre,
    expected_old_roots: Collection[int] = (),
    *,
    allowed_guests: Collection[int] = (),
    expected_tags: Mapping[int, Collection[str]] | None = None,
) -> None:
    """Nothing of ours is left but the one old root of each guest in ``expected_old_roots``.

    ``allowed_guests`` are scratch numbers that may stay (staging twins); ``expected_tags`` are the whole lists of
    ``zlh-`` tags that these guests must have.
    """
    datacentre.settle()
    found = [
        *_leftover_guests(datacentre, allowed_guests),
        *_wrong_volumes(datacentre),
        *(fault for one in datacentre.containers.values() for fault in _leftover_config(one, expected_old_roots)),
        *_changed_guests(datacentre),
        *_wrong_tags(datacentre, expected_tags or {}),
    ]
    assert not found, "\n".join(found)


def assert_data_untouched(datacentre: Datacentre) -> None:
    """Every acknowledged record is where its guest finds it, each once and in order; none came back from the past."""
    datacentre.settle()
    lost = []
    for vmid, acknowledged in datacentre.acknowledged.items():
        container = datacentre.containers.get(vmid)
        volume = datacentre.data_volume(container) if container else None
        if volume is None or volume.records != acknowledged:
            lost.append(f"{vmid}: acknowledged {acknowledged}, found {volume.records if volume else 'no volume'}")
    assert not lost, "\n".join(lost)


def assert_power_as_left(datacentre: Datacentre) -> None:
    """Every guest runs, or is off, as its customer or operator left it."""
    datacentre.settle()
    wrong = [
        f"{one.vmid} is {'on' if one.running else 'off'}"
        for one in datacentre.containers.values()
        if one.running != one.wanted
    ]
    assert not wrong, "\n".join(wrong)


def _leftover_guests(datacentre: Datacentre, allowed: Collection[int]) -> list[str]:
    return [f"{vmid}: temporary guest" for vmid in datacentre.containers if vmid in SCRATCH and vmid not in allowed]


def _wrong_volumes(datacentre: Datacentre) -> list[str]:
    found = []
    for store in {id(store): store for store in datacentre.stores.values()}.values():
        for volume in store.volumes.values():
            owner = datacentre.containers.get(volume.owner)
            if owner is None or owner.node not in store.nodes or not owner.names(volume.volid):
                found.append(f"{volume.volid} on {'/'.join(store.nodes)}: orphan")
    for container in datacentre.containers.values():
        found += [f"{container.vmid}: {fault}" for fault in _wrong_references(datacentre, container)]
    return found


def _wrong_references(datacentre: Datacentre, container: Container) -> list[str]:
    named = {volid: datacentre.volume(container.node, volid) for volid in volumes_in(container.values)}
    missing = [f"{volid} does not exist" for volid, volume in named.items() if volume is None]
    foreign = [f"{volid} is {one.owner}'s" for volid, one in named.items() if one and one.owner != container.vmid]
    keys = [mount.volume for mount in container.config.mounts if mount.is_volume]
    return [*missing, *foreign, *(f"{volid} is named twice" for volid in named if keys.count(volid) > 1)]


def _leftover_config(container: Container, expected_old_roots: Collection[int]) -> list[str]:
    expected = 1 if container.vmid in expected_old_roots else 0
    unused = [mount.key for mount in container.config.unused]
    at_work = [one for one in container.config.tags if one.startswith((tag.ROLLOUT, tag.OLD_ROOT, tag.BUSY, tag.LEASE))]
    found = {
        f"pending {container.pending}": bool(container.pending),
        f"lock {container.config.lock}": container.config.lock in ("disk", "create", "destroyed"),
        f"unused volumes {unused}, expected {expected}": len(unused) != expected,
        f"tags of work {at_work}": bool(at_work) and not expected,
    }
    return [f"{container.vmid}: {fault}" for fault, is_so in found.items() if is_so]


def _changed_guests(datacentre: Datacentre) -> list[str]:
    found = []
    for vmid, before in datacentre.baselines.items():
        if (container := datacentre.containers.get(vmid)) is None:
            found.append(f"{vmid}: is gone")
            continue
        foreign = tuple(one for one in container.config.tags if not tag.is_ours(one))
        changed = {
            "config": container.config.fingerprint() != before.fingerprint,
            f"tags {foreign}": foreign != before.foreign_tags,
            f"node {container.node}": container.node != before.node,
            f"HA state {container.ha_state}": container.ha_state != before.ha_state,
        }
        found += [f"{vmid}: changed {what}" for what, is_so in changed.items() if is_so]
    return found


def _wrong_tags(datacentre: Datacentre, expected: Mapping[int, Collection[str]]) -> list[str]:
    ours = {vmid: {one for one in datacentre.containers[vmid].config.tags if tag.is_ours(one)} for vmid in expected}
    return [f"{vmid}: tags {sorted(ours[vmid])}" for vmid in expected if ours[vmid] != set(expected[vmid])]
