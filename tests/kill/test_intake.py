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
from tests.note_file import write_note
from zlh_hooks.adapters.clock import SystemClock
from zlh_hooks.adapters.ledger import SqlLedger
from zlh_hooks.adapters.spool import open_spool
from zlh_hooks.application.intake import Intake
from zlh_hooks.domain.audit import find_break

pytestmark = pytest.mark.process


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
            write_note(folder, START + timedelta(seconds=number), 5012, phase)
            for number, phase in enumerate(("post-stop", "post-start"))
        ]
        was_killed = kill_at(folder, file, point)
        clock = SystemClock()
        with closing(SqlLedger.open(file, clock)) as ledger:
            with open_spool(folder, clock) as spool:
                Intake(spool, ledger, print).run()
            assert [entry.data["file"] for entry in ledger.read()] == names
            assert find_break(ledger.read()) is None
        assert list(folder.iterdir()) == []
        if not was_killed:
            break
    assert point > 15
