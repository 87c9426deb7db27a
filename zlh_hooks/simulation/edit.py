"""One config write, as pve-container's ``update_pct_config`` does it: all is checked, then all is stored."""

import re
from collections.abc import Mapping, Sequence

from zlh_hooks.domain import tag
from zlh_hooks.domain.errors import ConfigChanged, RoadError, TargetError
from zlh_hooks.simulation.container import Container
from zlh_hooks.simulation.physics import Simulation

MODIFIED = "detected modified configuration - file changed by other user? Try again."
_DRIVE = re.compile(r"(?:rootfs|mp\d+)\Z")
_VOLUME = re.compile(r"(?:rootfs|mp\d+|unused\d+)\Z")
_NETWORK = re.compile(r"(?:net\d+|hostname|nameserver|searchdomain)\Z")
_AT_ONCE = re.compile(
    r"(?:description|onboot|startup|protection|tags|hostname|cores|memory|swap|cpulimit|cpuunits|timezone"
    r"|nameserver|searchdomain|net\d+)\Z"
)


def privilege_for(key: str) -> str:
    """The privilege that changing this key takes; an ``unusedN`` is an option (``check_ct_modify_config_perm``)."""
    if _DRIVE.match(key):
        return "VM.Config.Disk"
    return "VM.Config.Network" if _NETWORK.match(key) else "VM.Config.Options"


def check_digest(container: Container, digest: str | None) -> None:
    """ConfigChanged unless the digest is None or the file's own."""
    if digest is not None and digest != container.digest:
        raise ConfigChanged(MODIFIED)


def write(
    world: Simulation, container: Container, values: Mapping[str, str], delete: Sequence[str], revert: Sequence[str]
) -> None:
    """Store the change and bring into force what can be: all of it if the guest is off."""
    stored = {key: _normal(key, value) for key, value in values.items()}
    _check(container, stored, delete)
    for key in revert:
        container.pending.pop(key, None)
    container.pending |= {key: None for key in delete if key in container.values or key in container.pending}
    container.pending |= stored
    _drop_what_changes_nothing(container)
    if container.running:
        errors = world.apply(container, [key for key in sorted(container.pending) if _is_hot(container, key)])
    else:
        errors = world.apply_pending(container)
    if errors:
        said = "400 Parameter verification failed. " + "; ".join(errors)
        raise RoadError(said) if "unable to activate storage" in said else TargetError(said)


def _check(container: Container, values: Mapping[str, str], delete: Sequence[str]) -> None:
    for key in delete:
        if key == "rootfs" or key in values:
            raise TargetError(f"unable to delete required option or one that is set: '{key}'")
        if _VOLUME.match(key):
            container.refuse_if_protected(f"can't remove CT {container.vmid} drive '{key}'")
    for key in values:
        if _DRIVE.match(key):
            container.refuse_if_protected(f"can't update CT {container.vmid} drive '{key}'")


def _normal(key: str, value: str) -> str:
    if key == "description":
        return value.rstrip("\n") + "\n"
    if key != "tags":
        return value
    tags = tag.parse_tags(value)
    wrong = [one for one in tags if not tag.is_valid(one)]
    if wrong:
        raise TargetError(f"400 Parameter verification failed. tags: invalid format - {wrong[0]}")
    return tag.render_tags(tags)


def _drop_what_changes_nothing(container: Container) -> None:
    for key, value in list(container.pending.items()):
        if container.values.get(key) == value:
            del container.pending[key]


def _is_hot(container: Container, key: str) -> bool:
    if key.startswith("unused"):
        return container.pending[key] is None
    if key.startswith("mp"):
        return container.pending[key] is not None and key not in container.values
    return bool(_AT_ONCE.match(key))
