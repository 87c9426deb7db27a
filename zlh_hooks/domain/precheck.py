"""May this guest's root be exchanged? Pure rules over what Proxmox says; each refusal is one sentence for people."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from zlh_hooks.domain.duration import render_duration
from zlh_hooks.domain.guest import GuestConfig, Power, StorageSpace, Volume
from zlh_hooks.domain.hold import Claim, find_hold
from zlh_hooks.domain.storage_kind import may_rename

SPACE_MARGIN = 1.05
_MUST_AGREE = ("arch", "ostype")


@dataclass(frozen=True, slots=True)
class Facts:
    """All that an exchange depends on, read at one moment. ``volumes``: what the root's storage lists for the guest."""

    guest: GuestConfig
    pending: Mapping[str, str | None]
    power: Power
    template: GuestConfig
    template_root_size: int
    storage: StorageSpace | None
    volumes: Sequence[Volume]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What policy says about it. ``staged``: the new root that lies beside the old one already, if it does.

    ``backup_within``: how old its last good backup may be; ``last_backup``: when that ended, None if none is known.
    """

    data_paths: Sequence[str]
    ignore_ha: bool
    now: datetime
    staged: str | None = None
    backup_within: timedelta | None = None
    last_backup: datetime | None = None


def find_obstacle(facts: Facts, wishes: Wishes) -> str | None:
    """Why the guest is left alone, or None. A config lock is no obstacle: it goes by itself and is waited for."""
    return next((reason for rule in RULES if (reason := rule(facts, wishes))), None)


def _held(facts: Facts, wishes: Wishes) -> str | None:
    return find_claim(facts.guest, facts.template, wishes.now)


def find_claim(guest: GuestConfig, template: GuestConfig, now: datetime) -> str | None:
    """Who wants no work of ours on the guest, or on its line, and until when; None if nobody."""
    held = find_hold(Claim.HOLD, guest.tags, now, _notes_of(guest))
    line = find_hold(Claim.LINE, template.tags, now, _notes_of(template))
    return f"on hold {held}" if held else f"its line is on hold {line}" if line else None


def _down(facts: Facts, wishes: Wishes) -> str | None:
    down = find_hold(Claim.DOWN, facts.guest.tags, wishes.now, _notes_of(facts.guest))
    return f"it could not start again: marked down {down}" if down and facts.power.running else None


def _notes_of(guest: GuestConfig) -> str:
    return guest.values.get("description", "")


def _not_backed_up(_: Facts, wishes: Wishes) -> str | None:
    longest, last = wishes.backup_within, wishes.last_backup
    if longest is None or (last is not None and wishes.now - last <= longest):
        return None
    known = (
        "no good backup of it was noted" if last is None else f"its last good backup ended {last:%Y-%m-%d %H:%M} UTC"
    )
    return f"{known}, and policy wants one within {render_duration(longest)}"


def _protected(facts: Facts, _: Wishes) -> str | None:
    return "protected (protection: 1 forbids changing its volumes)" if facts.guest.flag("protection") else None


def _ha_managed(facts: Facts, wishes: Wishes) -> str | None:
    managed = facts.power.ha_managed and facts.power.ha_state != "ignored"
    return "managed by HA, and policy does not set it to ignored" if managed and not wishes.ignore_ha else None


def _changes_waiting(facts: Facts, _: Wishes) -> str | None:
    waiting = ", ".join(sorted(facts.pending))
    return f"changes by somebody else wait for its next restart: {waiting}" if waiting else None


def _disagrees(facts: Facts, _: Wishes) -> str | None:
    pairs = [(key, facts.guest.values.get(key), facts.template.values.get(key)) for key in _MUST_AGREE]
    pairs.append(("unprivileged", str(facts.guest.flag("unprivileged")), str(facts.template.flag("unprivileged"))))
    pairs.append(("lxc.idmap", _id_map(facts.guest), _id_map(facts.template)))
    return next((f"{key} is {ours}, the template's is {theirs}" for key, ours, theirs in pairs if ours != theirs), None)


def _id_map(config: GuestConfig) -> str:
    return "; ".join(line for line in config.values.get("lxc", "").splitlines() if "lxc.idmap" in line)


def _bind_mounted(facts: Facts, _: Wishes) -> str | None:
    foreign = next((mount for mount in facts.guest.data_mounts if not mount.is_volume), None)
    return f"{foreign.key} is a bind or device mount of the node ({foreign.path})" if foreign else None


def _template_not_clonable(facts: Facts, _: Wishes) -> str | None:
    foreign = next((mount for mount in facts.template.data_mounts if not mount.is_volume), None)
    return f"the template has a bind or device mount ({foreign.key}), which cannot be cloned" if foreign else None


def _data_in_root(facts: Facts, wishes: Wishes) -> str | None:
    return find_data_in_root(facts.guest, wishes.data_paths)


def find_data_in_root(guest: GuestConfig, data_paths: Sequence[str]) -> str | None:
    """Why the guest's root may not be exchanged for its data's sake, or None."""
    mounts = [mount.path for mount in guest.data_mounts if mount.is_volume]
    bare = next((path for path in data_paths if not any(_covers(mount, path) for mount in mounts)), None)
    return f"customer data ({bare}) lies in the root, not on a volume of its own" if bare else None


def _covers(mount: str, path: str) -> bool:
    return PurePosixPath(path).is_relative_to(PurePosixPath(mount))


def _storage_unfit(facts: Facts, _: Wishes) -> str | None:
    name = facts.guest.rootfs.storage
    if facts.storage is None:
        return f"its storage {name or '(none)'} is not there on {facts.guest.ref.node}"
    if not facts.storage.holds_roots:
        return f"its storage {name} may not hold container roots (content rootdir)"
    if not may_rename(facts.storage.kind):
        return f"its storage {name} ({facts.storage.kind}) cannot give a volume to another guest"
    return None


def _no_space(facts: Facts, wishes: Wishes) -> str | None:
    there = _size_of(facts, wishes.staged)
    growth = max(facts.template_root_size - there, _root_size(facts) - there)
    return None if facts.storage is None else _explain_lack(facts.storage, growth)


def _explain_lack(storage: StorageSpace, growth: int) -> str | None:
    """Why a root cannot have ``growth`` bytes more there, or None if it can."""
    needed = int(max(growth, 0) * SPACE_MARGIN)
    if storage.free >= needed:
        return None
    return f"storage {storage.name} has {storage.free >> 20} MiB free, the new root needs {needed >> 20} MiB"


def _volume_astray(facts: Facts, _: Wishes) -> str | None:
    known = {volume.volid: volume.owner for volume in facts.volumes}
    root = facts.guest.rootfs.volume
    if root not in known:
        return f"its root volume {root} is not on the storage"
    owner = known[root]
    return None if owner in (None, facts.guest.ref.vmid) else f"its root volume {root} belongs to guest {owner}"


def _root_size(facts: Facts) -> int:
    """Bytes of the guest's root; 0 where the storage knows no size."""
    return _size_of(facts, facts.guest.rootfs.volume)


def _size_of(facts: Facts, volid: str | None) -> int:
    return next((volume.size for volume in facts.volumes if volume.volid == volid), 0)


def _root_shrinks(facts: Facts, _: Wishes) -> str | None:
    """The new root comes in the template's size and grows to the guest's; no size at all means as much as there is."""
    has, comes = _root_size(facts), facts.template_root_size
    if bool(has) == bool(comes):
        return None
    if has:
        return f"its root has {has >> 20} MiB; the template's has no size on its storage and cannot grow to that"
    return f"its root has no limit; the template's would give it one of {comes >> 20} MiB"


RULES: tuple[Callable[[Facts, Wishes], str | None], ...] = (
    _held,
    _down,
    _not_backed_up,
    _protected,
    _ha_managed,
    _changes_waiting,
    _disagrees,
    _bind_mounted,
    _template_not_clonable,
    _data_in_root,
    _storage_unfit,
    _no_space,
    _volume_astray,
    _root_shrinks,
)
