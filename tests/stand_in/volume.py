"""Everything that makes, copies, renames or frees volumes: storage content, clone, move, template, destroy.

Follows ``API2/LXC.pm`` of pve-container 6.1.10 (``clone_vm``, ``move_volume``, ``template``, ``destroy_vm``).
"""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

from fakepve import FakeCt, PveError, TaskError
from fakepve.lxc import (
    format_size,
    mount_type,
    normalise,
    parse_mount,
    print_mount,
    random_mac,
    split_props,
    volume_owner,
)

from tests.stand_in.backend import StoredVolume
from tests.stand_in.config import volume_of
from tests.stand_in.power import PowerApi
from zlh_hooks.domain.storage_kind import may_rename

_DIGEST_CHANGED = "detected modified configuration - file changed by other user? Try again."
_NOT_CLONED = ("template", "lock", "parent", "snaptime", "snapstate", "pending", "snapshots")


def _storage_of(volid: str) -> str:
    return volid.partition(":")[0]


class VolumesApi(PowerApi):
    """Volumes are what the store lists, never what configs claim."""

    clone_warnings: int
    """Real clones of Debian 13 end with ``WARNINGS: 1`` (systemd 257)."""

    # --------------------------------------------------------------- content

    def _node_of(self, volid: str, owner: int) -> str:
        ct = self.ct(owner)
        return self.placed.get(volid) or (ct.node if ct else sorted(self.nodes)[0])

    async def _content_list(self, v: dict[str, Any], user: str) -> list[dict[str, Any]]:
        name, node, owner = v["storage"], v["node"], v.get("vmid")
        store = self._active_store(name, node)
        contents = str(store.get("content", "")).split(",")
        rows = []
        for volume in await asyncio.to_thread(self.volumes.list, name):
            content = "rootdir" if self.ct(volume.owner) else "images"
            here = store.get("shared") or self._node_of(volume.volid, volume.owner) == node
            if (
                content in contents
                and here
                and owner in (None, volume.owner)
                and self._may_see(user, name, volume.owner)
            ):
                changed = int(time.time()) if self._is_mounted(volume) else volume.changed
                row = {"volid": volume.volid, "vmid": volume.owner, "size": volume.size, "ctime": changed}
                rows.append({**row, "content": content, "format": "raw"})
        return rows

    def _is_mounted(self, volume: StoredVolume) -> bool:
        """What a running guest uses is written to all the time."""
        ct = self.ct(volume.owner)
        if ct is None or ct.status != "running":
            return False
        used = (value for key, value in ct.config.items() if key == "rootfs" or key.startswith("mp"))
        return any(str(value).partition(",")[0] == volume.volid for value in used)

    def _may_see(self, user: str, storage: str, owner: int) -> bool:
        if self.allowed(user, f"/storage/{storage}", "Datastore.Allocate"):
            return True
        seen = self.allowed(user, f"/storage/{storage}", "Datastore.Audit")
        return seen and self.allowed(user, f"/vms/{owner}", "VM.Config.Disk")

    def _space(self, store: dict[str, Any]) -> tuple[int, int, int]:
        name = next(name for name, other in self.storages.items() if other is store)
        used = sum(volume.size for volume in self.volumes.list(name))
        total = int(store.get("total", 100 * 1024**3))
        return total, used, max(total - used, 0)

    # ----------------------------------------------------------------- clone

    async def _lxc_clone(self, user: str, v: dict[str, Any]) -> str:
        source, storage = self._find_ct(v["node"], v["vmid"]), v.get("storage")
        if storage:
            self._check_enabled(storage, v["node"])
        self.need_quorum()
        await self._set_lock(source, "disk")
        try:
            new, mounts = self._begin_clone(user, v, source)
        except PveError:
            source.lock = None
            raise
        self.add_index(new)

        async def body() -> None:
            await self._copy_all(source, new, mounts)

        log = [f"creating a clone of container {source.vmid} with ID {new.vmid}"]
        return await self.task(source.node, "vzclone", source.vmid, user, body, vm=new, lock=False, log=log)

    async def _set_lock(self, ct: FakeCt, lock: str) -> None:
        await self._config_lock(ct)
        try:
            self._ct_check_lock(ct)
            ct.lock = lock
        finally:
            self.release(ct, "config")

    def _begin_clone(self, user: str, v: dict[str, Any], source: FakeCt) -> tuple[FakeCt, dict[str, dict[str, str]]]:
        self._check_vmid_unused(int(v["newid"]))
        full = v.get("full", not source.template)
        if v.get("storage") and not full:
            raise PveError(500, "parameter 'storage' not allowed for linked clones")
        config: dict[str, Any] = {}
        mounts: dict[str, dict[str, str]] = {}
        for key, value in source.config.items():
            if re.fullmatch(r"rootfs|mp\d+", key):
                mounts[key] = self._cloned_mount(user, source, key, value, v.get("storage"), bool(full))
            elif re.fullmatch(r"net\d+", key):
                config[key] = self._cloned_net(user, key, value)
            elif key not in _NOT_CLONED and not key.startswith("unused"):
                config[key] = value
        config |= {"lock": "create", **{key: v[key] for key in ("hostname", "description") if v.get(key)}}
        return FakeCt(int(v["newid"]), node=source.node, defaults=False, config=config), mounts

    def _cloned_mount(
        self, user: str, source: FakeCt, key: str, value: str, storage: str | None, full: bool
    ) -> dict[str, str]:
        mount: dict[str, str] = parse_mount(value)
        kind = mount_type(mount["volume"])
        if kind != "volume":
            raise PveError(500, f"unable to clone mountpoint '{key}' (type {kind})")
        sid = storage or _storage_of(mount["volume"])
        self.require(user, f"/storage/{sid}", "Datastore.AllocateSpace")
        if not full:
            raise PveError(500, f"Linked clone feature for '{mount['volume']}' is not available")
        if source.status == "running":
            raise PveError(500, "Full clone of a running container is only possible from a snapshot")
        return {**mount, "storage": sid}

    def _cloned_net(self, user: str, key: str, value: str) -> str:
        props = split_props(value)[1] | {"hwaddr": random_mac()}
        net: str = normalise(key, ",".join(f"{name}={text}" for name, text in props.items()))
        self._check_bridge(user, net)
        return net

    async def _copy_all(self, source: FakeCt, new: FakeCt, mounts: dict[str, dict[str, str]]) -> None:
        made: list[str] = []
        try:
            self.stumble("vzclone", after=False)
            await self.pause(self.ct_secs["clone"])
            for key, mount in mounts.items():
                options = {name: value for name, value in mount.items() if name != "storage"}
                made.append(await asyncio.to_thread(self.volumes.copy, mount["volume"], mount["storage"], new.vmid))
                self.placed[made[-1]] = new.node
                new.config[key] = print_mount({**options, "volume": made[-1]}, key == "rootfs")
        except Exception as error:  # real volumes may fail in any way: Proxmox cleans up and names the error
            for volid in made:
                await asyncio.to_thread(self.volumes.free, volid)
            self._drop(new)
            raise TaskError(f"clone failed: {getattr(error, 'strerror', None) or error}") from error
        finally:
            source.lock = None
        new.lock = None
        if self.clone_warnings:
            raise TaskError(f"WARNINGS: {self.clone_warnings}")

    # ------------------------------------------------------------------ move

    async def _move_volume(self, v: dict[str, Any], user: str) -> str:
        target_vmid = v.get("target-vmid")
        if target_vmid is None:
            raise PveError(500, "the stand-in only moves volumes to another container")
        key, target_key = v["volume"], v.get("target-volume", v["volume"])
        self._vm_perm(user, target_vmid, None, "VM.Config.Disk")
        source, target = self._check_move(v, key, target_key)
        sid = _storage_of(parse_mount(source.config[key])["volume"])
        self.require(user, f"/storage/{sid}", "Datastore.AllocateSpace")

        async def body() -> None:
            holder = f"move {source.vmid}-{key}"
            await self.acquire(target, holder)
            try:
                await self._rename(v, key, target_key)
            finally:
                self.release(target, holder)

        ident = f"{source.vmid}-{key}>{target.vmid}-{target_key}"
        return await self.task(source.node, "move_volume", ident, user, body, vm=source)

    def _check_move(self, v: dict[str, Any], key: str, target_key: str) -> tuple[FakeCt, FakeCt]:
        unused = re.compile(r"unused\d+")
        if "rootfs" in (key, target_key):
            raise PveError(500, "Cannot move to/from 'rootfs'")
        if unused.fullmatch(key) and not unused.fullmatch(target_key):
            raise PveError(500, "Moving an unused volume to a used one is not possible")
        source, target = (self._moving(vmid) for vmid in (v["vmid"], v["target-vmid"]))
        if source.node != target.node:
            raise PveError(500, f"Both containers need to be on the same node ({source.node} != {target.node})")
        for ct, digest in ((source, v.get("digest")), (target, v.get("target-digest"))):
            self._ct_check_lock(ct)
            if digest and digest != ct.digest():
                raise PveError(500, f"Container {ct.vmid}: {_DIGEST_CHANGED}")
        if source.template or target.template:
            raise PveError(500, "Can't move volumes from or to template CT")
        self._check_keys(source, key, target, target_key)
        return source, target

    def _moving(self, vmid: Any) -> FakeCt:
        ct = self.ct(int(vmid))
        if ct is None:
            raise PveError(500, f"could not find CT {vmid}")
        return ct

    def _check_keys(self, source: FakeCt, key: str, target: FakeCt, target_key: str) -> None:
        if key not in source.config:
            raise PveError(500, f"volume '{key}' for container '{source.vmid}' does not exist")
        if target_key in target.config:
            raise PveError(500, f"Target volume key '{target_key}' is already in use for container '{target.vmid}'")
        volume = volume_of(source.config[key])
        if volume is None:
            raise PveError(500, "Cannot move a bindmount or device mount to another container")
        if not may_rename(self.storages[_storage_of(volume)]["type"]):
            raise PveError(500, "Storage does not support moving of this disk to another container")
        if source.status == "running" and not key.startswith("unused"):
            raise PveError(500, "Cannot move in-use volume while the source CT is running - detach or shutdown first")

    async def _rename(self, v: dict[str, Any], key: str, target_key: str) -> None:
        try:
            source, target = self._check_move(v, key, target_key)
        except PveError as error:
            raise TaskError(error.message) from error
        mount = parse_mount(source.config[key])
        volume = await asyncio.to_thread(self.volumes.rename, mount["volume"], target.vmid)
        self.placed.pop(mount["volume"], None)
        self.placed[volume] = target.node
        if not self.quorate:  # the volume has its new name by now, as on Proxmox
            raise TaskError(self._write_refused(source))
        del source.config[key]
        unused = target_key.startswith("unused")
        target.config[target_key] = volume if unused else print_mount({**mount, "volume": volume})

    # ---------------------------------------------------------------- resize

    async def _lxc_resize(self, user: str, v: dict[str, Any]) -> str:
        ct = self._find_ct(v["node"], v["vmid"])
        self._ct_check_lock(ct)
        self._check_modify_perm(user, ct.vmid, None, ct.config, {"disk": v["disk"]}, [], ct.config.get("unprivileged"))
        await self._check_resize(user, ct, v)

        async def body() -> None:
            try:
                mount, size = await self._check_resize(user, ct, v)
            except PveError as error:
                raise TaskError(error.message) from error
            await self.pause(self.ct_secs["resize"])
            await asyncio.to_thread(self.volumes.grow, mount["volume"], size)
            if not self.quorate:  # the volume is larger by now, as on Proxmox
                raise TaskError(self._write_refused(ct))
            ct.config[v["disk"]] = print_mount({**mount, "size": format_size(size)}, v["disk"] == "rootfs")

        return await self._ct_task(ct, "resize", user, body)

    async def _check_resize(self, user: str, ct: FakeCt, v: dict[str, Any]) -> tuple[dict[str, str], int]:
        if v.get("digest") and v["digest"] != ct.digest():
            raise PveError(500, _DIGEST_CHANGED)
        mount: dict[str, str] = parse_mount(ct.config[v["disk"]])
        if volume_owner(mount["volume"]) != ct.vmid:
            raise PveError(500, "can't resize mount point owned by another container")
        sid = _storage_of(mount["volume"])
        self.require(user, f"/storage/{sid}", "Datastore.AllocateSpace")
        size, stored = int(v["size"]), await asyncio.to_thread(self.volumes.list, sid)
        has = next((volume.size for volume in stored if volume.volid == mount["volume"]), None)
        if has is None:
            raise PveError(500, f"Could not determine current size of volume '{mount['volume']}'")
        if size <= has:
            raise PveError(500, "unable to shrink disk size" if size < has else "disk is already at specified size")
        return mount, size

    # -------------------------------------------------- template and destroy

    async def _lxc_template(self, user: str, v: dict[str, Any]) -> None:
        """Answers null while the task runs on, as Proxmox does."""
        ct = self._find_ct(v["node"], v["vmid"])
        self._ct_check_lock(ct)
        if ct.template:
            raise PveError(500, "you can't convert a template to a template")
        if ct.status == "running":
            raise PveError(500, "you can't convert a CT to template if the CT is running")

        async def body() -> None:
            await self.pause(self.ct_secs["template"])
            await self._make_base(ct)

        await self._ct_task(ct, "vztemplate", user, body)

    async def _make_base(self, ct: FakeCt) -> None:
        for key, mount in ct.volumes():
            base = await asyncio.to_thread(self.volumes.make_base, mount["volume"])
            self.placed[base] = ct.node
            ct.config[key] = print_mount({**mount, "volume": base}, key == "rootfs")
        ct.config["template"] = 1

    async def _lxc_destroy(self, user: str, v: dict[str, Any]) -> str:
        ct = self._find_ct(v["node"], v["vmid"])
        self._check_destroy(ct, PveError)

        async def body() -> None:
            self._check_destroy(ct, lambda _status, text: TaskError(text))
            if not self.quorate:
                raise TaskError(self._write_refused(ct))
            await self.pause(self.ct_secs["destroy"])
            await self._free_all(ct)
            self._drop(ct)

        return await self._ct_task(ct, "vzdestroy", user, body)

    def _check_destroy(self, ct: FakeCt, failure: Callable[[int, str], Exception]) -> None:
        if ct.config.get("protection"):
            raise failure(500, f"can't remove CT {ct.vmid} - protection mode enabled")
        if ct.lock:
            raise failure(500, f"CT is locked ({ct.lock})")
        if ct.ha_managed:
            raise failure(500, f"unable to remove CT {ct.vmid} - used in HA resources and purge parameter not set.")
        if ct.status == "running":
            raise failure(500, f"unable to destroy CT {ct.vmid} - container is running")

    async def _free_all(self, ct: FakeCt) -> None:
        values = [*ct.config.items(), *((key, value) for key, value in ct.pending.items() if value)]
        found = {volume for key, value in values if (volume := self._mount_volume(key, value))}
        for volume in sorted(found):
            if volume_owner(volume) == ct.vmid:
                await asyncio.to_thread(self.volumes.free, volume)
                self.placed.pop(volume, None)

    @staticmethod
    def _mount_volume(key: str, value: Any) -> str | None:
        return volume_of(str(value)) if re.fullmatch(r"rootfs|mp\d+|unused\d+", key) else None


def size_text(size: int) -> str:
    """A size in bytes as Proxmox writes it, e.g. ``1G``."""
    text: str = format_size(size)
    return text
