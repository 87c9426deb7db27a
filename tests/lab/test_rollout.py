"""Rollouts by the real command line and worker on real containers: success, revert, and a worker that is killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.condition import until
from tests.lab.datacentre import PVE1, PVE2, GuestPlan, open_datacentre
from tests.lab.lab import Lab
from tests.lab.rollout_bench import Operator
from tests.platform.site import kill_workers

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]
GUESTS = (GuestPlan(5001, PVE1), GuestPlan(5004, PVE2))


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
    operator.start("2")
    until(lambda: operator.states()[5001] in ("APPLYING", "PROVING"), 120, "exchange")
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
