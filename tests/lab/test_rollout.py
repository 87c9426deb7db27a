"""Rollouts by the real command line and worker on real containers: success, revert, and a worker that is killed."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.client import Client, list_faults
from tests.lab.condition import until
from tests.lab.datacentre import PVE1, PVE2, Datacentre, GuestPlan, open_datacentre
from tests.lab.demo import POLICY
from tests.lab.lab import Lab
from tests.platform.site import kill_workers

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]
GUESTS = (GuestPlan(5001, PVE1), GuestPlan(5004, PVE2))


class Operator:
    """Somebody at a terminal, and the customer who plays meanwhile."""

    def __init__(self, datacentre: Datacentre, directory: Path) -> None:
        self.datacentre = datacentre
        self.policy = directory / "policy.toml"
        self.policy.write_text(POLICY.replace('min_healthy_time = "5s"', 'min_healthy_time = "5s"\nlease = "2s"'))
        self.client: Client = datacentre.client(directory)
        until(lambda: len(self.client.read()) == len(GUESTS), 20, "the client plays")

    def type(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return self.datacentre.type(self.policy, *words)

    def states(self) -> dict[int, str]:
        """Guest to its state in the latest rollout."""
        return {
            row["vmid"]: row["state"] for row in json.loads(self.type("rollout", "status", "--json").stdout)["targets"]
        }

    def versions(self) -> dict[int, str]:
        """Guest to the template version read inside it."""
        return {plan.vmid: self.datacentre.read_version(plan.vmid) for plan in GUESTS}

    def assert_customers_lost_nothing(self) -> None:
        """Acknowledged records, fixed files, and no volume or guest that was only meant for a while."""
        for vmid, seen in self.client.read().items():
            assert seen.acknowledged > 0
            inventory = self.datacentre.read_inventory(vmid)
            assert list_faults(seen, inventory, self.datacentre.fixed[vmid]) == []
        assert [vmid for vmid in map(int, self._owners()) if vmid >= 890000] == []

    def _owners(self) -> set[str]:
        return {volume.partition(":")[2].partition("/")[0] for volume in self.datacentre.list_volumes()}


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def operator(lab: Lab, tmp_path: Path) -> Iterator[Operator]:
    with open_datacentre(lab, guests=GUESTS) as datacentre:
        someone = Operator(datacentre, tmp_path)
        yield someone
        someone.client.close()
        assert datacentre.pve.foreign == []


def test_a_rollout_whose_worker_is_killed_in_the_exchange_goes_on_and_a_revert_brings_every_guest_back(
    operator: Operator,
) -> None:
    started = operator.type("rollout", "start", "game-base", "--to", "2", "--yes", "--detach")
    assert started.returncode == 0, started.stderr
    _wait(lambda: operator.states()[5001] in ("APPLYING", "PROVING"))
    kill_workers(operator.datacentre.settings)
    watched = operator.type("rollout", "watch")
    assert watched.returncode == 0, watched.stdout + watched.stderr
    assert operator.versions() == {5001: "2", 5004: "2"}
    operator.assert_customers_lost_nothing()

    reverted = operator.type("rollout", "revert", "--reason", "a rehearsal")
    assert reverted.returncode == 0, reverted.stdout + reverted.stderr
    assert operator.versions() == {5001: "1", 5004: "1"}
    assert set(operator.states().values()) == {"REVERTED"}
    operator.assert_customers_lost_nothing()
    guests = [volume for volume in operator.datacentre.list_volumes() if "/base-" not in volume]
    assert len(guests) == 2 * len(GUESTS), guests
