"""The tags by which a guest in work says so: enough to bring it to an end with the ledger lost."""

from collections.abc import Iterable, Mapping

from zlh_hooks.application.record import GuestRecord
from zlh_hooks.domain import tag
from zlh_hooks.domain.guest import GuestConfig, GuestRef
from zlh_hooks.domain.kept_volume import KeptVolume
from zlh_hooks.domain.plan import Plan

_KINDS = (tag.OLD_ROOT, tag.FROM_VERSION, tag.TO_VERSION, tag.KEPT_ROOT)


def list_marks(plan: Plan, before: GuestRecord) -> tuple[str, ...]:
    """Whose work it is, which root is the old one, and which versions it goes from and to."""
    rollout, name = plan.id, name_volume(before.root)
    versions = tuple(f"{tag.FROM_VERSION}{rollout}.{v}" for v in tag.values_of(tag.VERSION, before.tags))
    coming = f"{tag.TO_VERSION}{rollout}.{plan.release.version}"
    return (tag.ROLLOUT + rollout, f"{tag.OLD_ROOT}{rollout}.{name}", coming, *versions)


def find_marks(rollout: str, tags: Iterable[str]) -> tuple[str, ...]:
    """Every mark of that rollout among a guest's tags, and that the guest is in work now."""
    beginnings = (*(f"{kind}{rollout}." for kind in _KINDS), tag.BUSY)
    return tuple(t for t in tags if t == tag.ROLLOUT + rollout or t.startswith(beginnings))


def is_in_work(config: GuestConfig) -> bool:
    """Whether its marks are its own: those of a clone, or of a backup of another guest, name a volume it has not."""
    rollouts = tag.values_of(tag.ROLLOUT, config.tags)
    named = {name for one in rollouts for name in tag.values_of(f"{tag.OLD_ROOT}{one}.", config.tags)}
    has = {name_volume(mount.volume) for mount in config.mounts}
    return bool(rollouts) and (not named or not named.isdisjoint(has))


def name_volume(volid: str) -> str:
    """A volume id's name as it stands in a tag."""
    return volid.replace(":", "/").rpartition("/")[2].lower()


def render_kept(rollout: str, kept: KeptVolume | None) -> tuple[str, ...]:
    """What the root beside the guest's own was when it was put there, e.g. ``unused0.1073741824.1795492800.NAME``."""
    if kept is None:
        return ()
    stamp = "" if kept.stamp is None else kept.stamp
    return (f"{tag.KEPT_ROOT}{rollout}.{kept.slot}.{kept.size}.{stamp}.{name_volume(kept.volid)}",)


def parse_kept(rollout: str, tags: Iterable[str], ref: GuestRef) -> Mapping[str, KeptVolume]:
    """Name of a volume to what it was when it was put aside; what is no such tag is left out."""
    found = (text.split(".", 3) for text in tag.values_of(f"{tag.KEPT_ROOT}{rollout}.", tags))
    whole = (parts for parts in found if len(parts) == 4 and parts[1].isdecimal() and (parts[2] or "0").isdecimal())
    return {
        name: KeptVolume(name, ref.node, slot, int(size), int(stamp) if stamp else None)
        for slot, size, stamp, name in whole
    }
