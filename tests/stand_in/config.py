"""Writing a container's config: what changes at once, what waits, and what happens to volumes on the way.

Follows ``update_pct_config``, ``vmconfig_hotplug_pending``, ``vmconfig_apply_pending`` and ``apply_pending_mountpoint`` of
pve-container 6.1.10 (``LXC/Config.pm``), oddities included.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Any

from fakepve import FakeCt, PveError
from fakepve.lxc import FASTPLUG, HOT_DELETE, NEW_DISK, format_size, mount_type, parse_mount, print_mount, volume_owner

from tests.stand_in.backend import GuestSpec, VolumeStore
from tests.stand_in.right import RightsApi

_MIB = 1024**2
_HOT_SETS = ("cpulimit", "cpuunits", "memory", "swap")
Errors = dict[str, str]


def volume_of(value: str) -> str | None:
    """The volume id in a mount value; None for bind and device mounts."""
    volume = parse_mount(value).get("volume", "")
    return volume if volume and mount_type(volume) == "volume" else None


def spec_of(ct: FakeCt) -> GuestSpec:
    """The guest as a runtime is given it."""
    return GuestSpec(ct.vmid, ct.node, {key: str(value) for key, value in ct.config.items()})


class ConfigApi(RightsApi):
    """Config writes over a real volume store."""

    volumes: VolumeStore
    placed: dict[str, str]
    """Volume id to the node it lies on; only asked for storages that are not shared."""

    async def _lxc_config_put(self, user: str, v: dict[str, Any]) -> None:
        if not self.quorate:
            ct = self._find_ct(v["node"], v["vmid"])
            raise PveError(500, self._write_refused(ct))
        await super()._lxc_config_put(user, v)

    def _write_refused(self, ct: FakeCt) -> str:
        """What a write to /etc/pve says without quorum."""
        return f"unable to open file '/etc/pve/nodes/{ct.node}/lxc/{ct.vmid}.conf.tmp.4711' - Permission denied"

    async def _update_config(
        self, ct: FakeCt, user: str, values: dict[str, Any], deletes: list[str], reverts: list[str]
    ) -> None:
        before = dict(ct.config), dict(ct.pending)
        try:
            await super()._update_config(ct, user, values, deletes, reverts)
            errors = await self.apply_pending(ct, {*values, *deletes}, ct.status == "running")
        except PveError:
            ct.config, ct.pending = before
            raise
        if errors:
            ct.config, ct.pending = before
            raise PveError(400, "Parameter verification failed.", errors)

    def _apply(self, ct: FakeCt, selection: set[str] | None = None, running: bool = False) -> None:
        """Replaced by ``apply_pending``, which may take time."""

    async def apply_pending(self, ct: FakeCt, selection: set[str] | None, running: bool) -> Errors:
        """Move what can be moved from pending to the config; what could not is in the answer."""
        errors: Errors = {}
        chosen = [key for key in sorted(ct.pending) if selection is None or key in selection]
        for key in [key for key in chosen if ct.pending[key] is None]:
            await self._try(errors, ct, key, running, self._delete_key)
        for key in [key for key in chosen if key in ct.pending]:
            await self._try(errors, ct, key, running, self._set_key)
        return errors

    async def _try(self, errors: Errors, ct: FakeCt, key: str, running: bool, change: Callable[..., Any]) -> None:
        verb = "unable to hotplug {}: {}" if running else "unable to apply pending change {} : {}"
        try:
            await change(ct, key, running)
        except OSError as error:
            errors[key] = verb.format(key, error.strerror or error)

    async def _delete_key(self, ct: FakeCt, key: str, running: bool) -> None:
        unused = re.fullmatch(r"unused\d+", key)
        if running and not (unused or key in FASTPLUG or key in HOT_DELETE or re.fullmatch(r"net\d+", key)):
            return
        if unused and key in ct.config:
            await self._free(ct, ct.config[key])
        if re.fullmatch(r"mp\d+", key) and (volume := volume_of(ct.config.get(key, ""))):
            self._add_unused(ct, volume)
        ct.config.pop(key, None)
        del ct.pending[key]

    async def _free(self, ct: FakeCt, value: str) -> None:
        volume = volume_of(value)
        if volume and not self._in_use(ct, volume) and volume_owner(volume) == ct.vmid:
            await asyncio.to_thread(self.volumes.free, volume)
            self.placed.pop(volume, None)

    @staticmethod
    def _in_use(ct: FakeCt, volume: str) -> bool:
        """``is_volume_in_use``: as a mount of the config, of a snapshot or of a pending change; ``unusedN`` is no use."""
        configs = [ct.config, ct.pending, *ct.snapshots.values()]
        keys = re.compile(r"rootfs|mp\d+")
        return any(
            volume_of(str(value)) == volume
            for config in configs
            for key, value in config.items()
            if keys.fullmatch(key)
        )

    def _add_unused(self, ct: FakeCt, volume: str) -> None:
        if volume not in [value for key, value in ct.config.items() if key.startswith("unused")]:
            ct.config[self._unused_key(ct.config)] = volume

    async def _set_key(self, ct: FakeCt, key: str, running: bool) -> None:
        mount = re.fullmatch(r"mp\d+", key)
        hot = key in FASTPLUG or key in _HOT_SETS or re.fullmatch(r"net\d+", key) or (mount and key not in ct.config)
        if running and not hot:
            return
        if mount:
            await self._set_mount(ct, key)
        else:
            ct.config[key] = ct.pending.pop(key)

    async def _set_mount(self, ct: FakeCt, key: str) -> None:
        mount = parse_mount(ct.pending[key])
        new = NEW_DISK.match(mount.get("volume", ""))
        if new:
            size = int(float(new.group(2)) * 1024) * _MIB
            volume = await asyncio.to_thread(self.volumes.allocate, new.group(1), ct.vmid, size)
            self.placed[volume] = ct.node
            mount |= {"volume": volume, "size": format_size(size)}
        elif volume_of(ct.pending[key]):
            mount |= await self._read_size(mount["volume"])
        old = volume_of(ct.config.get(key, ""))
        ct.config[key] = print_mount(mount)
        del ct.pending[key]
        if old:  # Proxmox compares the whole old value with volume ids here, so it never finds the volume in use
            self._add_unused(ct, old)

    async def _read_size(self, volid: str) -> dict[str, str]:
        stored = await asyncio.to_thread(self.volumes.list, volid.partition(":")[0])
        return next(({"size": format_size(volume.size)} for volume in stored if volume.volid == volid), {})
