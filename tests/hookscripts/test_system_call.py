"""What is asked of the kernel: durable in the right order, and nothing that the hook has no business with."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hookscripts.cluster_node import PROGRAM, open_node
from tests.hookscripts.config import CONFIGS
from tests.hookscripts.node import HOOK, PVE, REPOSITORY, call_hook, needs_root
from tests.hookscripts.power_loss import MAKERS
from tests.hookscripts.world import Call, Environment
from zlh_hooks.domain.guest_note import parse_guest_note

pytestmark = [needs_root, pytest.mark.matrix]  # strace and loop devices are in the workshop alone


@pytest.fixture
def trace(tmp_path: Path) -> list[str]:
    return record(tmp_path)


def record(tmp_path: Path, closed: str = "") -> list[str]:
    """The system calls of a start that is vetoed and noted, in their order, of all its processes."""
    log, script = tmp_path / "trace", tmp_path / "traced"
    script.write_text(f'#!/bin/sh\nexec strace -f -y -s 200 -o {log} sh -c \'exec "$0" "$@" {closed}\' {HOOK} "$@"\n')
    script.chmod(0o755)
    call = Call(("5001", "pre-start"), CONFIGS["down"].text, environment=PVE)
    (answer,) = call_hook(Environment(), (call,), script).answers
    assert answer.exit_code == 1
    return [line.split(maxsplit=1)[1] for line in log.read_text().splitlines()]


def find(trace: list[str], pattern: str) -> int:
    (place,) = [number for number, line in enumerate(trace) if re.match(pattern, line)]
    return place


def assert_in_order(trace: list[str], patterns: list[str]) -> None:
    places = [find(trace, pattern) for pattern in patterns]
    assert places == sorted(places)


def test_a_note_is_made_by_one_call_and_on_the_disk_before_the_hook_says_so(trace: list[str]) -> None:
    order = [
        r"symlink\(\"\{.*\}\", \"2\S+\.json\"\) = 0",
        r"fsync\(\d+<.*/zlh-hooks>",
        r"write\(\d+<.*>, \"noted\"",
    ]
    assert_in_order(trace, order)


def lose_power(folder: Path, *words: str) -> dict[str, str]:
    words = (sys.executable, "-m", "tests.hookscripts.power_loss", str(folder), *words)
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("kind", MAKERS)
def test_a_note_is_there_after_a_power_loss_right_behind_the_hook(kind: str, tmp_path: Path) -> None:
    (text,) = lose_power(tmp_path, kind, "hook").values()
    assert (parse_guest_note(text).guest, parse_guest_note(text).phase) == (5001, "post-stop")


@pytest.mark.parametrize("kind", MAKERS)
def test_without_a_word_to_the_disk_it_would_be_lost(kind: str, tmp_path: Path) -> None:
    assert lose_power(tmp_path, kind, "no hook") == {}


def test_the_child_holds_nothing_of_the_task_when_it_begins_to_read(trace: list[str]) -> None:
    reads = find(trace, r"openat\(.*/etc/pve/lxc/5001\.conf")
    closes = find(trace, r"close_range\(3, 4294967295, 0\)")
    stands_in = [find(trace, rf"dup3\(\d+</dev/null\S*>, {stream}") for stream in range(3)]
    assert closes < min(stands_in) < max(stands_in) < reads


def test_nothing_that_it_opens_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    trace = record(tmp_path, "0>&- 1>&- 2>&-")
    sockets = re.search(r"\[(\d+)<.*, (\d+)<", trace[find(trace, r"socketpair\(")])
    assert sockets and min(map(int, sockets.groups())) > 2


def test_a_copy_in_snippets_is_on_the_disk_before_it_has_its_name() -> None:
    with open_node() as node:
        done = node.run_command("strace", "-f", "-y", "-s", "200", "-o", "/srv/trace", str(PROGRAM), "install")
        assert done.returncode == 0, done.stderr
        lines = [line.split(maxsplit=1)[1] for line in node.path("/srv/trace").read_text().splitlines()]
    order = [
        r"openat\(AT_FDCWD<.*>, \"\S+/snippets/\.zlh-guest-hook\.pve-2\", O_WRONLY\|O_CREAT\|O_EXCL\|O_CLOEXEC, 0600",
        r"fchmod\(\d+<.*/\.zlh-guest-hook\.pve-2>, 0755",
        r"fsync\(\d+<.*/\.zlh-guest-hook\.pve-2>",
        r"rename\(\"\S+/\.zlh-guest-hook\.pve-2\", \"\S+/snippets/zlh-guest-hook\"",
        r"fsync\(\d+<.*/snippets>",
    ]
    assert_in_order(lines, order)


def test_it_runs_no_program_asks_no_network_and_writes_nothing_but_its_note(trace: list[str]) -> None:
    programs = [line for line in trace if line.startswith("execve")]
    networks = [line for line in trace if re.match(r"(socket|connect|bind|sendto|sendmsg)\(", line)]
    writes = [
        line
        for line in trace
        if re.match(r"open.*O_(WRONLY|RDWR|CREAT|TRUNC|APPEND)", line) and "/dev/null" not in line
    ]
    changes = [
        re.sub(r"\(.*", "", line)
        for line in trace
        if re.match(r"(unlink|rename|mkdir|rmdir|link|symlink|chmod|fchmod|chown|truncate)", line)
    ]
    assert [line for line in programs if f'"{HOOK}"' not in line] == []
    assert networks == writes == []
    assert changes == ["symlink"]
