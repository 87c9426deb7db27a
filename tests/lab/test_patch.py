"""Packages are patched in real guests while the game runs: classified from evidence, proved, and taken back."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent_plugin.patch_steps import Step
from agent_plugin.steps import Step as SwapStep
from agent_plugin.wire import Patched
from tests.lab.condition import until
from tests.lab.image import Debian
from tests.lab.lab import Lab
from tests.lab.package_bench import (
    FILLED,
    HELPER,
    LIBRARY,
    MAPPER,
    SETTINGS_FILE,
    Deb,
    PackageGuest,
    build_deb,
    build_toy,
)
from tests.lab.swap_bench import DOOM, PROGRAM, build_release

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]
EVERY = 15
KEPT = "/var/lib/zlh-agent-plugin-packages"
LIST_COMMANDS = "cat /proc/[0-9]*/cmdline 2>/dev/null || true"
HOLD_LOCK = """
import fcntl, signal
with open("/var/lib/dpkg/lock-frontend", "w") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    print("held", flush=True)
    signal.pause()
"""
ONE, TWO = build_toy("1.0"), build_toy("2.0")
BROKEN = build_toy("3.0", postinst='[ "$1" != configure ] || exit 7')
SLOW = build_toy("4.0", postinst="touch /run/toy-is-being-configured; sleep 3")
RUDE = build_toy(
    "6.0", postinst="systemctl daemon-reexec; systemctl daemon-reload; systemctl restart zlh-agent.service"
)


@pytest.fixture(scope="module", params=list(Debian))
def guest(request: pytest.FixtureRequest, lab: Lab) -> Iterator[PackageGuest]:
    made = PackageGuest(lab, request.param)
    made.offer(ONE)
    made.install_packages("toy=1.0")
    yield made
    lab.containers.stop(made.vmid)


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(guest: PackageGuest) -> Iterator[None]:
    """Each test ends at 1.0 with the game the same process, packages whole, and no folder without a way back in it."""
    game, guest.was_off = guest.game(), False
    yield
    assert guest.game() == game or guest.was_off
    assert guest.run("dpkg", "--audit") == ""
    assert (guest.version_of("toy"), guest.run("apt-mark", "showauto", "toy")) == ("1.0", "toy\n")
    assert guest.run("sh", "-c", f"ls -A {KEPT}; ls /etc | grep dpkg- || true") == ""
    assert guest.read_patch_step() in ("END", "")


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


def test_a_fix_that_apt_would_keep_back_is_named_and_never_passed_over(guest: PackageGuest) -> None:
    needy, library = Deb("toy", "2.5", {LIBRARY: "needy"}, depends="libnew"), Deb("libnew", "1.0")
    guest.offer(TWO, needy, library)
    assert (patch(guest, "--security").returncode, told(guest).outcome) == (1, "failed")
    assert told(guest).reason == (
        "PLAN: libnew would be added: install it first, in a window, by hand or by a new template"
    )
    for deb in (needy, library):
        guest.withdraw(deb)
    guest.run("apt-mark", "hold", "toy")
    assert (patch(guest, "--security").returncode, told(guest).outcome) == (1, "failed")
    guest.run("apt-mark", "unhold", "toy")
    assert told(guest).reason.startswith("PLAN: toy is held at 1.0")


@pytest.mark.matrix
def test_a_lock_that_is_held_is_waited_for_and_named_when_it_stays(guest: PackageGuest) -> None:
    guest.offer(TWO)
    with lock_held(guest) as holder:
        waiting = guest.begin(PROGRAM, "patch", "--packages", "toy=2.0")
        until(lambda: "--download-only" in guest.run("sh", "-c", LIST_COMMANDS), 60, "apt at the lock")
        assert guest.version_of("toy") == "1.0"
        kill_inside(holder)
        waiting.communicate(timeout=60)
    assert (waiting.returncode, guest.version_of("toy")) == (0, "2.0")
    bring(guest, "revert")
    with lock_held(guest), settings(guest, "[trial]\nbake_seconds = 1\n[patch]\nlock_seconds = 1\n"):
        done = patch(guest, "--packages", "toy=2.0")
    assert (done.returncode, "dpkg/lock-frontend" in done.stdout) == (1, True), done.stdout


@contextmanager
def lock_held(guest: PackageGuest) -> "Iterator[subprocess.Popen[str]]":
    """The lock of packages in a guest is held by somebody else."""
    holder = guest.begin("python3", "-c", HOLD_LOCK)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        yield holder
    finally:
        if holder.returncode is None:
            kill_inside(holder)


@contextmanager
def settings(guest: PackageGuest, text: str) -> Iterator[None]:
    guest.put("/etc/zlh-agent-plugin.conf", text.encode())
    try:
        yield
    finally:
        guest.put("/etc/zlh-agent-plugin.conf", guest.settings.encode())


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
    assert guest.read_patch_step() == "BRING"
    guest.run(PROGRAM, "update")
    assert (guest.version_of("toy"), told(guest).outcome) == ("4.0", "installed")
    bring(guest, "revert")
    guest.withdraw(SLOW)


@pytest.mark.matrix
def test_a_disk_that_fills_up_while_dpkg_unpacks_ends_with_the_old_package_whole(guest: PackageGuest) -> None:
    big = build_toy("5.0", filler=2_000_000)
    guest.offer(big)
    guest.run("mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", FILLED)
    done = patch(guest, "--packages", "toy=5.0")
    guest.run("umount", FILLED)
    assert (done.returncode, told(guest).outcome) == (1, "reverted"), done.stdout
    assert "No space left on device" in told(guest).reason
    guest.withdraw(big)


@pytest.mark.matrix
def test_a_disk_without_room_is_found_before_anything_is_fetched(guest: PackageGuest) -> None:
    guest.offer(TWO)
    with settings(guest, "[trial]\nreserve_mb = 99999999\n"):
        done = patch(guest, "--packages", "toy=2.0")
    assert (done.returncode, "free bytes, reserve_mb among them" in done.stdout) == (1, True), done.stdout


@pytest.mark.matrix
def test_what_somebody_left_unpacked_is_configured_and_what_cannot_be_is_refused(guest: PackageGuest) -> None:
    for deb in (Deb("other", "1.0"), Deb("worse", "1.0", scripts={"postinst": "exit 9"})):
        guest.put(f"/root/{deb.file}", build_deb(deb))
    guest.offer(TWO)
    guest.run("dpkg", "--unpack", "/root/other_1.0_all.deb")
    bring(guest, "--security")
    assert guest.version_of("other") == "1.0"
    bring(guest, "revert")
    guest.run("dpkg", "--unpack", "/root/worse_1.0_all.deb")
    done = patch(guest, "--security")
    assert (done.returncode, "packages are half installed" in done.stdout, "worse" in done.stdout) == (1, True, True)
    guest.run("dpkg", "--purge", "worse", "other")


@pytest.mark.matrix
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("version", ["2.0", "3.0"])
def test_a_plugin_killed_at_any_act_in_a_real_guest_is_finished_or_taken_back(
    guest: PackageGuest, version: str, record_property: Callable[[str, object], None]
) -> None:
    """Every so many acts of a good patch, and of one whose script fails; the next plugin follows at once."""
    guest.offer(TWO, BROKEN)
    guest.put("/root/doom.py", DOOM.read_bytes())
    acts = int(run_doomed(guest, 0, version).stderr.split()[-1])
    lives = range(1, acts, EVERY)
    for life in lives:
        if guest.version_of("toy") != "1.0":
            bring(guest, "revert")
        assert run_doomed(guest, life, version).returncode == 137, life
        guest.run("sh", "-c", f"{PROGRAM} update || [ $? -eq 1 ]")
        assert guest.read_patch_step() == "END", life
        whole = "2.0" if told(guest).outcome == "installed" else "1.0"
        assert (guest.version_of("toy"), guest.run("dpkg", "--audit")) == (whole, ""), life
    if guest.version_of("toy") != "1.0":
        bring(guest, "revert")
    guest.withdraw(BROKEN)
    record_property("points", len(lives))


def run_doomed(guest: PackageGuest, life: int, version: str) -> "subprocess.CompletedProcess[str]":
    """137, because the shell says so of a child that was killed; nsenter would kill itself."""
    words = ('python3 /root/doom.py "$@"; exit $?', "doom", str(life), "patch", "--packages", f"toy={version}")
    return subprocess.run(guest.command("sh", "-c", *words), capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.matrix
@pytest.mark.parametrize("step", [step for step in Step if step is not Step.END])
@pytest.mark.parametrize("go_down", [PackageGuest.lose_power, PackageGuest.reboot])
def test_a_guest_that_goes_down_once_a_step_is_done_comes_back_with_whole_packages(
    guest: PackageGuest, go_down: "Callable[[PackageGuest], None]", step: Step
) -> None:
    guest.offer(TWO, BROKEN)
    is_bad = step in (Step.REVERT, Step.DISCARD)
    guest.begin_until(step.value, PROGRAM, "patch", "--packages", f"toy={'3.0' if is_bad else '2.0'}")
    go_down(guest)
    guest.resume()
    guest.withdraw(BROKEN)
    assert (told(guest).step, guest.run("dpkg", "--audit")) == ("END", "")
    assert (told(guest).outcome == "installed") == (guest.version_of("toy") == "2.0"), told(guest)
    if told(guest).outcome == "installed":
        bring(guest, "revert")


@pytest.mark.matrix
@pytest.mark.parametrize("step", [SwapStep.UNPACK, SwapStep.ARM, SwapStep.FLIP, SwapStep.RESTART, SwapStep.COMMIT])
def test_a_package_that_restarts_the_agent_in_the_middle_of_a_swap_harms_neither(
    guest: PackageGuest, step: SwapStep
) -> None:
    """And systemd itself with it; needrestart is told to restart what it likes."""
    guest.offer(RUDE)
    release = build_release(f"2.{time.monotonic_ns()}")
    guest.begin_until(step.value, *guest.install_words(release))
    guest.run("apt-get", "--quiet=2", "update")
    guest.run("env", "NEEDRESTART_MODE=a", "apt-get", "--quiet=2", "--yes", "install", "toy=6.0")
    guest.go_on()
    assert (guest.version_of("toy"), guest.version()) == ("6.0", release.version)
    assert (guest.status().outcome, guest.status().current) == ("installed", release.name)
    guest.withdraw(RUDE)
    guest.install_packages("toy=1.0")


@pytest.mark.matrix
def test_an_agent_is_swapped_while_dpkg_works(guest: PackageGuest) -> None:
    guest.offer(SLOW)
    guest.run("rm", "-f", "/run/toy-is-being-configured")
    guest.run("apt-get", "--quiet=2", "update")
    working = guest.begin("apt-get", "--quiet=2", "--yes", "install", "toy=4.0")
    until(lambda: guest.exists("/run/toy-is-being-configured"), 60, "dpkg at its script")
    release = build_release(f"2.{time.monotonic_ns()}")
    done = guest.install(release)
    assert (done.returncode, guest.version()) == (0, release.version), done.stdout + done.stderr
    assert working.communicate(timeout=60) is not None
    assert (working.returncode, guest.version_of("toy")) == (0, "4.0")
    guest.withdraw(SLOW)
    guest.install_packages("toy=1.0")
