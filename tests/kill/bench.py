"""One simulated site whose workers are real processes, started and killed one after another."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kill.launcher import SWIFT
from tests.kill.process import WorkerProcess
from tests.platform.guest import Conduct
from tests.platform.site import SimulatedSite, open_site
from tests.stand_in.fault import Fault, Faults
from zlh_hooks import wiring
from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.progress import Progress, fold_progress
from zlh_hooks.domain.steps import RolloutEvent, RolloutState

GUESTS = 2
PATIENCE_SECONDS = 90.0
THIRD = Conduct(unhealthy_after=0.2, numbers=range(5000, 6000))
"""Fails as every customer's guest, before ``min_healthy_time``, and never as a smoke guest: however late it is asked."""
RULES = "max_parallel = 1"
_KEPT_SINCE = re.compile(r"(zlh-kept-root\.ROLLOUT\.\w+\.\d+\.)\d+")
ENDED = (RolloutState.SUCCEEDED, RolloutState.REVERTED, RolloutState.ABORTED, RolloutState.STUCK)


class WatchedFaults(Faults):
    """Remembers every changing request, whether a fault strikes it or not."""

    def __init__(self) -> None:
        super().__init__()
        self.requests_seen: list[tuple[str, int]] = []

    def take_request(self, call: str, vmid: int) -> Fault | None:
        self.requests_seen.append((call, vmid))
        return super().take_request(call, vmid)


def own_network() -> int:
    """The second number of the guests' loopback addresses: tests run side by side in processes of their own."""
    return 130 + os.getpid() % 120


@dataclass
class Bench:
    """A site, the tester's own view of its ledger, and the worker processes."""

    site: SimulatedSite
    view: wiring.Site
    faults: WatchedFaults
    swift: bool = True
    workers: list[WorkerProcess] = field(default_factory=list)

    # ---------------------------------------------------------------- orders

    def submit(self, version: str) -> Plan:
        """Order a rollout. No worker is started."""
        plan = self.view.planner().plan_rollout("game-base", version, "tester")
        self.view.desk().submit(plan)
        return plan

    def progress(self, plan: Plan) -> Progress:
        """How it stands."""
        return fold_progress(self.view.ledger.read(plan.id))

    # --------------------------------------------------------------- workers

    def start(self, *options: str, die_after: int = 0) -> WorkerProcess:
        """Start a worker process; it kills itself when the ledger holds the entry ``die_after``."""
        swift = [SWIFT] if self.swift else []
        arguments = [*swift, str(die_after), "worker", *options, *self.site.options]
        log = self.site.directory / f"worker-{len(self.workers)}.log"
        self.workers.append(WorkerProcess(arguments, log, forked=self.swift))
        return self.workers[-1]

    def kill(self) -> None:
        """SIGKILL the latest worker and see it gone."""
        self.workers[-1].kill(PATIENCE_SECONDS)

    def kill_at_request(self, number: int, *, after: bool) -> None:
        """SIGKILL the latest worker at a changing request from now on: before it is executed, or before its answer."""
        self.faults.requests.append(Fault(nth=number, after=after, act=self.kill))

    def wait_for(self, condition: Callable[[], bool], worker: WorkerProcess | None = None) -> None:
        """Until it is so; fails when the time is over, or if the worker fails before."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if worker is not None and worker.poll() not in (None, 0):
                raise AssertionError(f"the worker ended with {worker.poll()}: {worker.said()}")
            assert time.monotonic() < deadline, "it did not come to that"
            time.sleep(0.03)

    # ------------------------------------------------------------------ look

    def is_over(self, plan: Plan) -> bool:
        """The rollout has ended and its controller has let go of the cluster."""
        ended = any(is_end(entry) for entry in reversed(self.view.ledger.read(plan.id)))
        return ended and self.progress(plan).state in ENDED and not self.claims()

    def claims(self) -> list[str]:
        """The controllers' claims on templates."""
        return [part for ct in self.site.pve.cts for part in tags_of(ct) if part.startswith("zlh-lease.")]

    def world(self, plan: Plan) -> dict[str, Any]:
        """All that is there: guests with configs, pending changes and power, volumes, versions that run."""

        def look() -> dict[str, Any]:
            pve = self.site.pve
            guests: dict[str, Any] = {f"guest {ct.vmid}": _describe(ct, plan.id) for ct in pve.cts}
            volumes = [volume.volid for name in pve.storages for volume in self.site.volumes.list(name)]
            return guests | {"volumes": sorted(volumes), "versions": self.site.versions()}

        found: dict[str, Any] = self.site.serving.call(look)
        return found


def is_end(entry: Entry) -> bool:
    """Whether the entry ends a rollout."""
    ends = (RolloutEvent.SUCCEEDED, RolloutEvent.REVERTED, RolloutEvent.ABORTED, RolloutEvent.LEFT_STUCK)
    return entry.target is None and entry.kind is Kind.EVENT and entry.name in ends


def tags_of(ct: Any) -> list[str]:
    """The tags of a simulated guest."""
    return [part for part in str(ct.config.get("tags", "")).split(";") if part]


def _describe(ct: Any, rollout: str) -> dict[str, Any]:
    config = {key: str(value).replace(rollout, "ROLLOUT") for key, value in sorted(ct.config.items())}
    tags = ";".join(sorted(tags_of(ct))).replace(rollout, "ROLLOUT")
    config["tags"] = _KEPT_SINCE.sub(r"\1WHEN", tags)
    return {"config": config, "pending": dict(ct.pending), "power": ct.status, "lock": ct.lock, "node": ct.node}


@contextmanager
def open_bench(directory: Path, swift: bool = True, rules: str = RULES, guests: int = GUESTS) -> Iterator[Bench]:
    """A site with two guests on two nodes; whatever still runs in the end is killed."""
    deadline = "10s" if swift else "20s"
    with open_site(directory, guests, rules, own_network(), deadline, THIRD) as site:
        site.pve.faults = faults = WatchedFaults()
        options = [Path(option) for option in site.options if not option.startswith("--")]
        bench = Bench(site, wiring.open_site(options[0], options[1]), faults, swift)
        try:
            yield bench
        finally:
            for worker in bench.workers:
                worker.kill(PATIENCE_SECONDS)
            bench.view.ledger.close()
