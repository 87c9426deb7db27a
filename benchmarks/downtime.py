"""How long a customer is away: an exchange of the root, and its way back, against a plain reboot of the same guest.

``python -m benchmarks.downtime [PAIRS]`` (root and LXC). One real guest, two template versions of the same Debian, a
client outside that asks every 5 ms. Each pair is a plain reboot and, after it, the engine's own write and restart,
to the new root and back in turn. Printed: medians, the ratio of medians and its 95 % confidence interval (bootstrap).
"""

import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from tests.lab.client import Client
from tests.lab.condition import until
from tests.lab.datacentre import PVE1, STORAGE, Datacentre, GuestPlan, open_datacentre
from tests.lab.image import Debian, TemplateVersion, build_images
from tests.lab.lab import Lab
from tests.lab.place import HOME
from zlh_hooks import wiring
from zlh_hooks.adapters.clock import SystemClock
from zlh_hooks.application import root_step
from zlh_hooks.application.journal import Journal, Patience
from zlh_hooks.application.ports import Cluster
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.settings import load_settings

VMID = 5001
SCRATCH = 890000
PATIENCE = timedelta(minutes=3)
VERSIONS = (TemplateVersion("1", Debian.BOOKWORM), TemplateVersion("2", Debian.BOOKWORM))
RESAMPLES = 5000
LIMIT_RATIO = 1.15
LIMIT_SECONDS = 0.1


@dataclass
class Bench:
    """One guest with a second root beside the first."""

    datacentre: Datacentre
    client: Client
    cluster: Cluster
    journal: Journal
    guest: GuestRef = field(default_factory=lambda: GuestRef(VMID, PVE1.name))
    acts: int = 0

    def stage(self) -> str:
        """Bring the second version's root to the guest as an unused volume; its volume id."""
        node = self.datacentre.api.nodes(PVE1.name)
        self.datacentre.wait_task(
            PVE1.name, node.lxc(PVE1.template_vmid(1)).clone.post(newid=SCRATCH, full=1, storage=STORAGE)
        )
        x = GuestRef(SCRATCH, PVE1.name)
        self.journal.run(root_step.AddFiller("filler", self.cluster, x, STORAGE))
        swapped = self.journal.run(root_step.DetachRoot("detach", self.cluster, x))
        given = self.journal.run(root_step.GiveRoot("give", self.cluster, x, swapped["key"], self.guest))
        self.datacentre.wait_task(PVE1.name, node.lxc(SCRATCH).delete())
        return str(given["volume"])

    def reboot(self) -> None:
        """A plain reboot, as any operator does it."""
        status = self.datacentre.api.nodes(PVE1.name).lxc(VMID).status
        self.datacentre.wait_task(PVE1.name, status.reboot.post(timeout=60))

    def exchange(self, old: str, new: str) -> None:
        """The engine's exchange, or with the volumes exchanged its way back."""
        self.acts += 1
        put = root_step.PutRoot(f"put {self.acts}", self.cluster, self.guest, old, new, "1G")
        self.journal.run(put)
        restart = root_step.Restart(f"restart {self.acts}", self.cluster, self.guest, new, timedelta(seconds=60))
        self.journal.run(restart)

    def measure(self, act: Callable[[], None]) -> float:
        """Seconds without an answer during the act, as seen from outside."""
        before = len(self.client.read()[VMID].outages)
        act()
        deadline = time.monotonic() + PATIENCE.total_seconds()
        while len(outages := self.client.read()[VMID].outages) == before or self.client.read()[VMID].down_since:
            if time.monotonic() > deadline:
                raise RuntimeError("the client saw no end of the outage")
            time.sleep(0.05)
        return sum(length for _, length in outages[before:])


def resample_ratio(exchanged: Sequence[float], rebooted: Sequence[float]) -> tuple[float, float]:
    """The 95 % confidence interval of the ratio of medians: pairs drawn with replacement."""
    chance = random.Random(1)
    pairs = list(zip(exchanged, rebooted, strict=True))
    ratios = []
    for _ in range(RESAMPLES):
        drawn = chance.choices(pairs, k=len(pairs))
        ratios.append(statistics.median(a for a, _ in drawn) / statistics.median(b for _, b in drawn))
    ratios.sort()
    return ratios[int(RESAMPLES * 0.025)], ratios[int(RESAMPLES * 0.975)]


def print_comparison(name: str, exchanged: Sequence[float], rebooted: Sequence[float]) -> bool:
    """One line; whether the limits hold."""
    ours, plain = statistics.median(exchanged), statistics.median(rebooted)
    low, high = resample_ratio(exchanged, rebooted)
    holds = ours / plain <= LIMIT_RATIO or ours - plain <= LIMIT_SECONDS
    print(
        f"{name}: {len(exchanged)} pairs, median {ours:.3f} s against {plain:.3f} s for a plain reboot; "
        f"ratio {ours / plain:.3f} (95 % {low:.3f} to {high:.3f}), {1000 * (ours - plain):+.0f} ms; "
        f"limit 1.15 or +100 ms: {'holds' if holds else 'MISSED'}"
    )
    return holds


def run(bench: Bench, pairs: int) -> bool:
    """Interleaved: reboot, exchange, reboot, way back; ``pairs`` of each."""
    until(lambda: VMID in bench.client.read() and bench.client.read()[VMID].acknowledged > 0, 30, "the client plays")
    old, new = bench.datacentre.config(VMID)["rootfs"].split(",")[0], bench.stage()
    there: tuple[list[float], list[float]] = ([], [])
    back: tuple[list[float], list[float]] = ([], [])
    for _ in range(pairs):
        there[1].append(bench.measure(bench.reboot))
        there[0].append(bench.measure(lambda: bench.exchange(old, new)))
        back[1].append(bench.measure(bench.reboot))
        back[0].append(bench.measure(lambda: bench.exchange(new, old)))
    results = [print_comparison("exchange", *there), print_comparison("way back", *back)]
    return all(results)


def main(pairs: int) -> int:
    """Set the lab up, measure, and say whether the limits hold."""
    build_images()
    plan = GuestPlan(VMID, PVE1)
    with Lab(HOME / "downtime") as lab, open_datacentre(lab, VERSIONS, [plan]) as datacentre:
        settings = load_settings(Path(datacentre.settings))
        cluster = wiring.open_cluster(settings)
        ledger = wiring.open_ledger(settings)
        clock = SystemClock()
        journal = Journal(
            ledger=ledger,
            tasks=cluster.tasks,
            clock=clock,
            rollout="benchmark",
            target=VMID,
            patience=Patience(PATIENCE, PATIENCE),
        )
        client = datacentre.client()
        bench = Bench(datacentre, client, cluster, journal)
        try:
            return 0 if run(bench, pairs) else 1
        finally:
            client.close()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 30))
