"""A release that cannot even test itself is found before anything points to it."""

import time
from pathlib import Path

import pytest

from agent_plugin.fault import BadRelease
from agent_plugin.selftest import run_self_test


def release(folder: Path, program: bytes, mode: int = 0o755) -> Path:
    (folder / "zlh-agent").write_bytes(program)
    (folder / "zlh-agent").chmod(mode)
    return folder


def test_a_release_that_ends_well_passes_and_was_asked_for_its_self_test(tmp_path: Path) -> None:
    run_self_test(release(tmp_path, b'#!/bin/sh\necho "$*:$PWD" >asked\n'))
    assert (tmp_path / "asked").read_text() == f"--self-test:{tmp_path}\n"


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (b"#!/bin/sh\necho no such module >&2; exit 3\n", "ended with 3: no such module"),
        (b"#!/bin/sh\nexit 1\n", "ended with 1: it said nothing"),
        (b"#!/bin/sh\nkill -SEGV $$\n", "ended with -11"),
        (b"#!/no/such/interpreter\n", "cannot be started"),
        (b"\x7fELF garbage", "cannot be started"),
        (b"", "cannot be started"),
    ],
)
def test_a_release_that_fails_its_self_test_is_bad_in_its_own_words(tmp_path: Path, program: bytes, words: str) -> None:
    with pytest.raises(BadRelease, match=words):
        run_self_test(release(tmp_path, program))


def test_a_release_without_the_program_is_bad(tmp_path: Path) -> None:
    with pytest.raises(BadRelease, match="cannot be started"):
        run_self_test(tmp_path)


def test_a_self_test_without_end_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    program = b"#!/bin/sh\ntrap '' TERM; sleep 600 & echo $! >child; wait\n"
    with pytest.raises(BadRelease, match="did not end in time"):
        run_self_test(release(tmp_path, program), seconds=2)
    wait_dead(tmp_path)


def test_what_a_self_test_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    run_self_test(release(tmp_path, b"#!/bin/sh\nsleep 600 & echo $! >child\n"))
    wait_dead(tmp_path)


def wait_dead(tmp_path: Path) -> None:
    """Until the child is."""
    child = Path("/proc", (tmp_path / "child").read_text().strip(), "stat")
    deadline = time.monotonic() + 30  # a killed process ends when it is next given the processor
    while child.exists() and child.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)
