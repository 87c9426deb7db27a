"""The packages where they live: installed on a booted machine, at work on real guests, upgraded, without power, removed.

The tests are one story, in this order. ``make deb-test`` builds what is installed.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dead_man_bench import Duty
from tests.lab.condition import until
from tests.lab.datacentre import PVE1, Datacentre, GuestPlan, open_datacentre
from tests.lab.image import Debian, TemplateVersion
from tests.lab.installed import Controller, Machine, find_packages, make_earlier
from tests.lab.lab import Lab
from tests.lab.rollout_bench import QUICK, close_window

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]
CANARY, OTHER = 5001, 5002
GUESTS = (GuestPlan(CANARY, PVE1), GuestPlan(OTHER, PVE1))
VERSIONS = tuple(TemplateVersion(version, Debian.TRIXIE) for version in ("1", "2"))
NAMES = ("zlh-hooks", "zlh-hooks-node")
DEAD_MAN, FORWARD = "zlh-hooks-dead-man.timer", "zlh-hooks-forward.path"
UNITS = ("zlh-hooks-worker.service", "zlh-hooks-intake.path", DEAD_MAN)
RULES = QUICK.replace('min_healthy_time = "5s"', 'min_healthy_time = "2s"')
OUTSIDE = "waiting: outside every window"
SOONER = "[Timer]\nOnActiveSec=\nOnActiveSec=1s\nOnUnitInactiveSec=2s\n"
"""Than the package says, so that nobody waits for minutes."""
HOOK = "/usr/share/zlh-hooks/hookscripts/zlh-guest-hook"
SPOOL = "/var/spool/zlh-hooks"


class Site(Controller):
    """The controller, what was done to guests by orders from it, and whom it wakes."""

    duty: Duty

    def __init__(self, datacentre: Datacentre, packages: Path) -> None:
        super().__init__(datacentre, packages / "controller")
        self.newest = find_packages(packages, *NAMES)

    def status(self) -> Any:
        return self.ask("rollout status")

    def states(self) -> dict[int, str]:
        return {row["vmid"]: row["state"] for row in self.status()["targets"]}

    def read_ledger(self) -> "list[Any]":
        return list(self.ask("ledger show"))

    def list_noted(self, vmid: int) -> "list[tuple[str, str]]":
        """Who noted which phase of a guest."""
        data = [
            entry["data"] for entry in self.read_ledger() if (entry["name"], entry["target"]) == ("guest.phase", vmid)
        ]
        return [(one["node"], one["phase"]) for one in data]

    def acts(self) -> dict[str, int]:
        """What was ever done to the two guests, by kind and guest."""
        counts = self.datacentre.pve.counts
        return {f"{call} {vmid}": number for (call, vmid), number in sorted(counts.items()) if vmid in (CANARY, OTHER)}

    def exchanges(self) -> "list[int]":
        return [self.datacentre.pve.exchanges[plan.vmid] for plan in GUESTS]

    def versions(self) -> dict[int, str]:
        return {plan.vmid: self.datacentre.read_version(plan.vmid) for plan in GUESTS}

    def hasten(self, timer: str) -> None:
        """Until it is disabled, or the machine boots."""
        self.run(f"mkdir -p /run/systemd/system/{timer}.d; echo '{SOONER}' >/run/systemd/system/{timer}.d/soon.conf")
        self.run(f"systemctl daemon-reload; systemctl restart {timer}")

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
def packages(request: pytest.FixtureRequest) -> Path:
    return Path(request.config.getoption("--packages")).resolve()


@pytest.fixture(scope="module")
def site(lab: Lab, packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_datacentre(lab, VERSIONS, GUESTS) as datacentre:
        machine = Site(datacentre, packages)
        machine.boot()
        machine.install(*make_earlier(packages, tmp_path_factory.mktemp("before"), *NAMES))
        with machine.on_duty(tmp_path_factory.mktemp("duty")) as machine.duty:
            yield machine
        print(machine.run("journalctl --boot all --unit 'zlh*' --no-pager --lines 100"))  # shown if a test failed
        assert datacentre.pve.foreign == []


@pytest.fixture(scope="module")
def node(lab: Lab, packages: Path, site: Site) -> Iterator[Machine]:
    """A node that is not the controller, with its own package alone."""
    made = Machine(lab, packages / "node", 5902, "pve-2")
    made.boot()
    made.install(*find_packages(packages, "zlh-hooks-node"))
    yield made
    print(made.run("journalctl --boot all --unit 'zlh*' --no-pager --lines 100"))
    made.cut_power()


def wait_for_empty_spool(machine: Machine) -> None:
    until(lambda: machine.run(f"ls -A {SPOOL}") == "", 60, "empty spool", pause=0.2)


def test_what_is_installed_waits_until_it_is_configured_and_asked_for_and_then_stays(site: Site) -> None:
    assert {site.run(f"systemctl is-enabled {unit} || true").strip() for unit in UNITS} == {"disabled"}
    assert {site.state(unit) for unit in UNITS} == {"inactive"}
    site.configure(RULES, site.duty.settings_in("/etc/zlh-hooks"))
    site.run(f"systemctl enable --now {' '.join(UNITS)}")
    site.wait_for(site.holds_lease, "worker that holds the lease")
    first = site.worker()
    points = {point["name"]: point["state"] for point in json.loads(site.type("ready --json || true"))["points"]}
    assert (points["api-token"], points["backup-restored"]) == ("green", "red")
    assert (site.worker(), {site.state(unit) for unit in UNITS}) == (first, {"active"})
    assert site.list_failed() == ""


def test_the_installed_intake_takes_what_the_installed_hook_notes(site: Site) -> None:
    site.run(f"{HOOK} {CANARY} pre-start")
    wait_for_empty_spool(site)
    assert site.list_noted(CANARY) == [("controller", "pre-start")]


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


def test_the_dead_mans_timer_has_called_the_heartbeat_and_tells_people_of_a_worker_that_is_stopped(
    site: Site,
) -> None:
    duty = site.duty
    until(lambda: duty.service.asked, 90, "heartbeat by the timer as it is installed", pause=0.5)
    assert site.run("stat -c '%a %U' /run/zlh-hooks-dead-man/memory.json") == "640 zlh-hooks\n"
    assert (duty.subjects(), duty.hook.asked) == ([], [])

    site.run("systemctl stop zlh-hooks-worker")
    site.hasten(DEAD_MAN)
    until(lambda: len(duty.post.taken) == 2 and duty.hook.asked, 120, "alarm", pause=0.5)
    assert (duty.subjects(), duty.recipients()) == (
        ["nobody looks after the work"] * 2,
        ["ada@example.com", "bob@example.com"],
    )
    assert f"rollout {site.status()['id']} of game-base is PAUSED" in str(duty.post.read_mails()[0].get_content())


def test_it_tells_of_broken_settings_too_and_calls_the_heartbeat_again_once_all_is_mended(site: Site) -> None:
    duty = site.duty
    told, beats = len(duty.hook.asked), len(duty.service.asked)
    settings = site.run("cat /etc/zlh-hooks/zlh-hooks.toml")
    site.write("zlh-hooks.toml", settings.replace("[proxmox]", "[proxmox"))
    until(lambda: len(duty.hook.asked) > told, 60, "alarm", pause=0.5)
    assert b"the settings are wrong: /etc/zlh-hooks/zlh-hooks.toml: syntax" in duty.hook.asked[-1].body
    assert len(duty.service.asked) == beats
    site.write("zlh-hooks.toml", settings)
    site.run("systemctl start zlh-hooks-worker")
    until(lambda: len(duty.service.asked) > beats, 60, "heartbeat", pause=0.5)
    site.run(f"systemctl disable --now {DEAD_MAN}")  # its people do not outlive the power


def test_a_node_sends_by_ssh_what_its_hook_notes_once_the_controller_has_what_is_printed_for_it(
    site: Site, node: Machine
) -> None:
    assert (node.state(FORWARD), node.list_failed()) == ("inactive", "")
    node.run(f"echo 'controller = zlh-hooks@{site.address}' >/etc/zlh-hooks-node.conf")
    *typed, own_key = [line for line in node.run("zlh-note-forwarder key").splitlines() if line.startswith("  ")]
    site.run("\n".join(typed))
    node.put("var/lib/zlh-hooks-node/known_hosts", site.run(own_key).encode())
    node.run(f"systemctl enable --now {FORWARD}; zlh-note-forwarder check; {HOOK} {OTHER} pre-start")
    wait_for_empty_spool(node)
    assert site.list_noted(OTHER) == [("pve-2", "pre-start")]


def test_a_note_outlives_a_controller_that_is_away_and_the_power_of_its_node(site: Site, node: Machine) -> None:
    site.run("systemctl stop ssh")
    node.run(f"{HOOK} {OTHER} post-stop")
    until(lambda: node.state("zlh-hooks-forward.service") == "activating", 60, "another try to come")
    node.cut_power()
    site.run("systemctl start ssh")
    node.boot()
    wait_for_empty_spool(node)
    assert site.list_noted(OTHER) == [("pve-2", "pre-start"), ("pve-2", "post-stop")]


def test_a_node_is_left_without_a_trace(node: Machine) -> None:
    node.run("apt-get remove --yes --quiet zlh-hooks-node")
    assert node.state(FORWARD) == "inactive"
    node.run("apt-get purge --yes --quiet zlh-hooks-node")
    assert (node.list_remains(), node.list_failed()) == ("", "")


def test_after_a_boot_outside_of_the_window_it_tells_what_it_waits_for_and_touches_nobody(site: Site) -> None:
    site.write("policy.toml", close_window(RULES))
    site.run("systemctl restart zlh-hooks-worker")
    site.wait_for(site.holds_lease, "worker that holds the lease")
    site.type("rollout resume")
    site.wait_for_told(0, OUTSIDE)
    known, acts = len(site.read_ledger()), site.acts()
    site.cut_power()
    site.boot()
    assert [site.state(unit) for unit in UNITS] == ["active", "active", "inactive"]
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
    assert (site.list_remains(), site.list_failed()) == ("", "")
