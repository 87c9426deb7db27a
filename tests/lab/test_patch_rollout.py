"""Packages go out by the command line, the worker and real guests: forward, back, and no further; the game runs on."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.conftest import need_guests_client
from tests.lab.datacentre import PVE1, PVE2, GuestPlan
from tests.lab.lab import Lab
from tests.lab.operator_bench import Fleet, Operator, open_operator
from tests.lab.package_bench import QUICK, bake_repository, build_toy
from tests.lab.swap_bench import build_release

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]
need_guests_client()

GUESTS = (GuestPlan(5001, PVE1), GuestPlan(5004, PVE2))
PROBE = "/usr/local/lib/toy-probe"
SETTINGS = f"{QUICK}probe = {PROBE}\n"
INSTALL = """
find /etc/apt/sources.list* -type f ! -name lab.list -delete
apt-get --quiet=2 update
DEBIAN_FRONTEND=noninteractive apt-get --quiet=2 --yes install toy=1.0
"""


def bake(root: Path) -> None:
    """Two versions that the guest's own probe likes, and one that it does not."""
    bake_repository(root, build_toy("1.0"), build_toy("1.1"), build_toy("2.0"))
    probe = root / PROBE.lstrip("/")
    probe.write_text("#!/bin/sh\nexec grep -q '^version=1' /etc/toy.conf\n")
    probe.chmod(0o755)


@pytest.fixture(scope="module")
def operator(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    fleet = Fleet(GUESTS, SETTINGS, (build_release("1.0.0"),), bake)
    with open_operator(lab, tmp_path_factory.mktemp("controller"), fleet) as opened:
        opened.run_in_all("sh", "-e", "-c", INSTALL)
        yield opened


def toys(operator: Operator) -> "set[str]":
    """Versions that are installed whole."""
    return set(
        operator.run_in_all("dpkg-query", "--show", "--showformat=${db:Status-Abbrev}${Version}", "toy").values()
    )


def test_good_packages_reach_every_guest_and_a_person_takes_them_back_while_the_game_runs(operator: Operator) -> None:
    games = operator.games()
    done = operator.start("patch", "start", "--package", "toy=1.1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (set(operator.states().values()), toys(operator)) == ({"HEALTHY"}, {"ii 1.1"})
    assert "\tdone\tlive\t" in operator.do("patch", "status")

    back = operator.type("patch", "revert", "--reason", "a rehearsal")
    assert back.returncode == 0, back.stdout + back.stderr
    assert (set(operator.states().values()), toys(operator)) == ({"REVERTED"}, {"ii 1.0"})
    assert operator.games() == games


def test_packages_whose_probe_fails_end_with_their_canary(operator: Operator) -> None:
    before = {plan.vmid: operator.remembered(plan.vmid)["patch"]["txn"] for plan in GUESTS}
    done = operator.start("patch", "start", "--package", "toy=2.0")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "REVERTED" in done.stdout and f"PROVE: {PROBE} ended with 1" in done.stdout, done.stdout + done.stderr
    states = operator.states()
    tried = [vmid for vmid, state in states.items() if state == "REVERTED"]
    assert (len(tried), sorted(states.values()), toys(operator)) == (1, ["REVERTED", "SKIPPED"], {"ii 1.0"})
    assert [vmid for vmid, txn in before.items() if operator.remembered(vmid)["patch"]["txn"] != txn] == tried


def test_a_canary_that_had_it_all_proves_nobody_and_what_a_person_does_there_is_not_told_as_ours(
    operator: Operator,
) -> None:
    canary, other = (plan.vmid for plan in GUESTS)
    operator.datacentre.lab.run_inside(canary, "apt-get", "--quiet=2", "--yes", "install", "toy=1.1")
    paused = operator.start("patch", "start", "--package", "toy=1.1")
    assert paused.returncode == 1, paused.stdout + paused.stderr
    assert f"— guest {canary} had nothing to bring, so that nobody is proved on it" in paused.stdout, paused.stdout
    operator.do("rollout", "resume")
    operator.do("rollout", "watch")
    assert (set(operator.states().values()), toys(operator)) == ({"HEALTHY"}, {"ii 1.1"})

    operator.datacentre.lab.run_inside(other, "zlh-agent-plugin", "patch", "--none")
    told = json.loads(operator.do("patch", "status", "--json"))["guests"]
    assert [told[str(vmid)]["outcome"] for vmid in (canary, other)] == ["nothing", "installed"]
    back = operator.type("patch", "revert", "--reason", "a rehearsal")
    assert back.returncode == 0, back.stdout + back.stderr
    kept = operator.run_in_all("dpkg-query", "--show", "--showformat=${Version}", "toy")
    assert kept == {canary: "1.1", other: "1.0"}
