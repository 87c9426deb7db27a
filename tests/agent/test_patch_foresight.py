"""Who would feel a patch, seen before it: from a ``/proc`` of files, and from this machine's own."""

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent_plugin.patch_foresight import find_users
from agent_plugin.patch_impact import Findings

LIBRARY = "/usr/lib/x86_64-linux-gnu/libssl.so.3"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    return tmp_path


def add(proc: Path, pid: int, mapped: str, group: str, name: str = "game") -> None:
    folder = proc / str(pid)
    folder.mkdir()
    line = f"7f0000000000-7f0000001000 r-xp 00000000 00:2a 1234                       {mapped}\n"
    (folder / "maps").write_text(f"7f0000001000-7f0000002000 rw-p 00000000 00:00 0\n{line}")
    (folder / "cgroup").write_text(group)
    (folder / "comm").write_text(f"{name}\n")


@pytest.mark.parametrize(
    "group", ["0::/system.slice/zlh-game.service\n", "0::/system.slice/zlh-game.service/child\n", "1:name=systemd:/system.slice/zlh-game.service\n0::/\n"]
)  # fmt: skip
def test_a_service_that_has_a_file_of_the_package_mapped_is_named(proc: Path, group: str) -> None:
    add(proc, 20, LIBRARY, group)
    assert find_users([LIBRARY], proc) == Findings(frozenset({"zlh-game.service"}))


@pytest.mark.parametrize("packed", [LIBRARY, LIBRARY.removeprefix("/usr")])
def test_a_file_is_known_by_the_path_that_the_package_has_and_by_that_of_the_kernel(proc: Path, packed: str) -> None:
    add(proc, 20, LIBRARY, "0::/system.slice/zlh-game.service\n")
    add(proc, 21, LIBRARY.removeprefix("/usr"), "0::/system.slice/other.service\n")
    assert find_users([packed], proc).units == {"zlh-game.service", "other.service"}


def test_who_runs_a_file_that_was_replaced_earlier_or_another_one_would_not_feel_it(proc: Path) -> None:
    add(proc, 20, f"{LIBRARY} (deleted)", "0::/system.slice/zlh-game.service\n")
    add(proc, 21, "/usr/lib/other.so", "0::/system.slice/zlh-game.service\n")
    assert find_users([LIBRARY], proc) == Findings()


def test_systemd_itself_and_a_persons_session_are_told_as_what_no_service_is(proc: Path) -> None:
    add(proc, 1, LIBRARY, "0::/init.scope\n", "systemd")
    add(proc, 2, LIBRARY, "0::/system.slice/docker-1.scope/system.slice/ssh.service\n", "sshd")
    add(proc, 30, LIBRARY, "0::/user.slice/user-0.slice/session-1.scope\n", "bash\x1b[2J")
    assert find_users([LIBRARY], proc) == Findings(
        others=frozenset({"PID: 1 systemd", "PID: 2 sshd", "PID: 30 bash?[2J"})
    )


def test_the_plugin_and_what_runs_in_its_service_are_left_out(proc: Path) -> None:
    own = "0::/system.slice/zlh-agent-update.service\n"
    add(proc, os.getpid(), LIBRARY, own, "python3")
    add(proc, 31, LIBRARY, own, "dpkg")
    assert find_users([LIBRARY], proc) == Findings()


def test_a_process_that_ends_while_it_is_looked_at_is_nobody(proc: Path) -> None:
    add(proc, 20, LIBRARY, "")
    for name in ("cgroup", "comm"):
        (proc / "20" / name).unlink()
    assert find_users([LIBRARY], proc) == Findings()


MAP = """
import mmap, sys
with open(sys.argv[1], "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_EXEC, flags=mmap.MAP_PRIVATE)
print("mapped", flush=True)
sys.stdin.read()
"""


def test_the_kernels_own_words_are_understood(tmp_path: Path) -> None:
    file = tmp_path / "library.so"
    file.write_bytes(b"x" * mmap.PAGESIZE)
    command = [sys.executable, "-c", MAP, file]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "mapped\n"
        found = find_users([str(file)])
        named = any(other.startswith(f"PID: {started.pid} ") for other in found.others)
    is_in_our_service = ".service" in Path("/proc/self/cgroup").read_text()
    assert named == (not is_in_our_service)
