"""Proxmox's answers as values. Numbers and flags may arrive as text (the API is Perl); unknown keys are ignored.

Shapes: the ``returns`` schemas of pve-container's ``API2/LXC*.pm``, pve-manager's ``API2/Cluster.pm`` and
``API2/Tasks.pm``, pve-storage's ``API2/Storage/*.pm``.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from zlh_hooks.adapters.proxmox_error import find_lock, is_storage_away
from zlh_hooks.application.ports import TaskResult, TaskSummary, Upid
from zlh_hooks.domain.errors import RoadError
from zlh_hooks.domain.guest import GuestConfig, GuestRef, GuestSummary, Power, StorageSpace, Volume
from zlh_hooks.domain.interlock import ActiveTask, BackupJob
from zlh_hooks.domain.tag import parse_tags

Flag = Annotated[bool, BeforeValidator(lambda value: str(value) in ("1", "True", "true"))]
Text = Annotated[str, BeforeValidator(str)]
_T = TypeVar("_T")
_GUEST_TYPES = {"lxc": True, "qemu": False}
_MOVE_ID = re.compile(r"(\d+)-[a-z]+\d*>(\d+)-[a-z]+\d*\Z")


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class _Resource(_Row):
    type: str
    vmid: int = 0
    node: str = ""
    name: Text = ""
    status: str = "unknown"
    template: Flag = False
    tags: str = ""
    lock: str | None = None
    pool: str | None = None


class _Node(_Row):
    node: str


class _Pending(_Row):
    key: str
    pending: Text | None = None
    delete: int = 0


class _Ha(_Row):
    managed: Flag = False
    state: str | None = None


class _Status(_Row):
    status: str
    uptime: float | None = None
    ha: _Ha = _Ha()


class _Address(_Row):
    address: str = Field(default="", alias="ip-address")


class _Interface(_Row):
    name: str = ""
    addresses: tuple[_Address, ...] = Field(default=(), alias="ip-addresses")


class _Storage(_Row):
    storage: str
    type: str
    content: str = ""
    active: Flag = False
    avail: int = 0


class _Content(_Row):
    volid: str
    vmid: int | None = None
    size: int | None = None
    about: int = Field(default=0, alias="approximate-size")
    ctime: float | None = None


class _Task(_Row):
    upid: str
    type: str
    id: Text = ""
    starttime: int
    endtime: int | None = None
    status: str | None = None

    @property
    def is_running(self) -> bool:
        return self.endtime is None and self.status in (None, "RUNNING")


class _BackupJob(_Row):
    id: str
    enabled: Flag = True
    due: int | None = Field(default=None, alias="next-run")
    node: str | None = None
    vmid: Text = ""
    pool: str | None = None
    all: Flag = False
    exclude: Text = ""


class _TaskStatus(_Row):
    status: str
    exitstatus: str = ""


def _parse(kind: Any, answer: Any) -> Any:
    try:
        return TypeAdapter(kind).validate_python(answer)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RoadError(f"Proxmox answered what this version does not understand: {place}: {first['msg']}") from error


def parse_guests(answer: Any) -> tuple[GuestSummary, ...]:
    """``GET /cluster/resources?type=vm``; rows of unknown types are left out."""
    rows: tuple[_Resource, ...] = _parse(tuple[_Resource, ...], answer)
    return tuple(_guest(row) for row in rows if row.type in _GUEST_TYPES)


def _guest(row: _Resource) -> GuestSummary:
    return GuestSummary(
        ref=GuestRef(row.vmid, row.node, _GUEST_TYPES[row.type]),
        name=row.name,
        running=row.status == "running",
        template=row.template,
        tags=parse_tags(row.tags),
        lock=row.lock,
        pool=row.pool,
    )


def parse_nodes(answer: Any) -> tuple[str, ...]:
    """``GET /nodes``: their names, sorted."""
    rows: tuple[_Node, ...] = _parse(tuple[_Node, ...], answer)
    return tuple(sorted(row.node for row in rows))


def parse_config(ref: GuestRef, answer: Any) -> GuestConfig:
    """``GET config?current=1``. Raw ``lxc`` entries become one ``key: value`` line each."""
    values: dict[str, Any] = _parse(dict[str, Any], answer)
    digest = str(values.pop("digest", ""))
    return GuestConfig(ref, digest, {key: _text(value) for key, value in values.items()})


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(": ".join(str(part) for part in pair) for pair in value)
    return str(int(value)) if isinstance(value, bool) else str(value)


def parse_pending(answer: Any) -> Mapping[str, str | None]:
    """``GET pending`` reduced to what waits: key to new value, None for a deletion."""
    rows: tuple[_Pending, ...] = _parse(tuple[_Pending, ...], answer)
    return {row.key: row.pending for row in rows if row.pending is not None or row.delete}


def parse_power(answer: Any, ignored: bool) -> Power:
    """``GET status/current``. It calls a guest that HA is to ignore unmanaged: ``ignored`` is known from elsewhere."""
    row: _Status = _parse(_Status, answer)
    running = row.status == "running"
    state = "ignored" if ignored else row.ha.state
    return Power(running, int(row.uptime or 0) if running else 0, row.ha.managed, state)


def is_ha_managed(answer: Any) -> bool:
    """Whether ``GET status/current`` says so."""
    row: _Status = _parse(_Status, answer)
    return row.ha.managed


def parse_ha_state(answer: Any) -> str:
    """``GET /cluster/ha/resources/SID``: the requested state; without one Proxmox means ``started``."""
    values: dict[str, Any] = _parse(dict[str, Any], answer)
    return str(values.get("state") or "started")


def parse_addresses(answer: Any) -> tuple[str, ...] | None:
    """``GET interfaces``: addresses other hosts can use, IPv4 first; None when the guest is not running."""
    if answer is None:
        return None
    rows: tuple[_Interface, ...] = _parse(tuple[_Interface, ...], answer)
    return _usable(address.address for row in rows if row.name != "lo" for address in row.addresses)


def parse_static_addresses(config: GuestConfig) -> tuple[str, ...]:
    """The fixed addresses of ``net0``; none where it says ``dhcp``, ``auto`` or ``manual``."""
    pairs = dict(part.partition("=")[::2] for part in config.values.get("net0", "").split(","))
    return _usable(pairs.get(key, "").partition("/")[0] for key in ("ip", "ip6"))


def _usable(texts: Iterable[str]) -> tuple[str, ...]:
    found = [address for text in texts if (address := _address(text)) is not None]
    usable = [a for a in found if not (a.is_link_local or a.is_multicast or a.is_unspecified)]
    return tuple(str(address) for address in sorted(usable, key=lambda address: address.version))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def parse_storages(answer: Any) -> tuple[StorageSpace, ...]:
    """``GET /nodes/N/storage``."""
    rows: tuple[_Storage, ...] = _parse(tuple[_Storage, ...], answer)
    return tuple(
        StorageSpace(row.storage, row.type, row.avail, row.active, "rootdir" in row.content.split(",")) for row in rows
    )


def parse_volumes(answer: Any, owner: int) -> tuple[Volume, ...]:
    """``GET .../content?vmid=``, again filtered by the owner that the storage itself names."""
    rows: tuple[_Content, ...] = _parse(tuple[_Content, ...], answer)
    return tuple(
        Volume(row.volid, row.vmid, row.about if row.size is None else row.size, _instant(row.ctime))
        for row in rows
        if row.vmid == owner
    )


def _instant(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def parse_task(answer: Any) -> TaskResult:
    """``GET tasks/UPID/status``."""
    row: _TaskStatus = _parse(_TaskStatus, answer)
    running = row.status == "running"
    ok = not running and _ended_well(row.exitstatus)
    if running or ok:
        return TaskResult(running, ok, row.exitstatus)
    return TaskResult(running, ok, row.exitstatus, find_lock(row.exitstatus), is_storage_away(row.exitstatus))


def parse_tasks(answers: Sequence[Any], vmid: int) -> tuple[TaskSummary, ...]:
    """Task lists of one node joined: those of guest ``vmid``, each once, oldest first.

    A ``move_volume`` task to another guest has no VMID as id but ``SOURCE-KEY>TARGET-KEY``; it counts for both.
    """
    rows: list[_Task] = [row for answer in answers for row in _parse(tuple[_Task, ...], answer)]
    found = {row.upid: row for row in reversed(rows) if vmid in _guests_of(row)}  # listed newest first
    return tuple(_task(row) for row in sorted(found.values(), key=lambda row: row.starttime))


def parse_active(answer: Any) -> tuple[ActiveTask, ...]:
    """``GET /nodes/N/tasks?source=active``, without those that have ended and are not archived yet."""
    rows: tuple[_Task, ...] = _parse(tuple[_Task, ...], answer)
    return tuple(_active_task(row) for row in rows if row.is_running)


def parse_begun(answer: Any) -> tuple[ActiveTask, ...]:
    """``GET /nodes/N/tasks?source=all``, without those that failed."""
    rows: tuple[_Task, ...] = _parse(tuple[_Task, ...], answer)
    return tuple(_active_task(row) for row in rows if row.is_running or _ended_well(row.status or ""))


def _ended_well(status: str) -> bool:
    return status == "OK" or status.startswith("WARNINGS:")


def _active_task(row: _Task) -> ActiveTask:
    return ActiveTask(row.upid, row.type, next(iter(_guests_of(row)), None))


def parse_backup_jobs(answer: Any) -> tuple[BackupJob, ...]:
    """``GET /cluster/backup``: a pool goes before numbers, and they before all (``VZDump::get_included_guests``)."""
    rows: tuple[_BackupJob, ...] = _parse(tuple[_BackupJob, ...], answer)
    return tuple(_backup_job(row) for row in rows if row.enabled)


def _backup_job(row: _BackupJob) -> BackupJob:
    vmids, excluded = _numbers(row.vmid), _numbers(row.exclude)
    return BackupJob(row.id, _instant(row.due), row.node or None, vmids, row.pool, row.all and not vmids, excluded)


def _numbers(text: str) -> frozenset[int]:
    return frozenset(int(word) for word in re.split(r"[,;\s]+", text) if word.isdecimal())


def _guests_of(row: _Task) -> tuple[int, ...]:
    moved = _MOVE_ID.match(row.id)
    if moved:
        return int(moved[1]), int(moved[2])
    return (int(row.id),) if row.id.isdecimal() else ()


def _task(row: _Task) -> TaskSummary:
    started = datetime.fromtimestamp(row.starttime, UTC)
    return TaskSummary(Upid(row.upid), row.type, next(iter(_guests_of(row)), None), started, row.is_running)


def parse_rights(answer: Any) -> Mapping[str, frozenset[str]]:
    """``GET /access/permissions``: ACL path to the privileges held on it; their propagate flags are left out."""
    paths: dict[str, dict[str, Any]] = _parse(dict[str, dict[str, Any]], answer)
    return {path: frozenset(privileges) for path, privileges in paths.items()}


def parse_upid(answer: Any) -> Upid:
    """The task that a changing call began."""
    return Upid(_parse(str, answer))
