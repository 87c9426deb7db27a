"""Somebody at a terminal who orders rollouts in the lab, and the customer who plays meanwhile."""

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.lab.client import Client, list_faults
from tests.lab.condition import until
from tests.lab.datacentre import Datacentre
from tests.lab.demo import POLICY
from tests.open_window import ALWAYS_OPEN

QUICK = POLICY.replace('min_healthy_time = "5s"', 'min_healthy_time = "5s"\nlease = "2s"')
"""The demo's, with a worker whose death is known soon."""


def close_window(policy: str = QUICK) -> str:
    """The policy with a window that opens in six hours."""
    opening = datetime.now(UTC) + timedelta(hours=6)
    window = f'[[windows]]\nname = "later"\nrule = "FREQ=DAILY"\nstart = "{opening:%H:%M}"\nlength_minutes = 120\n'
    return policy.replace(ALWAYS_OPEN, window)


class Operator:
    """Every guest of the datacentre runs, and is played on until ``client`` is closed."""

    def __init__(self, datacentre: Datacentre, directory: Path, policy: str = QUICK) -> None:
        self.datacentre = datacentre
        self.policy = directory / "policy.toml"
        self.policy.write_text(policy)
        self.client: Client = datacentre.client(directory)
        until(lambda: len(self.client.read()) == len(datacentre.guests), 20, "the client plays")

    def type(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return self.datacentre.type(self.policy, *words)

    def start(self, version: str) -> None:
        """Order a rollout that nobody watches."""
        started = self.type("rollout", "start", "game-base", "--to", version, "--yes", "--detach")
        assert started.returncode == 0, started.stderr

    def status(self) -> Any:
        """The latest rollout, as it is told to programs."""
        return json.loads(self.type("rollout", "status", "--json").stdout)

    def states(self) -> dict[int, str]:
        """Guest to its state in the latest rollout."""
        return {row["vmid"]: row["state"] for row in self.status()["targets"]}

    def wait_for(self, look: Callable[[], bool], what: str) -> None:
        """Asked seldom: each command is a process that computes beside the guests."""
        until(look, 120, what, pause=0.3)

    def versions(self) -> dict[int, str]:
        """Guest to the template version read inside it."""
        return {plan.vmid: self.datacentre.read_version(plan.vmid) for plan in self.datacentre.guests}

    def assert_customers_lost_nothing(self) -> None:
        """Acknowledged records, fixed files, and no volume or guest that was only meant for a while."""
        for vmid, seen in self.client.read().items():
            assert seen.acknowledged > 0
            inventory = self.datacentre.read_inventory(vmid)
            assert list_faults(seen, inventory, self.datacentre.fixed[vmid]) == []
        assert [vmid for vmid in map(int, self._owners()) if vmid >= 890000] == []

    def _owners(self) -> set[str]:
        return {volume.partition(":")[2].partition("/")[0] for volume in self.datacentre.list_volumes()}
