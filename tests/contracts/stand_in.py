"""The real adapter over HTTPS against the stand-in, with a least-privilege token, as a bench for the contracts."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.stand_in.backend import MemoryRuntime
from tests.stand_in.client import connect
from tests.stand_in.pve import StandInPve
from tests.stand_in.serving import Serving, served
from zlh_hooks.application.ports import Cluster, TaskResult, Upid
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.right import GUEST_PRIVILEGES

_NODE, _LINE = "n1", "zlh-line.game-base;zlh-version."


@dataclass(frozen=True, slots=True)
class StandInBench:
    """One node, one storage, a template, a running guest and a stopped one; see ``bench.Bench``."""

    cluster: Cluster
    begun: datetime
    serving: Serving
    runtime: MemoryRuntime

    def lock(self, guest: GuestRef, lock: str) -> None:
        self.serving.call(lambda: self.serving.pve.edit_guest(guest.vmid, lock=lock))

    def power_off_inside(self, guest: GuestRef) -> None:
        self.runtime.leave_inside(guest.vmid, reboot=False)

    def restart_inside(self, guest: GuestRef) -> None:
        self.runtime.leave_inside(guest.vmid, reboot=True)

    def back_up_several(self) -> None:
        self.serving.wait(self.serving.pve.work(_NODE, "vzdump"))

    def plan_backups(self, due: datetime) -> None:
        """As ``GET /cluster/backup`` of pve-manager answers, one that is switched off among them."""
        common = {"type": "vzdump", "enabled": 1, "schedule": "daily", "next-run": int(due.timestamp())}
        self.serving.pve.backup_jobs += [
            common | {"id": "numbers", "vmid": "5001"},
            common | {"id": "pool", "pool": "customers"},
            common | {"id": "all", "all": 1, "exclude": "5001"},
            {"id": "off", "type": "vzdump", "enabled": 0, "schedule": "daily", "all": 1},
        ]

    def wait(self, upid: Upid) -> TaskResult:
        deadline = time.monotonic() + 20
        while (result := self.cluster.tasks.read_task(upid)).running and time.monotonic() < deadline:
            time.sleep(0.01)
        return result


@contextmanager
def open_stand_in() -> Iterator[StandInBench]:
    """A fresh one, served until the block ends. A clone takes a moment, so that its lock can be seen."""
    runtime = MemoryRuntime()
    pve = StandInPve(runtime=runtime, nodes=(_NODE,))
    pve.time_scale, pve.ct_secs["clone"] = 0.01, 60
    pve.add_guest(8002, node=_NODE, template=True, tags=f"{_LINE}2")
    pve.add_guest(5001, node=_NODE, data_path="/data", running=True, tags=f"{_LINE}1")
    pve.add_guest(5002, node=_NODE, data_path="/data", tags=f"{_LINE}1")
    pve.add_vm(600, "vm", node=_NODE)
    with TemporaryDirectory() as directory, served(pve, Path(directory), GUEST_PRIVILEGES) as serving:
        proxmox = connect(serving)
        cluster = Cluster(proxmox, proxmox, proxmox, proxmox, proxmox, proxmox, proxmox)
        yield StandInBench(cluster, datetime.now(UTC), serving, runtime)
        assert pve.foreign == []
