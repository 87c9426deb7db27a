"""The record holds: whoever appends, whoever is killed, whatever is changed behind its back."""

import math
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from tests.clock import START, FakeClock
from zlh_hooks.adapters.ledger import SqlLedger
from zlh_hooks.domain.audit import find_break
from zlh_hooks.domain.entry import GENESIS, Draft, Entry, Kind
from zlh_hooks.domain.errors import LedgerBroken, RoadError, SettingsError

REPOSITORY = Path(__file__).parents[2]


def note(name: str = "said", rollout: str = "", **data: object) -> Draft:
    return Draft(Kind.NOTE, name, rollout, data=data)


def change(path: Path, statement: str, *values: object) -> None:
    """What somebody with the file and without this program would do."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def start_writer(path: Path, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.adapters.ledger_writer", "append", str(path), str(count)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def parse_told(lines: Iterable[str]) -> dict[int, str]:
    """Sequence to digest, as a writer was told; a line cut off by a kill was not told."""
    whole = (line.split() for line in lines if line.endswith("\n"))
    return {int(sequence): digest for sequence, digest in whole}


def first_told(writers: Iterable[subprocess.Popen[str]]) -> dict[int, str]:
    """Wait until each has appended something."""
    told: dict[int, str] = {}
    for writer in writers:
        assert writer.stdout is not None
        told |= parse_told([writer.stdout.readline()])
    return told


def told_until_the_end(writers: Iterable[subprocess.Popen[str]]) -> dict[int, str]:
    """Everything else they were told."""
    told: dict[int, str] = {}
    for writer in writers:
        assert writer.stdout is not None
        told |= parse_told(writer.stdout)
        writer.stdout.close()
        writer.wait()
    return told


def digests(entries: Iterable[Entry]) -> dict[int, str]:
    return {entry.sequence: entry.digest for entry in entries}


# --- the chain


def test_the_first_entry_hangs_on_nothing_and_each_further_one_on_the_one_before(ledger: SqlLedger) -> None:
    first, second = ledger.append(note()), ledger.append(note())
    assert (first.sequence, first.previous) == (1, GENESIS)
    assert (second.sequence, second.previous) == (2, first.digest)


def test_an_entry_carries_the_time_of_the_given_clock(ledger: SqlLedger, clock: FakeClock) -> None:
    clock.advance(timedelta(hours=3, microseconds=7))
    entry = ledger.append(note())
    assert entry.at == START + timedelta(hours=3, microseconds=7)
    assert ledger.read()[0].at.tzinfo is UTC


def test_what_append_returns_is_what_another_process_reads(ledger: SqlLedger, tmp_path: Path) -> None:
    data = {"b": (1, 2.5, None), "a": {"ü\n\x00": "\ud800"}, "c": {10: True, 9: False}}
    entry = ledger.append(Draft(Kind.INTENT, "exchange", "r1", 5001, data))
    with closing(SqlLedger.open(tmp_path / "ledger.db", FakeClock())) as other:
        assert other.read() == (entry,)
    assert entry.data == {"b": [1, 2.5, None], "a": {"ü\n\x00": "\ud800"}, "c": {"10": True, "9": False}}
    assert find_break([entry]) is None


@pytest.mark.parametrize("value", [object(), {1, 2}, math.nan])
def test_data_that_is_not_json_is_refused_and_leaves_no_entry(ledger: SqlLedger, value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        ledger.append(note(value=value))
    assert ledger.read() == ()


def test_one_rollout_is_read_without_the_others_and_only_what_came_after(ledger: SqlLedger) -> None:
    for rollout in ("r1", "r2", "r1", "", "r1"):
        ledger.append(note(rollout=rollout))
    assert [entry.sequence for entry in ledger.read("r1")] == [1, 3, 5]
    assert [entry.sequence for entry in ledger.read("r1", after=1)] == [3, 5]
    assert [entry.sequence for entry in ledger.read(after=3)] == [4, 5]
    assert [entry.sequence for entry in ledger.read("")] == [4]
    assert ledger.read("r3") == ()


# --- several writers


def test_threads_of_one_worker_make_one_chain_while_others_read(ledger: SqlLedger) -> None:
    with ThreadPoolExecutor(24) as pool:
        entries = list(pool.map(lambda number: ledger.append(note(number=number)), range(240)))
        views = list(pool.map(lambda _: ledger.read(), range(24)))
    assert digests(entries) == digests(ledger.read())
    assert all(find_break(view) is None for view in views)


def test_processes_that_create_the_ledger_and_append_at_once_make_one_chain(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "made" / "ledger.db"
    writers = [start_writer(path, 60) for _ in range(5)]
    told = told_until_the_end(writers)
    assert [writer.returncode for writer in writers] == [0] * 5
    with closing(SqlLedger.open(path, clock)) as ledger:
        entries = ledger.read()
    assert digests(entries) == told
    assert len(told) == 300
    assert find_break(entries) is None
    assert [file.name for file in path.parent.iterdir()] == ["ledger.db"]


@pytest.mark.parametrize("seed", range(5))
def test_after_writers_were_killed_every_acknowledged_entry_is_there_and_the_chain_holds(
    tmp_path: Path, clock: FakeClock, seed: int
) -> None:
    chance = random.Random(seed)
    with closing(SqlLedger.open(tmp_path / "ledger.db", clock)) as ledger:
        writers = [start_writer(tmp_path / "ledger.db", 100_000) for _ in range(2)]
        told = first_told(writers)
        threading.Event().wait(chance.uniform(0.0, 0.3))  # the moment of the kill is what is varied
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)
        told |= told_until_the_end(writers)
        recorded = digests(ledger.read())
        assert told.items() <= recorded.items()
        assert len(recorded) <= len(told) + len(writers), "at most one entry each was recorded and not yet told"
        assert ledger.append(note("goes on")).sequence == len(recorded) + 1
        assert find_break(ledger.read()) is None


# --- tampering

TAMPERED = [
    ("sequence", 30),
    ("at", "2026-11-23T04:00:00.000001+00:00"),
    ("at", "2026-11-23T04:00:00.000000"),
    ("at", "yesterday"),
    ("kind", "done"),
    ("kind", "nonsense"),
    ("name", "other"),
    ("name", b"said"),
    ("rollout", "r2"),
    ("target", 5002),
    ("target", None),
    ("target", "some"),
    ("data", '{"number":4}'),
    ("data", '{"number": 3}'),
    ("data", '{"number":2,"number":3}'),
    ("data", "[]"),
    ("data", "{"),
    ("data", b"{}"),
    ("previous", GENESIS),
    ("digest", GENESIS),
]


def find_fault(ledger: SqlLedger) -> str:
    """What a reader is told: the break in the chain, or that the entry cannot even be read."""
    try:
        return str(find_break(ledger.read()) or "")
    except LedgerBroken as error:
        return str(error)


def write_five(ledger: SqlLedger) -> None:
    for number in range(1, 6):
        ledger.append(Draft(Kind.NOTE, "said", "r1", 5001, {"number": number}))


@pytest.mark.parametrize(("column", "value"), TAMPERED)
def test_a_changed_column_is_found_at_its_entry(ledger: SqlLedger, column: str, value: object) -> None:
    write_five(ledger)
    assert find_fault(ledger) == ""
    change(ledger.database.path, f"UPDATE ledger_entry SET {column} = ? WHERE sequence = 3", value)
    assert "entry 3" in find_fault(ledger)


def test_a_removed_entry_is_found(ledger: SqlLedger) -> None:
    write_five(ledger)
    change(ledger.database.path, "DELETE FROM ledger_entry WHERE sequence = 1")
    assert find_fault(ledger) == "entry 1: missing; the next one there is entry 2"


def test_a_removed_entry_whose_followers_moved_up_is_found(ledger: SqlLedger) -> None:
    write_five(ledger)
    change(ledger.database.path, "DELETE FROM ledger_entry WHERE sequence = 3")
    for sequence in (4, 5):
        change(ledger.database.path, "UPDATE ledger_entry SET sequence = ? WHERE sequence = ?", sequence - 1, sequence)
    assert "entry 3: its previous digest is" in find_fault(ledger)


# --- copies


def test_a_copy_made_while_others_append_is_a_whole_ledger_of_its_own(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "ledger.db"
    with closing(SqlLedger.open(path, clock)) as ledger:
        writer = start_writer(path, 100_000)
        first_told([writer])
        for number in range(5):
            before = ledger.read()
            ledger.copy_to(tmp_path / f"copy-{number}")
            with closing(SqlLedger.open(tmp_path / f"copy-{number}", clock)) as copy:
                entries = copy.read()
            assert entries[: len(before)] == before
            assert find_break(entries) is None
        deadline = time.monotonic() + 30
        while len(ledger.read()) == len(before):
            assert time.monotonic() < deadline, "the writer writes on"
        writer.kill()
        told_until_the_end([writer])


def test_a_copy_is_one_file_for_its_owner_only_also_under_a_loose_umask(ledger: SqlLedger, tmp_path: Path) -> None:
    ledger.append(note())
    (tmp_path / "to").mkdir()
    before = os.umask(0)
    try:
        ledger.copy_to(tmp_path / "to" / "copy.db")
    finally:
        os.umask(before)
    assert [file.name for file in (tmp_path / "to").iterdir()] == ["copy.db"]
    assert stat.S_IMODE((tmp_path / "to" / "copy.db").stat().st_mode) == 0o600


def test_a_copy_never_replaces_a_file(ledger: SqlLedger, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("precious")
    with pytest.raises(SettingsError, match=r"copy\.db.*existing file"):
        ledger.copy_to(tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "precious"


def test_a_ledger_that_does_not_verify_is_not_copied_and_nothing_is_left(ledger: SqlLedger, tmp_path: Path) -> None:
    write_five(ledger)
    change(ledger.database.path, "UPDATE ledger_entry SET target = 1 WHERE sequence = 4")
    (tmp_path / "to").mkdir()
    with pytest.raises(LedgerBroken, match=r"entry 4: its digest is .* not copied"):
        ledger.copy_to(tmp_path / "to" / "copy.db")
    assert list((tmp_path / "to").iterdir()) == []


def test_a_copy_into_a_missing_directory_is_a_clear_error(ledger: SqlLedger, tmp_path: Path) -> None:
    with pytest.raises(RoadError, match=r"missing.*No such file or directory"):
        ledger.copy_to(tmp_path / "missing" / "copy.db")
