"""Real guests bring the packages that operators wish: from a published repository, by their own timer's service."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_plugin.patch_wanted import Package, PatchWanted
from agent_plugin.wire import Patched, Wished
from agent_plugin.wish import Wish
from tests.agent.conftest import need_guests_client
from tests.agent.release import NAME
from tests.agent.repository_bench import RepositoryBench
from tests.agent.update_server import UpdateServer, update_server
from tests.lab.condition import until
from tests.lab.image import Debian
from tests.lab.lab import Lab
from tests.lab.network import HOST, inside
from tests.lab.package_bench import HELPER, LIBRARY, MAPPER, QUICK, PackageGuest, build_toy
from tests.lab.swap_bench import fetch_libraries

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]
need_guests_client()

ENDED = ("failed", "inactive")
SERVICE = "zlh-agent-update.service"
OFTEN = Path(f"/etc/systemd/system/{SERVICE}.d/often.conf")
"""A timer never checks as often as these tests do; on a fast machine systemd would refuse."""
PROBE = "/root/probe"
SECURITY = PatchWanted(security=True)
OWN = "customers-own"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> RepositoryBench:
    made = RepositoryBench(tmp_path_factory.mktemp("host"))
    made.found()
    return made


@pytest.fixture(scope="module")
def server(bench: RepositoryBench, lab: Lab) -> Iterator[UpdateServer]:
    fetch_libraries()
    with inside(lab.place), update_server(bench.public, str(HOST.ip)) as state:
        yield state


class Wishing:
    """A guest that follows; toy 1.0 is installed, and its probe ends well until it is told another word."""

    def __init__(self, guest: PackageGuest, bench: RepositoryBench) -> None:
        self.guest, self.bench, self.number = guest, bench, 0
        self.probe("true")
        guest.offer(build_toy("1.0"))
        guest.install_packages("toy=1.0")

    def probe(self, word: str) -> None:
        self.guest.put(PROBE, f"#!/bin/sh\n{word}\n".encode())
        self.guest.run("chmod", "755", PROBE)

    def is_over(self) -> bool:
        """Whether no check runs, nor is being ended."""
        return self.guest.run("systemctl", "show", "--property=ActiveState", "--value", SERVICE).strip() in ENDED

    def check(self) -> None:
        self.guest.run("systemctl", "start", SERVICE)

    def wish(self, patches: PatchWanted, **changes: object) -> None:
        """A new one, signed and published; then the service runs."""
        self.number = self.bench.last_wish() + 1
        self.bench.wish(Wish(self.number, NAME, "all", patches), **changes)
        self.check()

    def version(self) -> str:
        return self.guest.version_of("toy")

    def is_mapped_by(self, unit: str) -> bool:
        """Whether a service has come so far as to run the library."""
        pid = self.guest.run("systemctl", "show", "--property=MainPID", "--value", unit).strip()
        return LIBRARY in self.guest.run("cat", f"/proc/{pid}/maps")

    def told(self) -> "tuple[Wished, Patched]":
        status = self.guest.status()
        assert status.wish is not None and status.patch is not None
        return status.wish, status.patch


@pytest.fixture(scope="module", params=list(Debian))
def wishing(
    request: pytest.FixtureRequest, lab: Lab, bench: RepositoryBench, server: UpdateServer
) -> Iterator[Wishing]:
    settings = f"[source]\nurl = {server.url}\nline = {NAME}\n{QUICK}probe = {PROBE}\n"
    guest = PackageGuest(lab, request.param, settings)
    guest.put("/etc/zlh-agent-plugin.root.json", bench.repository.read_root())
    guest.run("systemctl", "stop", "zlh-agent-update.timer")
    guest.run("mkdir", "-p", str(OFTEN.parent))
    guest.put(str(OFTEN), b"[Unit]\nStartLimitIntervalSec=0\n")
    guest.run("systemctl", "daemon-reload")
    yield Wishing(guest, bench)
    lab.containers.stop(guest.vmid)


@pytest.fixture(autouse=True)
def _the_game_runs_on_and_packages_are_whole(wishing: Wishing) -> Iterator[None]:
    game = wishing.guest.game()
    yield
    assert wishing.guest.game() == game
    assert wishing.guest.run("dpkg", "--audit") == ""
    assert wishing.guest.read_patch_step() == "END"


def exactly(version: str) -> PatchWanted:
    return PatchWanted(packages=(Package("toy", version),))


def test_security_fixes_and_exact_packages_are_brought_once_and_left_alone_when_wished_no_more(
    wishing: Wishing,
) -> None:
    wishing.guest.offer(build_toy("1.1"))
    wishing.wish(SECURITY)
    wished, patched = wishing.told()
    assert (wishing.version(), wished.state, patched.outcome) == ("1.1", "done", "installed")
    wishing.guest.offer(build_toy("1.2"), build_toy("1.3"))
    wishing.check()
    assert (wishing.version(), wishing.told()[1].txn) == ("1.1", patched.txn)
    wishing.wish(exactly("1.2"))
    assert (wishing.version(), wishing.told()[0].words, wishing.told()[0].state) == ("1.2", "toy=1.2", "done")
    wishing.bench.wish()
    wishing.check()
    assert (wishing.version(), wishing.guest.status().wish) == ("1.2", None)


def test_a_failed_probe_brings_the_old_package_back_and_only_a_new_wish_tries_again(wishing: Wishing) -> None:
    before = wishing.version()
    wishing.probe(f"grep -q '^version={before}$' /etc/toy.conf")
    wishing.guest.offer(build_toy("2.0"))
    wishing.wish(exactly("2.0"))
    wished, failed = wishing.told()
    assert (wishing.version(), wished.state, failed.outcome) == (before, "failed", "reverted")
    assert wished.reason.startswith(f"PROVE: {PROBE} ended with 1")
    wishing.probe("true")
    wishing.check()
    assert (wishing.version(), wishing.told()[1].txn) == (before, failed.txn)
    wishing.wish(exactly("2.0"))
    assert (wishing.version(), wishing.told()[0].state) == ("2.0", "done")


def test_outside_of_windows_evidence_says_what_the_customer_would_feel_and_that_waits(wishing: Wishing) -> None:
    before = wishing.version()
    wishing.guest.run("systemctl", "start", HELPER)
    wishing.guest.run("systemd-run", f"--unit={OWN}", "python3", MAPPER)
    until(lambda: wishing.is_mapped_by(OWN), 20, "the library in the customer's service")
    wishing.guest.offer(build_toy("3.0"))
    wishing.wish(exactly("3.0"), windows=())
    wished, patched = wishing.told()
    assert (wishing.version(), wished.state, patched.outcome) == (before, "waits", "waits")
    assert (patched.impact, patched.waits) == ("restart", (f"{OWN}.service",))
    wishing.guest.run("systemctl", "stop", OWN)
    wishing.check()
    wished, patched = wishing.told()
    assert (wishing.version(), wished.state, patched.impact) == ("3.0", "done", "reload")
    assert patched.restarted == (HELPER,)
    wishing.guest.run("systemctl", "stop", HELPER)


@pytest.mark.matrix  # by itself: beside other work it takes systemd seconds to see the end of what it killed
def test_a_check_that_systemd_kills_with_dpkg_under_it_is_finished_by_the_next_one(wishing: Wishing) -> None:
    wishing.guest.offer(build_toy("4.0", postinst="touch /run/toy-is-being-configured; sleep 3"))
    wishing.number = wishing.bench.last_wish() + 1
    wishing.bench.wish(Wish(wishing.number, NAME, "all", exactly("4.0")))
    started = wishing.guest.begin("systemctl", "start", SERVICE)
    until(lambda: wishing.guest.exists("/run/toy-is-being-configured"), 60, "dpkg at its script")
    wishing.guest.run("systemctl", "kill", "--signal=KILL", SERVICE)
    started.communicate()
    until(wishing.is_over, 60, "the killed check gone with all its children")
    assert wishing.guest.read_patch_step() == "BRING"
    wishing.check()
    assert (wishing.version(), wishing.told()[0].state) == ("4.0", "done")
