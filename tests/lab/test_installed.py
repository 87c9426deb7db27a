"""The packages where they live: installed on a booted machine, at work on real guests, upgraded, without power, removed.

The tests are one story, in this order. ``make deb-test`` builds what is installed.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.condition import until
from tests.lab.datacentre import PVE1, Datacentre, GuestPlan, open_datacentre
from tests.lab.image import Debian, TemplateVersion
from tests.lab.installed import Machine, repack
from tests.lab.lab import Lab
from tests.lab.rollout_bench import QUICK, close_window

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]
CANARY, OTHER = 5001, 5002
GUESTS = (GuestPlan(CANARY, PVE1), GuestPlan(OTHER, PVE1))
VERSIONS = tuple(TemplateVersion(version, Debian.TRIXIE) for version in ("1", "2"))
EARLIER = "0.0.1~before"
UNITS = ("zlh-hooks-worker.service", "zlh-hooks-intake.path")
RULES = QUICK.replace('min_healthy_time = "5s"', 'min_healthy_time = "2s"')
OUTSIDE = "waiting: outside every window"
REMAINS = (Path(__file__).parents[2] / "debian/tests/rule.sh").read_text() + "left_nothing"


class Site(Machine):
    """The machine, and what was done to guests by orders from it."""

    def __init__(self, datacentre: Datacentre, packages: Path) -> None:
        super().__init__(datacentre, packages / "root")
        self.newest = [next(packages.glob(f"{name}_*.deb")) for name in ("zlh-hooks", "zlh-hooks-node")]

    def status(self) -> Any:
        return self.ask("rollout status")

    def states(self) -> dict[int, str]:
        return {row["vmid"]: row["state"] for row in self.status()["targets"]}

    def read_ledger(self) -> "list[Any]":
        return list(self.ask("ledger show"))

    def acts(self) -> dict[str, int]:
        """What was ever done to the two guests, by kind and guest."""
        counts = self.datacentre.pve.counts
        return {f"{call} {vmid}": number for (call, vmid), number in sorted(counts.items()) if vmid in (CANARY, OTHER)}

    def exchanges(self) -> "list[int]":
        return [self.datacentre.pve.exchanges[plan.vmid] for plan in GUESTS]

    def versions(self) -> dict[int, str]:
        return {plan.vmid: self.datacentre.read_version(plan.vmid) for plan in GUESTS}

    def wait_for(self, look: Callable[[], bool], what: str) -> None:
        """Asked seldom: each command is a process of some hundred milliseconds on the machine under test."""
        until(look, 240, what, pause=0.5)

    def wait_for_state(self, state: str) -> None:
        self.wait_for(lambda: self.status()["state"] == state, f"rollout that is {state}")

    def wait_for_told(self, since: int, text: str) -> "list[Any]":
        """What the ledger got since it had so many entries, once a worker has told that it does this."""
        self.wait_for(lambda: any(text in str(entry["data"]) for entry in self.read_ledger()[since:]), text)
        return self.read_ledger()[since:]


@pytest.fixture(scope="module")
def site(lab: Lab, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    packages = request.config.getoption("--packages").resolve()
    with open_datacentre(lab, VERSIONS, GUESTS) as datacentre:
        machine = Site(datacentre, packages)
        machine.boot()
        before = tmp_path_factory.mktemp("before")
        machine.install(*(repack(package, EARLIER, before) for package in machine.newest))
        yield machine
        print(machine.run("journalctl --boot all --unit 'zlh*' --no-pager --lines 100"))  # shown if a test failed
        assert datacentre.pve.foreign == []


def test_what_is_installed_waits_until_it_is_configured_and_asked_for_and_then_stays(site: Site) -> None:
    assert {site.run(f"systemctl is-enabled {unit} || true").strip() for unit in UNITS} == {"disabled"}
    assert {site.state(unit) for unit in UNITS} == {"inactive"}
    site.configure(RULES)
    site.run(f"systemctl enable --now {' '.join(UNITS)}")
    site.wait_for(site.holds_lease, "worker that holds the lease")
    first = site.worker()
    points = {point["name"]: point["state"] for point in json.loads(site.type("ready --json || true"))["points"]}
    assert (points["api-token"], points["backup-restored"]) == ("green", "red")
    assert (site.worker(), {site.state(unit) for unit in UNITS}) == (first, {"active"})
    assert site.run("systemctl --failed --plain --no-legend") == ""


def test_the_installed_intake_takes_what_the_installed_hook_notes(site: Site) -> None:
    site.run(f"/usr/share/zlh-hooks/hookscripts/zlh-guest-hook {CANARY} pre-start")
    until(lambda: site.run("ls -A /var/spool/zlh-hooks") == "", 60, "empty spool")
    (noted,) = [entry for entry in site.read_ledger() if entry["name"] == "guest.phase"]
    assert (noted["target"], noted["data"]["phase"]) == (CANARY, "pre-start")


def test_an_upgrade_in_the_middle_of_a_guest_restarts_the_worker_which_goes_on_from_its_ledger(site: Site) -> None:
    site.type("rollout start game-base --to 2 --yes --detach")
    until(lambda: site.exchanges() == [1, 0], 120, "exchange of the canary")
    site.type("rollout pause --reason 'an upgrade'")
    rollout, before, worker = site.status()["id"], site.read_ledger(), site.worker()
    site.install(*site.newest)
    site.wait_for(lambda: site.worker() not in (0, worker), "another worker")
    site.wait_for_state("PAUSED")
    site.wait_for(lambda: site.states()[CANARY] == "HEALTHY", "end of the guest in work")
    assert site.read_ledger()[: len(before)] == before
    assert (site.status()["id"], site.versions(), site.exchanges()) == (rollout, {CANARY: "2", OTHER: "1"}, [1, 0])


def test_after_a_boot_outside_of_the_window_it_tells_what_it_waits_for_and_touches_nobody(site: Site) -> None:
    site.write("policy.toml", close_window(RULES))
    site.run("systemctl restart zlh-hooks-worker")
    site.wait_for(site.holds_lease, "worker that holds the lease")
    site.type("rollout resume")
    site.wait_for_told(0, OUTSIDE)
    known, acts = len(site.read_ledger()), site.acts()
    site.cut_power()
    site.boot()
    assert {site.state(unit) for unit in UNITS} == {"active"}
    told = site.wait_for_told(known, OUTSIDE)
    assert "requested" not in {entry["kind"] for entry in told}
    assert (site.status()["state"], site.acts()) == ("RUNNING", acts)


def test_after_a_boot_inside_of_it_it_goes_on_even_from_the_middle_of_a_guest_and_does_no_step_twice(
    site: Site,
) -> None:
    rollout = site.status()["id"]
    site.write("policy.toml", RULES)
    site.cut_power()
    site.boot()
    until(lambda: site.exchanges() == [1, 1], 120, "exchange of the other guest")
    site.cut_power()
    site.boot()
    site.wait_for_state("SUCCEEDED")
    assert (site.status()["id"], site.versions()) == (rollout, {CANARY: "2", OTHER: "2"})
    steps = [(entry["target"], entry["name"]) for entry in site.read_ledger() if entry["kind"] == "requested"]
    assert len(steps) == len(set(steps))
    assert site.exchanges() == [1, 1]
    assert [site.datacentre.pve.counts[("reboot", vmid)] for vmid in (CANARY, OTHER)] == [1, 1]


def test_a_removal_keeps_the_ledger_and_a_purge_leaves_nothing(site: Site) -> None:
    site.run("apt-get remove --yes --quiet zlh-hooks zlh-hooks-node")
    assert {site.state(unit) for unit in UNITS} == {"inactive"}
    assert site.run("find /proc -maxdepth 1 -user zlh-hooks") == "", "no process of the worker's user"
    assert site.run("test -s /var/lib/zlh-hooks/ledger.sqlite && echo kept") == "kept\n"
    site.run("apt-get purge --yes --quiet zlh-hooks zlh-hooks-node")
    assert site.run(REMAINS).strip() == ""
    assert site.run("systemctl --failed --plain --no-legend; systemctl list-units --plain --no-legend 'zlh*'") == ""
