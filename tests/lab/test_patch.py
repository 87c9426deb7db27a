"""Packages are patched in real guests while the game runs: classified from evidence, proved, and taken back."""

import subprocess
from collections.abc import Iterator

import pytest

from agent_plugin.wire import Patched
from tests.lab.image import Debian
from tests.lab.lab import Lab
from tests.lab.package_bench import PackageGuest, build_toy
from tests.lab.swap_bench import PROGRAM

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", params=list(Debian))
def guest(request: pytest.FixtureRequest, lab: Lab) -> Iterator[PackageGuest]:
    made = PackageGuest(lab, request.param)
    made.offer(build_toy("1.0"))
    made.install("toy=1.0")
    yield made
    lab.containers.stop(made.vmid)


@pytest.fixture(autouse=True)
def _as_before(guest: PackageGuest) -> Iterator[None]:
    """Each test begins at 1.0, and the game outlives it."""
    game = guest.game()
    yield
    assert guest.game() == game or guest.was_off
    assert guest.run("dpkg", "--audit") == ""


def patch(guest: PackageGuest, *words: str) -> "subprocess.CompletedProcess[str]":
    command = guest.command(PROGRAM, "patch", *words)
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


def told(guest: PackageGuest) -> Patched:
    found = guest.status().patch
    assert found is not None
    return found


def test_a_security_fix_is_brought_while_the_game_runs_and_taken_back_by_a_person(guest: PackageGuest) -> None:
    guest.offer(build_toy("2.0"))
    done = patch(guest, "--security")
    assert done.returncode == 0, done.stdout + done.stderr
    assert guest.version_of("toy") == "2.0"
    assert (told(guest).impact, dict(told(guest).previous)) == ("live", {"toy": "1.0"})
    done = patch(guest, "revert")
    assert done.returncode == 0, done.stdout + done.stderr
    assert guest.version_of("toy") == "1.0"
