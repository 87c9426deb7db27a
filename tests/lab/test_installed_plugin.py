"""The guests' package where it lives: on booted Debian 12 and 13, unprivileged as guests are, led by a signed repository.

The tests are one story for each release, in this order. ``make deb-test`` builds what is installed.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from agent_plugin.desired import Build
from agent_plugin.report_wire import parse_envelope, parse_statement
from agent_plugin.wire import Status, parse_status
from tests.agent.release import Release
from tests.agent.repository_bench import RepositoryBench
from tests.agent.test_report_wire import is_signed
from tests.agent.update_server import update_server
from tests.lab.condition import read_agent, until
from tests.lab.image import FIRST_ID, Debian, shift_owners
from tests.lab.installed import Machine, find_packages, make_earlier
from tests.lab.lab import Lab
from tests.lab.network import HOST, inside
from tests.lab.swap_bench import STATE, build_release

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]
NAME = "zlh-agent-plugin"
TIMER, SERVICE = "zlh-agent-update.timer", "zlh-agent-update.service"
NUMBERS = count(1)
ENABLED = ("zlh-agent.socket", "zlh-agent.service", "zlh-agent-revert.timer", "zlh-agent-report.socket", TIMER)
FIRST, SECOND, BAD = build_release("1.0.0"), build_release("2.0.0"), build_release("3.0.0", "exit")
SETTINGS = "[source]\nurl = {url}\nline = game-base\n"
SOON = "[Timer]\nOnBootSec=\nOnBootSec=1s\nRandomizedDelaySec=0\n"
"""Sooner than the package says: a minute at most after a boot is for thousands of guests."""


class Guest(Machine):
    """With the first release of an agent at hand, and the root of the repository that it shall follow."""

    def __init__(self, lab: Lab, packages: Path, debian: Debian) -> None:
        root = packages / f"guest-{debian}"
        if root.stat().st_uid == 0:
            shift_owners(root, FIRST_ID)
        vmid = 5910 + list(Debian).index(debian)
        super().__init__(lab, root, vmid, f"game-{vmid}", FIRST_ID)
        self.newest = find_packages(packages, NAME)

    def set_up(self, url: str, trusted: bytes) -> None:
        """As whoever builds an image does: the first release, whom to follow, and what is to run."""
        self.put("root/first.tar.gz", FIRST.archive)
        self.put("etc/zlh-agent-plugin.root.json", trusted)
        self.put("etc/zlh-agent-plugin.conf", SETTINGS.format(url=url).encode())
        self.run(f"{NAME} install --file /root/first.tar.gz --sha256 {FIRST.sha256} --version 1.0.0")
        self.run("rm /root/first.tar.gz; systemctl enable --now " + " ".join(ENABLED[:-1]))

    def version(self) -> str:
        """What answers on the agent's port; empty if nothing does."""
        return (read_agent(self.lab, self.address, "/health") or {}).get("version", "")

    def status(self) -> Status:
        return parse_status(self.run(f"cat /{STATE}/status.json"))

    def report(self) -> "tuple[bool, str]":
        """Whether what is answered is signed, and the release of which it speaks."""
        words = ("curl", "--silent", "--fail", "--max-time", "20")
        answer = self.lab.run(*words, f"http://{self.address}:18889/report?nonce={'00ff' * 16}")
        assert answer.returncode == 0, self.run("journalctl --no-pager --lines=40 --unit='zlh*'")
        envelope = parse_envelope(answer.stdout)
        return is_signed(envelope), parse_statement(envelope.signed).status.current

    def plugin_version(self) -> str:
        return self.run(f"dpkg-query --show --showformat='${{Version}}' {NAME}")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> RepositoryBench:
    made = RepositoryBench(tmp_path_factory.mktemp("host"))
    made.found()
    for release in (SECOND, BAD):
        made.release(release.version, release.archive)
    return made


@pytest.fixture(scope="module")
def url(bench: RepositoryBench, lab: Lab) -> Iterator[str]:
    with inside(lab.place), update_server(bench.public, str(HOST.ip)) as server:
        yield server.url


@pytest.fixture(scope="module", params=list(Debian))
def guest(request: pytest.FixtureRequest, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    packages = Path(request.config.getoption("--packages")).resolve()
    made = Guest(lab, packages, request.param)
    made.boot()
    made.install(*make_earlier(packages, tmp_path_factory.mktemp("before"), NAME))
    yield made
    print(made.run("journalctl --boot all --unit 'zlh*' --no-pager --lines 100"))  # shown if a test failed
    made.cut_power()


def pin(bench: RepositoryBench, release: Release) -> None:
    """For everybody, more newly than any before."""
    bench.want(release.version, Build(release.sha256, len(release.archive)), number=next(NUMBERS))
    bench.publish()


def test_what_is_installed_waits_until_it_is_set_up_and_then_agent_and_report_answer(
    guest: Guest, bench: RepositoryBench, url: str
) -> None:
    assert {guest.state(unit) for unit in ENABLED} == {"inactive"}
    assert guest.run(f"systemctl is-enabled {' '.join(ENABLED)} || true").split() == ["disabled"] * len(ENABLED)
    guest.set_up(url, bench.repository.read_root())
    until(lambda: guest.version() == "1.0.0", 30, "first release")
    assert guest.report() == (True, FIRST.name)
    assert guest.list_failed() == ""


def test_its_timer_brings_what_is_pinned_though_the_package_is_upgraded_in_the_middle_of_the_trial(
    guest: Guest, bench: RepositoryBench
) -> None:
    pin(bench, SECOND)
    guest.run(f"mkdir -p /run/systemd/system/{TIMER}.d; echo '{SOON}' >/run/systemd/system/{TIMER}.d/soon.conf")
    guest.run(f"systemctl daemon-reload; systemctl enable --now {TIMER}")
    until(lambda: guest.run(f"ls /{STATE}/pending || true") != "", 60, "trial that the timer has begun")
    before = guest.plugin_version()
    guest.install(*guest.newest)
    assert guest.run(f"ls /{STATE}/pending") != "", "the trial outlives the upgrade"
    assert guest.plugin_version() != before
    until(lambda: guest.state(SERVICE) == "inactive", 60, "end of the trial", pause=0.2)
    assert (guest.version(), guest.status().outcome, guest.status().current) == ("2.0.0", "installed", SECOND.name)
    assert (guest.report(), guest.state(TIMER), guest.list_failed()) == ((True, SECOND.name), "active", "")


def test_a_bad_release_is_left_by_itself_and_after_a_loss_of_power_the_good_one_answers(
    guest: Guest, bench: RepositoryBench
) -> None:
    pin(bench, BAD)
    guest.run(f"systemctl start {SERVICE}")
    assert (guest.version(), guest.status().outcome) == ("2.0.0", "reverted")
    guest.cut_power()
    guest.boot()
    until(lambda: guest.version() == "2.0.0", 30, "good release")
    assert guest.report() == (True, SECOND.name)
    assert {guest.state(unit) for unit in (TIMER, "zlh-agent.socket", "zlh-agent-report.socket")} == {"active"}


def test_a_removal_leaves_the_agent_at_work_and_a_purge_leaves_nothing(guest: Guest) -> None:
    guest.run(f"apt-get remove --yes --quiet {NAME}")
    assert {guest.state(unit) for unit in (TIMER, "zlh-agent-revert.timer", "zlh-agent-report.socket")} == {"inactive"}
    assert (guest.version(), guest.list_failed()) == ("2.0.0", "")
    guest.run("systemctl stop zlh-agent.socket zlh-agent.service")
    guest.run(f"apt-get purge --yes --quiet {NAME}")
    assert (guest.list_remains(), guest.list_failed()) == ("", "")
