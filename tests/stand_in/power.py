"""Starting and stopping: pending changes apply when a guest stops, whoever stopped it, and again when it starts.

Follows ``vm_start``, ``vm_stop`` and ``vm_reboot`` (``LXC.pm``) and ``lxc-pve-poststop-hook`` of pve-container 6.1.10.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from fakepve import FakeCt, TaskError

from tests.stand_in.backend import GuestSpec, Runtime
from tests.stand_in.config import ConfigApi, spec_of, volume_of

_log = logging.getLogger(__name__)
_INSIDE_SECONDS = 30.0


class PowerApi(ConfigApi):
    """Power over a real runtime. ``hooks`` holds each (vmid, phase) for which a guest's hookscript was called."""

    runtime: Runtime
    hooks: list[tuple[int, str]]
    run_hook: Callable[[FakeCt, str], None]
    """Runs a hookscript; an exception is its failure, which vetoes at ``pre-start`` only."""
    loop: asyncio.AbstractEventLoop | None

    async def _hook(self, ct: FakeCt, phase: str) -> None:
        if "hookscript" not in ct.config:
            return
        self.hooks.append((ct.vmid, phase))
        try:
            await asyncio.to_thread(self.run_hook, ct, phase)
        except Exception as error:  # whatever a hook does wrong is its failure
            if phase == "pre-start":
                raise TaskError(f"hookscript error for {ct.vmid} on pre-start: {error}") from error

    # ----------------------------------------------------------------- start

    async def _start_steps(self, ct: FakeCt, user: str, skiplock: bool = False) -> None:
        if ct.template:
            raise TaskError("you can't start a CT if it's a template")
        if not skiplock:
            self._task_lock(ct, allow=("mounted",))
        await self._settle_pending(ct)
        await self._check_volumes(ct)
        await self._hook(ct, "pre-start")
        await self.pause(ct.start_secs)
        if ct.start_error:
            raise TaskError(ct.start_error)
        await self._run(ct)
        await self._hook(ct, "post-start")

    async def _run(self, ct: FakeCt) -> None:
        try:
            await asyncio.to_thread(self.runtime.start, spec_of(ct))
        except Exception as error:  # a runtime of the lab may fail in any way
            _log.exception("guest %s did not start", ct.vmid)
            raise TaskError(f"startup for container '{ct.vmid}' failed") from error
        self._mark(ct, running=True)

    def _mark(self, ct: FakeCt, running: bool) -> None:
        ct.status = "running" if running else "stopped"
        ct.started_at = time.time() if running else None
        ct.pid = next(self._ct_pids) if running else None

    async def _check_volumes(self, ct: FakeCt) -> None:
        for key, value in ct.config.items():
            volume = volume_of(str(value)) if key == "rootfs" or key.startswith("mp") else None
            if volume and not await self._read_size(volume):
                raise TaskError(f"volume '{volume}' does not exist")

    # ------------------------------------------------------------------ stop

    async def _settle_pending(self, ct: FakeCt) -> None:
        """What waited comes into force; without quorum the config can't be written and it goes on waiting."""
        if ct.pending and self.quorate:
            errors = await self.apply_pending(ct, None, running=False)
            for text in errors.values():
                _log.warning("guest %s: %s", ct.vmid, text)

    async def _has_stopped(self, ct: FakeCt) -> None:
        self._mark(ct, running=False)
        await self._settle_pending(ct)
        await self._hook(ct, "post-stop")

    async def _ct_powerdown(self, ct: FakeCt, timeout: float, force: bool) -> None:
        await self._hook(ct, "pre-stop")
        await self.pause(min(ct.shutdown_secs, timeout))
        willing = ct.shutdown_secs <= timeout
        stopped = willing and await asyncio.to_thread(self.runtime.shutdown, ct.vmid, float(timeout))
        if not stopped:
            if not force:
                raise TaskError("container did not stop")
            await asyncio.to_thread(self.runtime.stop, ct.vmid)
        await self._has_stopped(ct)

    async def _lxc_stop(self, user: str, v: dict[str, Any]) -> str:
        ct = self._here(v)
        self._ct_running(ct, f"CT {v['vmid']} not running")
        if ct.ha_managed:
            return await self._ct_ha(ct, user, "stopped")

        async def body() -> None:
            self._task_lock(ct, allow=("mounted",))
            await self._hook(ct, "pre-stop")
            await self.pause(ct.stop_secs)
            await asyncio.to_thread(self.runtime.stop, ct.vmid)
            await self._has_stopped(ct)

        return await self._ct_task(ct, "vzstop", user, body)

    async def _ct_ha(self, ct: FakeCt, user: str, state: str, timeout: float | None = None) -> str:
        async def later() -> None:
            await self.pause(self.ha_delay)
            ct.ha_state = state
            if state == "started":
                await self._start_steps(ct, user)
            else:
                await self._ct_powerdown(ct, 60 if timeout is None else timeout, True)

        async def body() -> None:
            if self.time_scale:
                self.background.add(asyncio.ensure_future(later()))
            else:
                await later()

        return await self._ct_task(ct, "hastart" if state == "started" else "hastop", user, body, lock=False)

    # ---------------------------------------------------------------- inside

    def left_inside(self, vmid: int, reboot: bool) -> GuestSpec | None:
        """The guest stopped by itself; for the runtime's threads, never for this server's own."""
        if self.loop is None:
            return None
        left = asyncio.run_coroutine_threadsafe(self._left_inside(vmid, reboot), self.loop)
        return left.result(_INSIDE_SECONDS)

    async def _left_inside(self, vmid: int, reboot: bool) -> GuestSpec | None:
        ct = self.ct(vmid)
        if ct is None:
            return None
        if not reboot:
            await self._has_stopped(ct)
            return None
        await self._settle_pending(ct)  # the unit is restarted without a PVE start: no hook is called
        self._mark(ct, running=True)
        return spec_of(ct)

    # ------------------------------------------------------------------ look

    async def _lxc_status_current(self, user: str, v: dict[str, Any]) -> dict[str, Any]:
        data: dict[str, Any] = await super()._lxc_status_current(user, v)
        running = await asyncio.to_thread(self.runtime.is_running, int(v["vmid"]))
        data["status"] = "running" if running else "stopped"
        data["uptime"] = await asyncio.to_thread(self.runtime.uptime, int(v["vmid"]))
        return data

    async def _lxc_interfaces(self, user: str, v: dict[str, Any]) -> list[dict[str, Any]] | None:
        ct = self._find_ct(v["node"], v["vmid"])
        if not await asyncio.to_thread(self.runtime.is_running, ct.vmid):
            return None
        address = await asyncio.to_thread(self.runtime.address, ct.vmid)
        rows = [_interface("lo", "00:00:00:00:00:00", [("inet", "127.0.0.1", "8"), ("inet6", "::1", "128")])]
        found = [("inet6", "fe80::be24:11ff:fe00:1", "64"), *([("inet", address, "24")] if address else [])]
        return [*rows, _interface("eth0", "bc:24:11:00:00:01", found)]


def _interface(name: str, mac: str, addresses: list[tuple[str, str, str]]) -> dict[str, Any]:
    listed = [
        {"ip-address-type": family, "ip-address": address, "prefix": prefix} for family, address, prefix in addresses
    ]
    flat = {family: f"{address}/{prefix}" for family, address, prefix in addresses}
    return {"name": name, "hwaddr": mac, "hardware-address": mac, "ip-addresses": listed, **flat}
