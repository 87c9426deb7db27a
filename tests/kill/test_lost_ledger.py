"""The worker is killed and its ledger lost: ``recover`` brings each guest to an end from Proxmox alone."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kill.bench import PATIENCE_SECONDS, Bench, open_bench
from tests.kill.story import STORIES, undisturbed
from zlh_hooks.domain.plan import Plan

pytestmark = pytest.mark.process

GUEST = 5001
PHASES = {
    "scratch": "done stage.tame 5001",
    "staged": "done stage.destroy 5001",
    "pending": "done exchange.put 5001",
    "exchanged": "done exchange.restart 5001",
    "proved": "event proved 5001",
}
"""What the guest is in the middle of, and the last entry of a worker that dies there."""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    undisturbed(STORIES[0])  # played before: two sites at once would want the same addresses
    with open_bench(tmp_path) as opened:
        yield opened


def lose_all_at(bench: Bench, phase: str) -> Plan:
    """Kill the worker in that phase, then remove the ledger."""
    plan = bench.submit("2")
    last = next(number for number, what in undisturbed(STORIES[0]).entries if what == PHASES[phase])
    bench.start(die_after=last).wait(PATIENCE_SECONDS)
    assert bench.view.ledger.read()[-1].sequence == last
    bench.view.ledger.close()
    for file in bench.site.directory.glob("ledger.sqlite*"):
        file.unlink()
    return plan


def recover(bench: Bench, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "zlh_hooks", "recover", *arguments, *bench.site.options]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)


def modes(bench: Bench) -> dict[int, str]:
    """What is listed: guest to how far it had come."""
    listed = recover(bench, "--json")
    assert listed.returncode == 0, listed.stderr
    return {row["vmid"]: row["mode"] for row in json.loads(listed.stdout)}


def world(bench: Bench, plan: Plan) -> dict[str, Any]:
    """All but the dead controller's claim, which runs out by itself."""
    claims = bench.claims()
    found = bench.world(plan)
    for guest in found.values():
        if isinstance(guest, dict) and "config" in guest:
            tags = [tag for tag in guest["config"].get("tags", "").split(";") if tag not in claims]
            guest["config"]["tags"] = ";".join(tags)
    return found


@pytest.mark.parametrize("phase", PHASES)
def test_with_the_ledger_lost_every_guest_in_work_is_listed_and_goes_back_to_how_it_was(
    bench: Bench, phase: str
) -> None:
    before = bench.world(bench.view.planner().plan_rollout("game-base", "2", "tester"))
    plan = lose_all_at(bench, phase)
    found = modes(bench)
    assert found[GUEST] == {"scratch": "marked", "proved": "exchanged"}.get(phase, phase)
    scratch = {ct.vmid for ct in bench.site.pve.cts if ct.vmid >= 890000}
    assert {vmid for vmid, mode in found.items() if mode == "scratch"} == scratch
    done = recover(bench, "--back", "--yes")
    assert done.returncode == 0, done.stderr
    assert world(bench, plan) == before
    assert modes(bench) == {}


@pytest.mark.parametrize("phase", ["pending", "exchanged", "proved"])
def test_with_the_ledger_lost_a_guest_whose_exchange_was_written_can_go_forward_for_good(
    bench: Bench, phase: str
) -> None:
    lose_all_at(bench, phase)
    done = recover(bench, str(GUEST), "--forward", "--yes")
    assert done.returncode == 0, done.stderr
    recover(bench, "--back", "--yes")
    assert modes(bench) == {}
    assert bench.site.versions() == {5001: "2", 5002: "1"}
    config = bench.site.pve.ct(GUEST).config
    assert config["tags"] == "zlh-line.game-base;zlh-version.2"
    is_unknown = phase == "exchanged"  # killed before a tag said what the old root is: a person frees it
    assert ("was left alone" in done.stdout) == is_unknown
    assert [key for key in config if key.startswith("unused")] == ["unused0"] * is_unknown
    assert len(bench.site.volumes.list("local")) == 6 + 4 + is_unknown


@pytest.mark.parametrize("phase", ["scratch", "staged"])
def test_a_guest_that_was_only_staged_is_refused_the_way_forward(bench: Bench, phase: str) -> None:
    lose_all_at(bench, phase)
    refused = recover(bench, str(GUEST), "--forward", "--yes")
    assert refused.returncode == 1
    assert "it can only go back" in refused.stderr
