"""Proxmox VE 9 over its REST API.

Paths and parameters: pve-container ``API2/LXC.pm``, ``API2/LXC/{Config,Status}.pm``, for what is asked of virtual
machines too (configs and power) qemu-server ``API2/Qemu.pm``, pve-storage
``API2/Storage/{Status,Content}.pm``, pve-manager ``API2/{Backup,Cluster,Tasks}.pm``, pve-ha-manager
``API2/HA/Resources.pm``.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from zlh_hooks.adapters import proxmox_answer as answer
from zlh_hooks.adapters.proxmox_access import Access
from zlh_hooks.adapters.proxmox_error import UNNAMED
from zlh_hooks.adapters.proxmox_link import Link, permit_all
from zlh_hooks.application.ports import CloneOrder, TaskResult, TaskSummary, Upid
from zlh_hooks.domain.errors import RightMissing, RoadError, TargetError
from zlh_hooks.domain.guest import (
    GuestConfig,
    GuestRef,
    GuestSummary,
    Power,
    StorageSpace,
    Volume,
    render_ha_resource,
)
from zlh_hooks.domain.interlock import ActiveTask, BackupJob

_TASKS_AT_MOST = 500
"""Proxmox lists 50 unless told otherwise."""
_SEES_VOLUMES = "VM.Config.Disk"


class Proxmox:
    """One cluster, entered through one of its nodes, for the ports from Inventory to Rights. Threads may share it.

    All methods raise ``RoadError``, those about one guest also ``Unreadable``, ``TargetError`` and its kinds, writes
    ``Unanswered`` and whatever ``permit`` raises, which is asked right before each.
    """

    def __init__(self, access: Access, permit: Callable[[], None] = permit_all) -> None:
        self._link = Link(access, permit)

    # ------------------------------------------------------------- Inventory

    def list_guests(self) -> tuple[GuestSummary, ...]:
        """Every guest the token may see (VM.Audit), VMs included."""
        return answer.parse_guests(self._link.get("cluster", "resources", type="vm"))

    def list_nodes(self) -> tuple[str, ...]:
        """Takes no right."""
        return answer.parse_nodes(self._link.get("nodes"))

    def read_config(self, guest: GuestRef) -> GuestConfig:
        """The values in force, without pending ones."""
        return answer.parse_config(guest, self._get(guest, "config", current=1))

    def read_pending(self, guest: GuestRef) -> Mapping[str, str | None]:
        """What waits for the next stop."""
        return answer.parse_pending(self._get(guest, "pending"))

    def read_power(self, guest: GuestRef) -> Power:
        """Live. A guest that HA ignores is looked up among the HA resources, where the token may (``/``, Sys.Audit)."""
        status = self._get(guest, "status", "current")
        return answer.parse_power(status, not answer.is_ha_managed(status) and self._is_ignored(guest))

    def read_address(self, guest: GuestRef) -> str | None:
        """From the guest's own interfaces; until they have one, the fixed address of ``net0``."""
        found = answer.parse_addresses(self._get(guest, "interfaces"))
        if found is None:
            return None
        return next(iter(found or answer.parse_static_addresses(self.read_config(guest))), None)

    # --------------------------------------------------------------- Storage

    def list_storages(self, node: str) -> tuple[StorageSpace, ...]:
        """Those on which the token has Datastore.Audit or Datastore.AllocateSpace."""
        return answer.parse_storages(self._link.get("nodes", node, "storage"))

    def list_volumes(self, node: str, storage: str, owner: int) -> tuple[Volume, ...]:
        """Needs Datastore.Audit there and VM.Config.Disk on the owner: without, Proxmox lists nothing and says nothing.

        A storage that may only hold ``rootdir`` hides volumes whose owner is no container (any more).
        """
        content = self._link.get("nodes", node, "storage", storage, "content", vmid=owner)
        volumes = answer.parse_volumes(content, owner)
        if not volumes and _SEES_VOLUMES not in self.read_rights(f"/vms/{owner}").get(f"/vms/{owner}", ()):
            missing = f"/vms/{owner}, {_SEES_VOLUMES}"
            raise RightMissing(f"the API token lacks a right: {missing} (to see its volumes)", missing)
        return volumes

    # ----------------------------------------------------------- GuestEditor

    def write_config(
        self,
        guest: GuestRef,
        values: Mapping[str, str],
        digest: str | None,
        *,
        delete: Sequence[str] = (),
        revert: Sequence[str] = (),
    ) -> None:
        """One PUT. An empty value deletes its key: Proxmox would store it and not read it back."""
        deleted = [*delete, *(key for key, value in values.items() if not value)]
        body: dict[str, object] = {key: value for key, value in values.items() if value}
        lists = {"delete": ",".join(deleted), "revert": ",".join(revert), "digest": digest}
        body |= {key: value for key, value in lists.items() if value}
        self._write("PUT", guest, "config", **body)

    def clone(self, source: GuestRef, order: CloneOrder) -> Upid:
        """Always a full clone: a linked one would depend on its template."""
        values = {"newid": order.new_vmid, "full": 1, "storage": order.storage}
        try:
            return self._begin("POST", source, "clone", **values, hostname=order.hostname, description=order.note)
        except RightMissing as error:
            if error.missing != UNNAMED:
                raise
            missing = f"/vms/{order.new_vmid}, VM.Allocate"  # or on a pool, which is not asked for
            raise RightMissing(f"the API token lacks a right: {missing} (to clone {source})", missing) from error

    def move_volume(self, source: GuestConfig, key: str, target: GuestConfig, target_key: str) -> Upid:
        """A rename; both guests on one node, neither a template."""
        values = {"volume": key, "target-vmid": target.ref.vmid, "target-volume": target_key}
        digests = {"digest": source.digest, "target-digest": target.digest}
        return self._begin("POST", source.ref, "move_volume", **values, **digests)

    def resize(self, guest: GuestConfig, key: str, size: int) -> Upid:
        """Also VM.Config.Options; a file system that does not grow with its volume is only a line in the task's log."""
        return self._begin("PUT", guest.ref, "resize", disk=key, size=str(size), digest=guest.digest)

    def destroy(self, guest: GuestRef) -> Upid:
        """Never a running guest, and only volumes that its config names."""
        return self._begin("DELETE", guest, **{"purge": 0, "destroy-unreferenced-disks": 0})

    # ----------------------------------------------------------- PowerSwitch

    def start(self, guest: GuestRef) -> Upid:
        """Locks, templates and missing guests are found out in the task."""
        return self._begin("POST", guest, "status", "start")

    def reboot(self, guest: GuestRef, timeout: timedelta) -> Upid:
        """Proxmox kills the guest when ``timeout`` has passed, and does not look at the config lock."""
        return self._begin("POST", guest, "status", "reboot", timeout=_seconds(timeout))

    def shutdown(self, guest: GuestRef, timeout: timedelta) -> Upid:
        """Clean, then by force."""
        return self._begin("POST", guest, "status", "shutdown", timeout=_seconds(timeout), forceStop=1)

    def stop(self, guest: GuestRef) -> Upid:
        """By force."""
        return self._begin("POST", guest, "status", "stop")

    # ----------------------------------------------------------------- Tasks

    def read_task(self, upid: Upid) -> TaskResult:
        """Asked on the node named in its id; a token sees its own tasks without further rights."""
        return answer.parse_task(self._link.get("nodes", _node_of(upid), "tasks", upid, "status"))

    def list_tasks(self, node: str, vmid: int, since: datetime) -> tuple[TaskSummary, ...]:
        """Others' tasks only with Sys.Audit on the node. Moves of volumes are listed apart: Proxmox's filter by VMID
        compares the whole task id, and theirs names two guests."""
        span: dict[str, Any] = {"since": int(since.timestamp()), "source": "all", "limit": _TASKS_AT_MOST}
        own = self._link.get("nodes", node, "tasks", vmid=vmid, **span)
        moves = self._link.get("nodes", node, "tasks", typefilter="move_volume", **span)
        return answer.parse_tasks((own, moves), vmid)

    def list_active(self, node: str) -> tuple[ActiveTask, ...]:
        """Others' tasks only with Sys.Audit on the node: Proxmox leaves them out and says nothing."""
        tasks = self._link.get("nodes", node, "tasks", source="active", limit=_TASKS_AT_MOST)
        return answer.parse_active(tasks)

    def list_begun(self, node: str, since: datetime) -> tuple[ActiveTask, ...]:
        """Others' tasks only with Sys.Audit on the node."""
        span: dict[str, Any] = {"since": int(since.timestamp()), "source": "all", "limit": _TASKS_AT_MOST}
        return answer.parse_begun(self._link.get("nodes", node, "tasks", **span))

    # --------------------------------------------------------------- Backups

    def list_backup_jobs(self) -> tuple[BackupJob, ...]:
        """Needs Sys.Audit on ``/``."""
        return answer.parse_backup_jobs(self._link.get("cluster", "backup"))

    # ------------------------------------------------------ HighAvailability

    def write_ha_state(self, vmid: int, state: str) -> None:
        """Needs Sys.Console on ``/``."""
        self._link.write("PUT", "cluster", "ha", "resources", f"ct:{vmid}", state=state)

    def _is_ignored(self, guest: GuestRef) -> bool:
        resource = render_ha_resource(guest)
        try:
            return answer.parse_ha_state(self._link.get("cluster", "ha", "resources", resource)) == "ignored"
        except (RightMissing, TargetError):  # no HA resource, or not ours to know
            return False

    # ---------------------------------------------------------------- Rights

    def read_rights(self, path: str | None = None) -> Mapping[str, frozenset[str]]:
        """Effective ones, as Proxmox computes them for the token and its user together."""
        return answer.parse_rights(self._link.get("access", "permissions", path=path))

    # ------------------------------------------------------------------ ways

    def _get(self, guest: GuestRef, *tail: str, **params: Any) -> Any:
        return self._link.get(*_path_of(guest), *tail, of_guest=True, **params)

    def _write(self, method: str, guest: GuestRef, *tail: str, **values: Any) -> Any:
        return self._link.write(method, *_path_of(guest), *tail, **values)

    def _begin(self, method: str, guest: GuestRef, *tail: str, **values: Any) -> Upid:
        return answer.parse_upid(self._write(method, guest, *tail, **values))


def _path_of(guest: GuestRef) -> tuple[object, ...]:
    return "nodes", guest.node, "lxc" if guest.is_container else "qemu", guest.vmid


def _node_of(upid: Upid) -> str:
    parts = upid.split(":")
    if len(parts) < 3 or parts[0] != "UPID":
        raise RoadError(f"not a Proxmox task id: {upid!r}")
    return parts[1]


def _seconds(length: timedelta) -> int:
    return max(1, ceil(length.total_seconds()))
