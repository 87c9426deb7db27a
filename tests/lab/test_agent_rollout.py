"""A release of the agent goes out by the command line, the worker and real guests: forward, back, and no further."""

from collections.abc import Iterator

import pytest

from tests.agent.conftest import need_guests_client
from tests.lab.datacentre import PVE1, PVE2, GuestPlan
from tests.lab.lab import Lab
from tests.lab.operator_bench import Fleet, Operator, open_operator
from tests.lab.swap_bench import SETTINGS, build_release

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]
need_guests_client()

GUESTS = (GuestPlan(5001, PVE1), GuestPlan(5002, PVE1), GuestPlan(5004, PVE2))
RELEASES = (build_release("1.0.0"), build_release("2.0.0"), build_release("3.0.0", "exit"))
"""The first, a good one and a bad one."""


@pytest.fixture(scope="module")
def operator(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with open_operator(lab, tmp_path_factory.mktemp("controller"), Fleet(GUESTS, SETTINGS, RELEASES)) as opened:
        yield opened


def test_a_good_release_reaches_every_guest_and_a_person_takes_it_back(operator: Operator) -> None:
    games = operator.games()
    done = operator.start("rollout", "start", "agent", "--to", "2.0.0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(operator.states().values()) == {"HEALTHY"}
    assert set(operator.versions().values()) == {"2.0.0"}

    back = operator.type("rollout", "revert", "--reason", "a rehearsal")
    assert back.returncode == 0, back.stdout + back.stderr
    assert set(operator.states().values()) == {"REVERTED"}
    assert set(operator.versions().values()) == {"1.0.0"}
    assert operator.games() == games


def test_a_release_that_does_not_start_ends_with_its_canary(operator: Operator) -> None:
    before = {plan.vmid: operator.remembered(plan.vmid)["txn"] for plan in GUESTS}
    done = operator.start("rollout", "start", "agent", "--to", "3.0.0")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "REVERTED" in done.stdout, done.stdout + done.stderr
    states = operator.states()
    tried = [vmid for vmid, state in states.items() if state == "REVERTED"]
    assert (len(tried), sorted(states.values())) == (1, ["REVERTED", "SKIPPED", "SKIPPED"])
    assert set(operator.versions().values()) == {"1.0.0"}
    assert [vmid for vmid, swap in before.items() if operator.remembered(vmid)["txn"] != swap] == tried
    refused = operator.start("rollout", "start", "agent", "--to", "3.0.0")
    assert refused.returncode == 3 and "blocked" in refused.stderr, refused.stdout + refused.stderr
