"""Whatever kills a lab, nothing of it stays on the machine."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.condition import until
from tests.lab.place import CHECKOUT, HOME
from tests.lab.sweep import Leftover, list_leftovers, sweep

pytestmark = pytest.mark.lab
NAME = f"victim-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
READY = HOME / NAME / "ready"
PROGRAM = """
import subprocess
import time
from tests.lab.image import TemplateVersion, install_root
from tests.lab.lab import Lab
from tests.lab.place import HOME
from tests.stand_in.backend import GuestSpec

lab = Lab(HOME / "{name}").open()
root = lab.volumes.allocate("local", 5001, 2**30)
install_root(lab.volumes, root, TemplateVersion("1"), 100000)
(HOME / "{name}" / "installed").touch()
for vmid in (5001, 5002):
    config = {{"rootfs": root, "net0": "name=eth0,ip=dhcp", "unprivileged": "1"}}
    lab.containers.start(GuestSpec(vmid, "pve1", config))
    root = lab.volumes.copy(root, "local", vmid + 1)
subprocess.Popen(lab.command("sleep", "120"), start_new_session=True)
(HOME / "{name}" / "ready").touch()
time.sleep(120)
"""


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a lab of its own that starts two guests."""
    process = subprocess.Popen((sys.executable, "-c", PROGRAM.format(name=NAME)), cwd=CHECKOUT)
    yield process
    process.kill()
    process.wait()
    sweep(HOME, NAME)


def kinds() -> set[str]:
    return {leftover.kind for leftover in list_leftovers(HOME, NAME)}


def guests() -> dict[str, str]:
    """The inits that run, and the guests' cgroups and interfaces."""
    inits = {str(path): path.read_text() for path in (HOME / NAME).glob("lxc/*/init")}
    assert all(Path("/proc", pid.strip()).exists() for pid in inits.values())
    return inits | {
        leftover.name: leftover.kind for leftover in list_leftovers(HOME, NAME) if leftover.kind != "process"
    }


def appears(path: Path) -> None:
    until(lambda: path.exists(), 60, str(path))


def test_guests_of_a_killed_lab_are_found_and_swept_without_a_trace(victim: subprocess.Popen[bytes]) -> None:
    appears(READY)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert kinds() == {"process", "cgroup", "namespace", "veth"}
    sweep(HOME, NAME)
    assert list_leftovers(HOME, NAME) == ()
    assert not (HOME / NAME).exists()


@pytest.mark.parametrize("milliseconds", [0, 15, 40, 90, 200, 700])
def test_a_kill_while_guests_are_being_started_leaves_nothing_either(
    victim: subprocess.Popen[bytes], milliseconds: int
) -> None:
    appears(HOME / NAME / "installed")
    with pytest.raises(subprocess.TimeoutExpired):
        victim.wait(timeout=milliseconds / 1000)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    sweep(HOME, NAME)
    assert list_leftovers(HOME, NAME) == ()


def test_a_sweep_of_one_lab_leaves_its_neighbour_alone(victim: subprocess.Popen[bytes]) -> None:
    appears(READY)
    before = guests()
    sweep(HOME, f"{NAME}-neighbour")
    sweep(HOME, NAME[:-1])
    sweep(HOME.parent, NAME)
    assert guests() == before
    assert victim.poll() is None


def test_a_killed_monitor_leaves_a_cgroup_that_the_sweeper_takes_away(victim: subprocess.Popen[bytes]) -> None:
    appears(READY)
    for leftover in list_leftovers(HOME, NAME):
        if leftover.kind == "process":
            _kill(int(leftover.name))
    until(lambda: "process" not in kinds(), 10, "end of the guests")
    assert "cgroup" in kinds()
    sweep(HOME, NAME)
    assert list_leftovers(HOME, NAME) == ()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def test_a_mount_and_a_loop_device_in_the_labs_directory_are_found_and_removed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "lab").mkdir(parents=True)
    (home / "disk").write_bytes(bytes(2**20))
    subprocess.run(("mount", "-t", "tmpfs", "tmpfs", home / "lab"), check=True)
    found = ("losetup", "--find", "--show", home / "disk")
    device = subprocess.run(found, check=True, capture_output=True, text=True).stdout.strip()
    assert list_leftovers(home) == (Leftover("loop", device), Leftover("mount", str(home / "lab")))
    sweep(home)
    assert list_leftovers(home) == ()
