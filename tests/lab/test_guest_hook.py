"""The guest hook on real containers: each start and stop calls it, a claim keeps a guest off, and its notes are reckoned."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab.condition import read_agent, until
from tests.lab.datacentre import PVE1, PVE2, Datacentre, GuestPlan, open_datacentre
from tests.lab.demo import POLICY
from tests.lab.hooked import Hooks, hooked
from tests.lab.lab import Lab
from zlh_hooks.domain.noted_outage import BY_ITSELF

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]
GAME, MOVED, HELD = 5001, 5002, 5004
GUESTS = (GuestPlan(GAME, PVE1), GuestPlan(MOVED, PVE1), GuestPlan(HELD, PVE2, running=False))
AVAILABILITY = "\n[availability]\ngoal_percent = 99.5\ncap_percent = 20\n"
STOP, START = ["pre-stop", "post-stop"], ["pre-start", "post-start"]
CALLS = (("stop", STOP), ("start", START), ("reboot", STOP + START), ("shutdown", STOP), ("start", START))


@dataclass(frozen=True)
class Site:
    datacentre: Datacentre
    hooks: Hooks
    policy: Path

    def power(self, vmid: int, call: str) -> None:
        """Through the API, to the end of its task."""
        node = self.datacentre.pve.ct(vmid).node  # type: ignore[union-attr]
        upid = getattr(self.datacentre.api.nodes(node).lxc(vmid).status, call).post()
        self.datacentre.wait_task(node, upid)

    def type(self, *words: str, given: str = "") -> str:
        done = self.datacentre.type(self.policy, *words, given=given)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def is_running(self, vmid: int) -> bool:
        return self.datacentre.lab.containers.is_running(vmid)

    def inside(self, vmid: int, *words: str) -> None:
        """A command of its owner's, once all of it has started."""
        lab, address = self.datacentre.lab, self.datacentre.address(vmid)
        until(lambda: read_agent(lab, address), 30, f"agent of {vmid}")
        lab.run_inside(vmid, *words)

    def move_by_restart(self, vmid: int, node: str) -> None:
        self.power(vmid, "shutdown")
        self.datacentre.serving.call(lambda: self.datacentre.pve.move_guest(vmid, node))
        self.power(vmid, "start")

    def reckon(self, vmid: int, month: str) -> Any:
        """The guest's account of that month."""
        report = json.loads(self.type("downtime", "export", "--month", month, "--json"))
        return next(account for account in report["accounts"] if account["guest"] == vmid)


@pytest.fixture(scope="module")
def site(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    policy = tmp_path_factory.mktemp("site") / "policy.toml"
    policy.write_text(POLICY + AVAILABILITY)
    with open_datacentre(lab, guests=GUESTS) as datacentre, hooked(datacentre) as hooks:
        yield Site(datacentre, hooks, policy)
        assert datacentre.pve.foreign == []


def test_each_start_and_stop_by_the_api_calls_its_phases_and_each_leaves_its_note(site: Site) -> None:
    for call, phases in CALLS:
        site.power(GAME, call)
        notes = site.hooks.take_notes(GAME)
        assert [note.phase for note in notes] == phases, call
        assert {(note.node, note.kind, note.lock, note.vetoed) for note in notes} == {("pve1", "lxc", "", False)}


def test_a_restart_from_inside_calls_no_phase_and_who_switches_itself_off_only_the_last(site: Site) -> None:
    before = site.datacentre.lab.containers.init_pid(GAME)
    site.inside(GAME, "systemctl", "reboot", "--no-block")
    until(lambda: site.is_running(GAME) and site.datacentre.lab.containers.init_pid(GAME) != before, 30, "other init")
    assert site.hooks.take_phases(GAME) == []
    site.inside(GAME, "systemctl", "poweroff", "--no-block")
    assert until(lambda: site.hooks.take_phases(GAME), 30, "note") == ["post-stop"]
    site.power(GAME, "start")
    assert site.hooks.take_phases(GAME) == START


def test_a_guest_marked_down_does_not_start_and_its_task_says_who_why_until_when_and_what_lifts_it(site: Site) -> None:
    claim = ("--keep-down", "--owner", "anna@pam", "--reason", "its disk is dying", "--for", "2h", "--yes")
    site.type("hold", "set", str(HELD), *claim, given=f"{HELD}\n")
    with pytest.raises(RuntimeError) as refused:
        site.power(HELD, "start")
    said = str(refused.value)
    assert f"hookscript error for {HELD} on pre-start: zlh-hooks: guest {HELD} must not start before 20" in said
    assert "UTC, marked down by anna@pam: its disk is dying. What lifts it: zlh-hooks hold clear" in said
    assert not site.is_running(HELD)
    assert [(note.phase, note.vetoed) for note in site.hooks.take_notes(HELD)] == [("pre-start", True)]
    site.type("hold", "clear", str(HELD))
    site.power(HELD, "start")
    assert site.is_running(HELD)


def test_the_intake_records_what_was_noted_and_only_what_no_owner_wanted_is_downtime(
    site: Site, tmp_path: Path
) -> None:
    customer = site.datacentre.client(tmp_path)
    until(lambda: customer.read().get(MOVED) and customer.read()[MOVED].acknowledged, 20, "a customer who plays")
    site.hooks.take_notes(MOVED)
    site.move_by_restart(MOVED, "pve2")
    until(lambda: customer.read()[MOVED].outages, 30, "the end of the outage")
    (felt,) = customer.close()[MOVED].outages
    notes = site.hooks.take_notes(MOVED)
    assert [(note.phase, note.node) for note in notes] == [
        *((phase, "pve1") for phase in STOP),
        *((phase, "pve2") for phase in START),
    ]
    said = "".join(site.type("intake", "--spool", str(site.hooks.spool(node))) for node in ("pve1", "pve2"))
    assert f"guest {MOVED} moved from pve1 to pve2" in said
    assert [list(site.hooks.spool(node).iterdir()) for node in ("pve1", "pve2")] == [[], []]
    entries = [entry for entry in site.datacentre.read_ledger() if entry["target"] == MOVED]
    assert [entry["data"]["phase"] for entry in entries if entry["name"] == "guest.phase"] == STOP + START

    month = f"{notes[0].at:%Y-%m}"
    moved, game = site.reckon(MOVED, month), site.reckon(GAME, month)
    assert [one["cause"] for one in moved["outages"]] == ["moved from pve1 to pve2 by a restart"]
    assert abs((notes[-1].at - notes[0].at).total_seconds() - felt[1]) < 5
    assert moved["unplanned_seconds"] == int((notes[-1].at - notes[0].at).total_seconds())
    assert game["outages"] == [], "what its owner asked for"
    assert [gap["cause"] for gap in game["gaps"]] == [BY_ITSELF]
