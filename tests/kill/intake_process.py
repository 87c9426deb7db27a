"""A process of its own that takes notes in and kills itself at one point: ``... SPOOL LEDGER POINT``.

Without a spool (``-``) they come by standard input, and are answered.
"""

import os
import signal
import sys
from pathlib import Path

from tests.fuse import Fuse
from zlh_hooks.adapters.clock import SystemClock
from zlh_hooks.adapters.ledger import SqlLedger
from zlh_hooks.adapters.note_record import SqlNoteRecord
from zlh_hooks.adapters.note_stream import NoteStream
from zlh_hooks.adapters.spool import open_spool
from zlh_hooks.application.intake import Intake


def open_record(file: Path, clock: SystemClock) -> SqlNoteRecord:
    return SqlNoteRecord.open(SqlLedger.open(file, clock))


def take_in(folder: Path, file: Path, point: int) -> None:
    fuse, clock = Fuse(point, lambda: os.kill(os.getpid(), signal.SIGKILL)), SystemClock()
    with open_spool(folder, clock) as spool:
        Intake(fuse.wrap(spool), fuse.wrap(open_record(file, clock)), print).run()


def receive(file: Path, point: int) -> None:
    fuse = Fuse(point, lambda: os.kill(os.getpid(), signal.SIGKILL))
    clock = SystemClock()
    record = open_record(file, clock)
    for batch in NoteStream(0, 1, clock).list_batches():
        Intake(fuse.wrap(batch), fuse.wrap(record), lambda _: None, "pve-1").run()


if __name__ == "__main__":
    if sys.argv[1] == "-":
        receive(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        take_in(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
