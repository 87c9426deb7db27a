"""A reader of notes that is killed at every point, by SIGKILL: the ledger on its disk has each note once."""

import signal
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from tests.clock import START
from tests.note_file import draft_note, write_note
from zlh_hooks.adapters.clock import SystemClock
from zlh_hooks.adapters.ledger import SqlLedger
from zlh_hooks.adapters.note_record import SqlNoteRecord
from zlh_hooks.adapters.spool import open_spool
from zlh_hooks.application.intake import Intake
from zlh_hooks.domain.audit import find_break

pytestmark = pytest.mark.process
PHASES = ("post-stop", "post-start")


def kill_at(folder: Path, file: Path, point: int) -> bool:
    """Whether it came to that point."""
    words = [sys.executable, "-m", "tests.kill.intake_process", str(folder), str(file), str(point)]
    ended = subprocess.run(words, check=False, timeout=60).returncode
    assert ended in (0, -signal.SIGKILL)
    return ended != 0


def test_a_reader_that_is_killed_at_any_point_loses_and_doubles_nothing(tmp_path: Path) -> None:
    for point in count(1):
        folder, file = tmp_path / str(point), tmp_path / f"{point}.sqlite"
        folder.mkdir()
        names = [
            write_note(folder, START + timedelta(seconds=number), 5012, phase) for number, phase in enumerate(PHASES)
        ]
        was_killed = kill_at(folder, file, point)
        clock = SystemClock()
        with closing(SqlLedger.open(file, clock)) as ledger:
            with open_spool(folder, clock) as spool:
                Intake(spool, SqlNoteRecord.open(ledger), print).run()
            assert [entry.data["file"] for entry in ledger.read()] == names
            assert find_break(ledger.read()) is None
        assert list(folder.iterdir()) == []
        if not was_killed:
            break
    assert point > 15


def receive(notes: dict[str, str], file: Path, point: int) -> tuple[bool, list[str]]:
    """Whether the receiver came to that point, and which notes it has acknowledged by then."""
    frames = [f"{name} {len(text)}\n{text}\n" for name, text in notes.items()]  # each a batch of its own
    words = [sys.executable, "-m", "tests.kill.intake_process", "-", str(file), str(point)]
    ended = subprocess.run(words, input="".join(frames), capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
    return ended.returncode != 0, [line.removeprefix("kept ") for line in ended.stdout.splitlines()]


@pytest.mark.matrix
def test_a_receiver_that_is_killed_at_any_point_acknowledges_only_what_is_recorded(tmp_path: Path) -> None:
    notes = dict(draft_note(START + timedelta(seconds=at), 5012, phase) for at, phase in enumerate(PHASES))
    for point in count(1):
        file = tmp_path / f"{point}.sqlite"
        was_killed, kept = receive(notes, file, point)
        with closing(SqlLedger.open(file, SystemClock())) as ledger:
            assert set(kept) <= {entry.data["file"] for entry in ledger.read()}
        assert receive({name: text for name, text in notes.items() if name not in kept}, file, 0)[0] is False
        with closing(SqlLedger.open(file, SystemClock())) as ledger:
            assert [entry.data["file"] for entry in ledger.read()] == list(notes)
            assert find_break(ledger.read()) is None
        if not was_killed:
            break
    assert point > 15
