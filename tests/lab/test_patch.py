"""Packages are patched in real guests while the game runs: classified from evidence, proved, and taken back."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_plugin.wire import Patched
from tests.lab.condition import until
from tests.lab.image import Debian
from tests.lab.lab import Lab
from tests.lab.package_bench import HELPER, MAPPER, SETTINGS_FILE, PackageGuest, build_toy
from tests.lab.place import CHECKOUT
from tests.lab.swap_bench import PROGRAM

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]
DOOM = CHECKOUT / "tests" / "agent" / "doom.py"
KEPT = "/var/lib/zlh-agent-plugin-packages"
HOLD_LOCK = """
import fcntl, time
with open("/var/lib/dpkg/lock-frontend", "w") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    print("held", flush=True)
    time.sleep({seconds})
"""
ONE, TWO = build_toy("1.0"), build_toy("2.0")
BROKEN = build_toy("3.0", postinst='[ "$1" != configure ] || exit 7')
SLOW = build_toy("4.0", postinst="touch /run/toy-is-being-configured; sleep 3")


@pytest.fixture(scope="module", params=list(Debian))
def guest(request: pytest.FixtureRequest, lab: Lab) -> Iterator[PackageGuest]:
    made = PackageGuest(lab, request.param)
    made.offer(ONE)
    made.install("toy=1.0")
    yield made
    lab.containers.stop(made.vmid)


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(guest: PackageGuest) -> Iterator[None]:
    """Each test ends at 1.0 with the game the same process, packages whole, and no folder without a way back in it."""
    game = guest.game()
    yield
    assert guest.game() == game
    assert guest.run("dpkg", "--audit") == ""
    assert (guest.version_of("toy"), guest.run("apt-mark", "showauto", "toy")) == ("1.0", "")
    assert guest.run("sh", "-c", f"ls -A {KEPT}; ls /etc | grep dpkg- || true") == ""
    assert guest.read_patch()["step"] == "END"


def patch(guest: PackageGuest, *words: str) -> "subprocess.CompletedProcess[str]":
    command = guest.command(PROGRAM, "patch", *words)
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


def bring(guest: PackageGuest, *words: str) -> Patched:
    done = patch(guest, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return told(guest)


def told(guest: PackageGuest) -> Patched:
    found = guest.status().patch
    assert found is not None
    return found


def test_a_security_fix_comes_while_the_game_runs_and_its_evidence_says_what_it_costs(guest: PackageGuest) -> None:
    """A service of the distribution is restarted; the customer's own waits; the file that an admin changed stays."""
    guest.offer(TWO)
    guest.run("sh", "-c", f"echo by-hand >>{SETTINGS_FILE}")
    guest.run("systemctl", "start", HELPER)
    guest.run("systemd-run", "--unit=customers-own", "python3", MAPPER)
    own, helper = main_pid(guest, "customers-own"), main_pid(guest, HELPER)
    found = bring(guest, "--security", "--probe", "/bin/true")
    assert (guest.version_of("toy"), found.outcome) == ("2.0", "installed")
    assert (found.impact, found.restarted, found.waits) == ("restart", (HELPER,), ("customers-own.service",))
    assert (main_pid(guest, "customers-own") == own, main_pid(guest, HELPER) == helper) == (True, False)
    assert found.beside == (f"{SETTINGS_FILE}.dpkg-dist",)
    assert "by-hand" in guest.run("cat", SETTINGS_FILE)
    guest.run("systemctl", "stop", "customers-own", HELPER)
    assert bring(guest, "--none").waits == ()
    assert bring(guest, "revert").outcome == "reverted"
    assert guest.run("cat", SETTINGS_FILE) == "version=1.0\nby-hand\n"


def main_pid(guest: PackageGuest, unit: str) -> str:
    return guest.run("systemctl", "show", "--property=MainPID", "--value", unit).strip()


def test_a_probe_that_fails_after_the_patch_brings_the_old_version_back(guest: PackageGuest) -> None:
    guest.offer(TWO)
    guest.put("/root/probe", b"#!/bin/sh\ngrep 1.0 /usr/lib/toy/library\n")
    guest.run("chmod", "755", "/root/probe")
    done = patch(guest, "--packages", "toy=2.0", "--probe", "/root/probe")
    assert (done.returncode, told(guest).outcome) == (1, "reverted"), done.stdout + done.stderr
    assert "PROVE: /root/probe ended with 1" in told(guest).reason


def test_a_package_whose_script_fails_is_taken_back_and_told(guest: PackageGuest) -> None:
    guest.offer(BROKEN)
    done = patch(guest, "--packages", "toy=3.0")
    assert (done.returncode, told(guest).outcome) == (1, "reverted"), done.stdout + done.stderr
    assert told(guest).reason.startswith("BRING: ")
    guest.withdraw(BROKEN)


def test_without_the_old_package_nothing_is_touched(guest: PackageGuest) -> None:
    guest.offer(TWO)
    guest.withdraw(ONE)
    done = patch(guest, "--packages", "toy=2.0")
    assert (done.returncode, told(guest).outcome) == (1, "failed")
    assert "the .deb of toy=1.0 cannot be had, so that there would be no way back" in done.stdout
    guest.offer(ONE)


def test_a_lock_that_is_held_is_waited_for_and_named_when_it_stays(guest: PackageGuest) -> None:
    guest.offer(TWO)
    with lock_held(guest, 3):
        assert bring(guest, "--packages", "toy=2.0").outcome == "installed"
    bring(guest, "revert")
    with lock_held(guest, 60):
        guest.put(
            "/etc/zlh-agent-plugin.conf", guest.settings.replace("lock_seconds = 20", "lock_seconds = 1").encode()
        )
        done = patch(guest, "--packages", "toy=2.0")
    guest.put("/etc/zlh-agent-plugin.conf", guest.settings.encode())
    assert (done.returncode, "dpkg/lock-frontend" in done.stdout) == (1, True), done.stdout


class lock_held:
    """The lock of packages in a guest is held by somebody else for so many seconds, or until the end."""

    def __init__(self, guest: PackageGuest, seconds: float) -> None:
        self.guest, self.seconds = guest, seconds

    def __enter__(self) -> None:
        self.holder = self.guest.begin("python3", "-c", HOLD_LOCK.format(seconds=self.seconds))
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == "held\n"

    def __exit__(self, *_: object) -> None:
        kill_inside(self.holder)


def kill_inside(started: "subprocess.Popen[str]") -> None:
    """Kill what nsenter started, by the number that this machine gives to it; nsenter waits for it."""
    for child in Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)
    started.communicate()


def test_a_plugin_killed_while_dpkg_works_is_taken_up_again_and_finished(guest: PackageGuest) -> None:
    """dpkg outlives it: the next plugin waits for its lock."""
    guest.offer(SLOW)
    started = guest.begin(PROGRAM, "patch", "--packages", "toy=4.0")
    until(lambda: guest.exists("/run/toy-is-being-configured"), 60, "dpkg at its script")
    kill_inside(started)
    assert guest.read_patch()["step"] == "BRING"
    guest.run(PROGRAM, "update")
    assert (guest.version_of("toy"), told(guest).outcome) == ("4.0", "installed")
    bring(guest, "revert")
    guest.withdraw(SLOW)
