"""Simulated guests with real sockets: each running one answers as a ZLH agent on a loopback address of its own."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.stand_in.backend import GuestSpec, MemoryRuntime, MemoryVolumes


class VersionedVolumes(MemoryVolumes):
    """Volumes that remember which template version was written to them; copies inherit it."""

    def __init__(self, kinds: dict[str, str]) -> None:
        super().__init__(kinds)
        self.versions: dict[str, str] = {}

    def copy(self, volid: str, storage: str, owner: int) -> str:
        return self._carry(volid, super().copy(volid, storage, owner), keep=True)

    def rename(self, volid: str, owner: int) -> str:
        return self._carry(volid, super().rename(volid, owner))

    def make_base(self, volid: str) -> str:
        return self._carry(volid, super().make_base(volid))

    def free(self, volid: str) -> None:
        super().free(volid)
        self.versions.pop(volid, None)

    def _carry(self, before: str, after: str, keep: bool = False) -> str:
        version = self.versions.get(before) if keep else self.versions.pop(before, None)
        if version is not None:
            self.versions[after] = version
        return after


@dataclass(frozen=True, slots=True)
class Conduct:
    """What a version is like: from ``unhealthy_after`` seconds on its agent answers 503, in guests of these numbers."""

    unhealthy_after: float | None = None
    numbers: range = range(100, 1_000_000)

    def is_well(self, vmid: int, seconds: float) -> bool:
        """Whether the guest's agent is still healthy after so long."""
        return self.unhealthy_after is None or vmid not in self.numbers or seconds < self.unhealthy_after


class AgentRuntime(MemoryRuntime):
    """Running guests answer ``/health`` and ``/status`` on their address while they run."""

    def __init__(self, volumes: VersionedVolumes, conducts: dict[str, Conduct], network: int, port: int) -> None:
        super().__init__()
        self._volumes = volumes
        self._conducts = conducts
        self._network = network
        self._port = port
        self._servers: dict[int, ThreadingHTTPServer] = {}
        self._guard = threading.Lock()

    def address(self, vmid: int) -> str | None:
        return self._address(vmid) if self.is_running(vmid) else None

    def version(self, vmid: int) -> str:
        """The template version that runs in the guest."""
        return self._volumes.versions.get(self.running[vmid].config["rootfs"].split(",")[0], "")

    def start(self, guest: GuestSpec) -> None:
        super().start(guest)
        server = ThreadingHTTPServer((self._address(guest.vmid), self._port), self._handler(guest.vmid))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        with self._guard:
            self._servers[guest.vmid] = server

    def stop(self, vmid: int) -> None:
        with self._guard:
            server = self._servers.pop(vmid, None)
        if server is not None:
            server.shutdown()
            server.server_close()
        super().stop(vmid)

    def stop_all(self) -> None:
        """End every guest."""
        for vmid in tuple(self.running):
            self.stop(vmid)

    def _address(self, vmid: int) -> str:
        return f"127.{self._network}.{vmid // 250 % 250 + 1}.{vmid % 250 + 1}"

    def _handler(self, vmid: int) -> type[BaseHTTPRequestHandler]:
        version = self.version(vmid)
        conduct = self._conducts.get(version, Conduct())
        began = time.monotonic()
        return _agent(version, lambda: conduct.is_well(vmid, time.monotonic() - began))


def _agent(version: str, is_well: Callable[[], bool]) -> type[BaseHTTPRequestHandler]:
    class Agent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"state": "running", "version": "1.0.0", "template": version}).encode()
            self.send_response(200 if is_well() else 503)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    return Agent
