"""The stand-in for Proxmox VE 9: fakepve's REST API and schema, over volumes and guests that are really there.

What fakepve invents, this owns: volumes, moves, pending changes at stop, HA, hooks, rights of tokens. It answers only the
requests in ``SUPPORTED``; any other is refused and noted in ``foreign``, so that a test can fail on it.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from fakepve import FakeCt, PveError, TaskError
from fakepve.server import API, USER, error, ok, params

from tests.stand_in.backend import MemoryRuntime, MemoryVolumes, Runtime, VolumeStore
from tests.stand_in.config import spec_of
from tests.stand_in.fault import Fault, Faults
from tests.stand_in.volume import VolumesApi, size_text

_GUEST = "/nodes/{node}/lxc/{vmid}"
_MACHINE = "/nodes/{node}/qemu/{vmid}"
CALLS: Mapping[tuple[str, str], str] = {
    ("PUT", f"{_GUEST}/config"): "write_config",
    ("PUT", f"{_MACHINE}/config"): "write_config",
    ("POST", f"{_GUEST}/clone"): "clone",
    ("POST", f"{_GUEST}/move_volume"): "move_volume",
    ("PUT", f"{_GUEST}/resize"): "resize",
    ("POST", f"{_GUEST}/template"): "template",
    ("DELETE", _GUEST): "destroy",
    ("POST", f"{_GUEST}/status/start"): "start",
    ("POST", f"{_GUEST}/status/stop"): "stop",
    ("POST", f"{_GUEST}/status/shutdown"): "shutdown",
    ("POST", f"{_GUEST}/status/reboot"): "reboot",
    ("PUT", "/cluster/ha/resources/{sid}"): "write_ha_state",
}
"""Changing requests and the names they are counted by."""

_READS = (
    "/version",
    "/nodes",
    "/cluster/status",
    "/cluster/backup",
    "/cluster/resources",
    "/cluster/ha/resources/{sid}",
    "/access/permissions",
    "/nodes/{node}/storage",
    "/nodes/{node}/storage/{storage}/content",
    "/nodes/{node}/tasks",
    "/nodes/{node}/tasks/{upid}/status",
    "/nodes/{node}/tasks/{upid}/log",
    f"{_GUEST}/config",
    f"{_GUEST}/pending",
    f"{_GUEST}/interfaces",
    f"{_GUEST}/status/current",
    f"{_MACHINE}/config",
    f"{_MACHINE}/status/current",
)
SUPPORTED = frozenset(CALLS) | {("GET", path) for path in _READS}
DEFAULT_STORAGES: Mapping[str, Mapping[str, Any]] = {
    "local": {"type": "dir", "content": "images,rootdir"},
    "tank": {"type": "lvmthin", "content": "rootdir"},
}
_GIB = 1024**3


def _run_nothing(_ct: FakeCt, _phase: str) -> None:
    """No hookscript is really called unless a test names one who does it."""


class StandInPve(VolumesApi):
    """One cluster. ``counts[(call, vmid)]``: how often each changing request was executed for a guest.
    ``exchanges[vmid]``: how many of its config writes named ``rootfs``."""

    def __init__(
        self,
        volumes: VolumeStore | None = None,
        runtime: Runtime | None = None,
        *,
        storages: Mapping[str, Mapping[str, Any]] = DEFAULT_STORAGES,
        nodes: tuple[str, ...] = ("pve1",),
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(host=host, port=port)
        self.nodes = {node: {"online": True} for node in nodes}
        self.storages = {name: {"active": 1, "files": set(), **options} for name, options in storages.items()}
        self.volumes = volumes or MemoryVolumes({name: options["type"] for name, options in storages.items()})
        self.runtime = runtime or MemoryRuntime()
        self.runtime.listen(self.left_inside)
        self.faults = Faults()
        self.counts: Counter[tuple[str, int]] = Counter()
        self.exchanges: Counter[int] = Counter()
        self.foreign: list[str] = []
        self.hooks: list[tuple[int, str]] = []
        self.run_hook: Callable[[FakeCt, str], None] = _run_nothing
        self.placed: dict[str, str] = {}
        self.backup_jobs: list[dict[str, Any]] = []
        self.clone_warnings = 1
        self.ha_wanted: dict[int, str] = {}
        self.background: set[asyncio.Future[None]] = set()
        self.loop: asyncio.AbstractEventLoop | None = None
        self._by_vmid: dict[int, FakeCt] = {}

    async def start(self, certfile: str, keyfile: str) -> None:
        """Listen on https://host:port."""
        self.loop = asyncio.get_running_loop()
        await super().start(certfile, keyfile)

    # ---------------------------------------------------------------- guests

    def add_guest(
        self,
        vmid: int,
        *,
        node: str = "pve1",
        storage: str = "local",
        root_size: int = _GIB,
        data_size: int | None = _GIB,
        data_path: str = "/srv/data",
        running: bool = False,
        template: bool = False,
        **config: Any,
    ) -> FakeCt:
        """A container with a root, data at ``data_path`` unless ``data_size`` is None (or it is a template), and more
        ``config`` on top. Its volumes are allocated in the store."""
        values: dict[str, Any] = {"arch": "amd64", "ostype": "debian", "memory": 512, "swap": 512, "unprivileged": 1}
        values |= {"hostname": f"ct{vmid}", "net0": "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth"}
        values["rootfs"] = self._new_volume(storage, vmid, root_size, template)
        if data_size is not None and not template:
            values["mp0"] = self._new_volume(storage, vmid, data_size, False, f"backup=1,mp={data_path},")
        return self.adopt(vmid, node, values | config, running=running, template=template)

    def _new_volume(self, storage: str, vmid: int, size: int, base: bool, options: str = "") -> str:
        volid = self.volumes.allocate(storage, vmid, size)
        return f"{self.volumes.make_base(volid) if base else volid},{options}size={size_text(size)}"

    def adopt(
        self, vmid: int, node: str, config: Mapping[str, Any], *, running: bool = False, template: bool = False
    ) -> FakeCt:
        """A container whose volumes are in the store already; started now if it shall run and does not."""
        ct = self.add_ct(vmid, node=node, defaults=False, config=dict(config), template=template)
        for _, mount in ct.volumes():
            self.placed[mount["volume"]] = node
        if running:
            self.run(ct)
        return ct

    def run(self, ct: FakeCt) -> None:
        """Let the container run from now on, without a task."""
        if not self.runtime.is_running(ct.vmid):
            self.runtime.start(spec_of(ct))
        self._mark(ct, running=True)

    def ct(self, vmid: int) -> FakeCt | None:
        """The container with this number, from an index."""
        return self._by_vmid.get(vmid)

    def add_ct(self, *args: Any, **kwargs: Any) -> FakeCt:
        """As fakepve's, indexed."""
        ct = super().add_ct(*args, **kwargs)
        self._by_vmid[ct.vmid] = ct
        return ct

    def add_index(self, ct: FakeCt) -> None:
        """A container that a request made."""
        self.cts.append(ct)
        self._by_vmid[ct.vmid] = ct

    def _drop(self, ct: FakeCt) -> None:
        super()._drop(ct)
        self._by_vmid.pop(ct.vmid, None)
        self.drop_acl(f"/vms/{ct.vmid}")

    def ct_resources(self, user: str, kind: str | None = None) -> list[dict[str, Any]]:
        """As fakepve's; a guest that HA is to ignore shows that."""
        rows: list[dict[str, Any]] = super().ct_resources(user, kind)
        for row in rows:
            if row["vmid"] in self.ha_wanted:
                row.setdefault("hastate", self.ha_wanted[row["vmid"]])
        return rows

    # -------------------------------------------------------- answers, faults

    async def _answer(
        self, request: web.Request, handler: Any, generic: Any, path_node: str | None
    ) -> web.StreamResponse:
        match = generic or self.resolve(request, API)
        key = (request.method, match.template if match else request.path)
        if key not in SUPPORTED:
            self.foreign.append(" ".join(key))
            return error(501, f"the stand-in does not answer {' '.join(key)}")
        if key not in CALLS:
            return await super()._answer(request, handler, generic, path_node)
        vmid = int(re.findall(r"\d+", match.params.get("vmid") or match.params["sid"])[0])
        return await self._execute(
            request, CALLS[key], vmid, lambda: super(StandInPve, self)._answer(request, handler, generic, path_node)
        )

    async def _execute(
        self, request: web.Request, call: str, vmid: int, execute: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        fault = self.faults.take_request(call, vmid)
        if fault and not fault.after:
            return await self._strike(request, fault)
        response = await execute()
        if response.status == 200:
            self.counts[(call, vmid)] += 1
        return await self._strike(request, fault) if fault else response

    @staticmethod
    async def _strike(request: web.Request, fault: Fault) -> web.Response:
        if fault.act:
            await asyncio.to_thread(fault.act)
        await asyncio.sleep(fault.delay)
        if fault.status is None and request.transport is not None:
            request.transport.abort()
        return error(fault.status or 500, fault.message)

    async def _lxc_config_put(self, user: str, v: dict[str, Any]) -> None:
        await super()._lxc_config_put(user, v)
        if "rootfs" in v:
            self.exchanges[int(v["vmid"])] += 1

    # ----------------------------------------------------------------- tasks

    def stumble(self, kind: str, after: bool) -> None:
        """End the running task as a fault wants it."""
        fault = self.faults.take_task(kind, after)
        if fault:
            raise TaskError(fault.exit_status)

    async def task(
        self, node: str, ttype: str, tid: Any, user: str, body: Callable[[], Awaitable[Any]], **kwargs: Any
    ) -> str:
        """As fakepve's, but whatever goes wrong ends the task: fakepve would leave it running for ever."""

        async def guarded() -> Any:
            try:
                if ttype != "vzclone":  # a clone stumbles inside, where it cleans up after itself
                    self.stumble(ttype, after=False)
                note = await body()
                self.stumble(ttype, after=True)
            except TaskError:
                raise
            except Exception as failure:
                raise TaskError(str(failure) or type(failure).__name__) from failure
            return note

        upid: str = await super().task(node, ttype, tid, user, guarded, **kwargs)
        return upid

    async def _task_list(self, request: web.Request) -> web.Response:
        """pve-manager's filters: VMID against the whole id, since, source; fakepve ignores the last two."""
        node, user = request.match_info["node"], request[USER]
        p = self._verify(request, await params(request))
        audit = self.allowed(user, f"/nodes/{node}", "Sys.Audit")
        rows = [
            self._task_view(task, True)
            for task in reversed(self.tasklog)
            if task["node"] == node and (audit or self._task_owner(user, task)) and _listed(task, p)
        ]
        for row in rows:
            row.setdefault("status", "RUNNING")
        start = p.get("start", 0)
        return ok(rows[start : start + p.get("limit", 50)])

    # -------------------------------------------------------------------- HA

    def _routes_stand_in(self) -> list[tuple[str, str, Any]]:
        resource = "/cluster/ha/resources/{sid}"
        return [
            ("POST", f"{_GUEST}/move_volume", self._move_volume),
            ("GET", resource, self._ha_read),
            ("GET", "/cluster/backup", self._backup_jobs),
            ("PUT", resource, self._ha_write),
        ]

    async def work(self, node: str, kind: str, ident: int | str = "") -> str:
        """Somebody else's task until the stand-in ends; a vzdump of several guests has no ``ident``."""
        self.time_scale = self.time_scale or 0.001  # with none a task has ended before anybody is answered
        return await self.task(node, kind, ident, "root@pam", asyncio.Event().wait)

    async def _backup_jobs(self, v: dict[str, Any], user: str) -> list[dict[str, Any]]:
        self.require(user, "/", "Sys.Audit")
        return self.backup_jobs

    def manage(self, vmid: int, state: str = "started") -> None:
        """Make the guest an HA resource."""
        self.ha_wanted[vmid] = state
        self._any(vmid).ha_state = None if state == "ignored" else state

    def _any(self, vmid: int) -> Any:
        """The container or virtual machine with this number."""
        return self._by_vmid.get(vmid) or self.vm(vmid)

    def _ha_guest(self, sid: str) -> Any:
        kind, _, number = sid.partition(":")
        guest = self._any(int(number)) if int(number) in self.ha_wanted else None
        if guest is None or (kind == "ct") != isinstance(guest, FakeCt):
            raise PveError(500, f"no such resource '{sid}'")
        return guest

    async def _ha_read(self, v: dict[str, Any], user: str) -> dict[str, Any]:
        self.require(user, "/", "Sys.Audit")
        guest = self._ha_guest(v["sid"])
        kind = v["sid"].partition(":")[0]
        return {"sid": v["sid"], "type": kind, "state": self.ha_wanted[guest.vmid], "digest": "0" * 40}

    async def _ha_write(self, v: dict[str, Any], user: str) -> None:
        self.need_quorum()
        ct, state = self._ha_guest(v["sid"]), v.get("state", "started")
        self.ha_wanted[ct.vmid] = state
        ct.ha_state = None if state == "ignored" else state
        if state != "ignored" and (state == "started") != (ct.status == "running"):
            await self._ct_ha(ct, "root@pam", state)

    # ------------------------------------------------- what others do meanwhile

    def delete_guest(self, vmid: int) -> None:
        """Somebody destroys the guest, by other means than this API."""
        ct = self._by_vmid[vmid]
        self.runtime.stop(vmid)
        for _, mount in ct.volumes():
            self.volumes.free(mount["volume"])
        self._drop(ct)

    def move_guest(self, vmid: int, node: str) -> None:
        """Somebody migrates the guest; its volumes go with it."""
        ct = self._by_vmid[vmid]
        ct.node = node
        self.placed.update({mount["volume"]: node for _, mount in ct.volumes()})

    def edit_guest(self, vmid: int, **values: Any) -> None:
        """Somebody edits the config; None deletes a key."""
        config = self._any(vmid).config
        config.update(values)
        for key in [key for key, value in values.items() if value is None]:
            del config[key]


def _listed(task: Mapping[str, Any], p: Mapping[str, Any]) -> bool:
    running, source = task["status"] == "running", p.get("source", "archive")
    if source != "all" and running != (source == "active"):
        return False
    wanted = (("vmid", task["id"]), ("typefilter", task["type"]))
    if any(name in p and str(p[name]) != str(value) for name, value in wanted):
        return False
    return p.get("since", 0) <= task["starttime"] <= p.get("until", time.time() + 1)
