"""A folder of notes: who may have written there, what is a note at all, and that nothing of it is lost."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.clock import FakeClock
from zlh_hooks.adapters.spool import BAD, PATIENCE, open_spool
from zlh_hooks.domain.errors import NotAllowed, RoadError, SettingsError
from zlh_hooks.domain.guest_note import LONGEST_BYTES

SOMEBODY = 4711
"""A user whose nothing is."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "spool").mkdir(mode=0o700)
    return tmp_path / "spool"


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))


def make_foreign_link(path: Path) -> None:
    path.symlink_to("{}")
    os.chown(path, SOMEBODY, -1, follow_symlinks=False)


def make_foreign(path: Path) -> None:
    path.write_text("{}")
    os.chown(path, SOMEBODY, -1)


def make_huge(path: Path) -> None:
    path.write_bytes(b"x" * (LONGEST_BYTES + 1))


def make_huge_link(path: Path) -> None:
    path.symlink_to("x" * (LONGEST_BYTES + 1))


def make_binary(path: Path) -> None:
    path.write_bytes(b"\xff")


def make_binary_link(path: Path) -> None:
    path.symlink_to("\udcff")


AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


NO_NOTES = [
    (make_fifo, "nor a regular file"),
    (make_socket, "nor a regular file"),
    (Path.mkdir, "nor a regular file"),
    pytest.param(make_foreign, f"user {SOMEBODY}", marks=AS_ROOT),
    pytest.param(make_foreign_link, f"user {SOMEBODY}", marks=AS_ROOT),
    (make_huge, f"at most {LONGEST_BYTES}"),
    (make_huge_link, f"at most {LONGEST_BYTES}"),
    (make_binary, "no text in UTF-8"),
    (make_binary_link, "no text in UTF-8"),
]


def test_notes_are_listed_in_the_order_of_their_names_without_what_begins_with_a_dot(folder: Path) -> None:
    for name in ("b", "a", ".c", "d"):
        (folder / name).symlink_to(name)
    (folder / BAD).mkdir()
    with open_spool(folder, FakeClock()) as spool:
        assert spool.list_notes() == ("a", "b", "d")
        assert spool.read_note("b") == "b"
        spool.delete_note("b")
        assert spool.list_notes() == ("a", "d")


def test_a_note_of_an_earlier_hook_is_a_file(folder: Path) -> None:
    (folder / "a").write_text("text")
    with open_spool(folder, FakeClock()) as spool:
        assert spool.read_note("a") == "text"


def test_what_a_link_leads_to_is_not_read(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (folder / "a").symlink_to(tmp_path / "secret")
    with open_spool(folder, FakeClock()) as spool:
        assert spool.read_note("a") == str(tmp_path / "secret")


@pytest.mark.parametrize(("make", "reason"), NO_NOTES)
def test_what_is_no_note_is_not_read_but_kept_for_a_person(
    folder: Path, make: Callable[[Path], None], reason: str
) -> None:
    make(folder / "x.json")
    before = os.lstat(folder / "x.json")
    with open_spool(folder, FakeClock()) as spool:
        with pytest.raises(ValueError, match=reason):
            spool.read_note("x.json")
        spool.set_aside("x.json")
        assert spool.list_notes() == ()
    assert os.lstat(folder / BAD / "x.json").st_ino == before.st_ino


def test_what_is_set_aside_takes_the_place_of_nothing_that_was_before(folder: Path) -> None:
    with open_spool(folder, FakeClock()) as spool:
        for text in ("first", "second", "third"):
            (folder / "x").write_text(text)
            spool.set_aside("x")
    assert [(folder / BAD / name).read_text() for name in ("x", "x.1", "x.2")] == ["first", "second", "third"]


def test_the_place_for_what_is_bad_is_no_link_that_leads_elsewhere(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (folder / BAD).symlink_to(tmp_path / "elsewhere")
    (folder / "x").touch()
    with open_spool(folder, FakeClock()) as spool, pytest.raises(RoadError, match="bad"):
        spool.set_aside("x")
    assert spool_names(folder) == ["bad", "x"]


def spool_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_note_that_is_gone_is_told_by_its_name(folder: Path) -> None:
    with open_spool(folder, FakeClock()) as spool, pytest.raises(RoadError, match="'x': No such file"):
        spool.read_note("x")


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o720])
def test_a_folder_where_others_may_write_is_refused(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    with pytest.raises(SettingsError, match="nobody else may write"):
        enter(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_folder_of_somebody_else_is_refused(folder: Path) -> None:
    os.chown(folder, SOMEBODY, -1)
    with pytest.raises(SettingsError, match=f"a folder of user {SOMEBODY}"):
        enter(folder)


def enter(folder: Path) -> None:
    with open_spool(folder, FakeClock()) as spool:
        assert spool.list_notes() == ()


@pytest.mark.parametrize("case", ["missing", "a file", "a link"])
def test_what_is_no_folder_is_refused_by_name(folder: Path, tmp_path: Path, case: str) -> None:
    place = tmp_path / "place"
    if case == "a file":
        place.touch()
    if case == "a link":
        place.symlink_to(folder)
    with pytest.raises(SettingsError, match=f"{place}: --spool: found .*; expected the folder of a guest hook's notes"):
        enter(place)


def test_a_second_reader_waits_for_the_first_and_is_told_if_that_does_not_end(folder: Path) -> None:
    clock = FakeClock()
    with open_spool(folder, FakeClock()):
        began = clock.monotonic()
        with pytest.raises(NotAllowed, match="another intake is reading"), open_spool(folder, clock):
            pass
        assert clock.monotonic() - began >= PATIENCE.total_seconds()
    enter(folder)


HOLDS = """
import sys, time
from pathlib import Path
from tests.clock import FakeClock
from zlh_hooks.adapters.spool import open_spool
with open_spool(Path(sys.argv[1]), FakeClock()):
    print("has it", flush=True)
    time.sleep(600)
"""


def test_a_reader_that_was_killed_keeps_nobody_waiting(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(folder)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "has it\n"
        with pytest.raises(NotAllowed):
            enter(folder)
        holder.kill()
        holder.wait()
    with open_spool(folder, FakeClock()) as spool:
        assert spool.list_notes() == ()
