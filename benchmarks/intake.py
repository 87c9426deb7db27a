"""What one intake costs beside a ledger of many notes. ``python -m benchmarks.intake [NOTES] [--directory DIR]``.

Each ledger is filled without its chain, which the intake does not read. One intake of a hundred notes is a process of
its own; printed are its time and its memory.
"""

import argparse
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from zlh_hooks.adapters.clock import SystemClock
from zlh_hooks.adapters.ledger import SqlLedger
from zlh_hooks.adapters.note_record import SqlNoteRecord
from zlh_hooks.adapters.note_stream import NoteBatch
from zlh_hooks.application.intake import Intake
from zlh_hooks.domain.guest_note import GuestKind, GuestNote, GuestPhase
from zlh_hooks.domain.note_book import draft_note

SIZES = (1_000, 100_000, 400_000)
BATCH = 100
GUESTS = 1000
SECOND = timedelta(seconds=1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def name_note(number: int, at: datetime) -> str:
    """A file as a node's hook calls it."""
    return f"{at:%Y%m%dt%H%M%S.%fz}-{5000 + number % GUESTS}-post-start-{number}.json"


def draft_batch() -> dict[str, bytes]:
    """Notes of this moment, as a node sends them."""
    notes = {}
    for number in range(BATCH):
        at = datetime.now(UTC)
        values = f'"guest":{5000 + number},"phase":"post-start","at":"{at:%Y-%m-%dT%H:%M:%S.%fZ}","node":"pve-1"'
        more = '"kind":"lxc","lock":"","migrated_from":"","vetoed":false'
        notes[name_note(number, at)] = f'{{"format":1,"event":"guest",{values},{more}}}'.encode()
    return notes


def fill(path: Path, count: int) -> None:
    """So many old notes; the first is written by the ledger itself, the others in its likeness."""
    note = GuestNote(5000, GuestPhase.POST_START, LONG_AGO, "pve-1", GuestKind.LXC, "", "", False)
    with closing(SqlLedger.open(path, SystemClock())) as ledger:
        ledger.append(draft_note(name_note(0, LONG_AGO), note, ""))
    with closing(sqlite3.connect(path)) as connection:
        (first,) = connection.execute("SELECT * FROM ledger_entry")
        marks = ",".join("?" * len(first))
        connection.executemany(f"INSERT INTO ledger_entry VALUES ({marks})", _list_rows(first, count))
        connection.commit()


def _list_rows(first: Sequence[object], count: int) -> Iterator[tuple[object, ...]]:
    _, at, kind, name, rollout, _, data, previous, digest = first
    for number in range(1, count):
        later = LONG_AGO + number * SECOND
        text = str(data).replace(name_note(0, LONG_AGO), name_note(number, later))
        text = text.replace(LONG_AGO.isoformat(timespec="microseconds"), later.isoformat(timespec="microseconds"))
        yield number + 1, at, kind, name, rollout, 5000 + number % GUESTS, text, previous, digest


def take_in(path: Path) -> None:
    """One intake; prints what it has cost."""
    began = time.perf_counter()
    with closing(SqlLedger.open(path, SystemClock())) as ledger:
        record = SqlNoteRecord.open(ledger)
        opened = time.perf_counter()
        taken = Intake(NoteBatch(draft_batch()), record, print).run()
    seconds = time.perf_counter() - opened
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{taken.notes} notes in {seconds:.2f} s, {megabytes} MB; opened in {opened - began:.2f} s")


def main() -> None:
    """Print the figures: the first intake makes the indexes, the second finds them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notes", nargs="*", type=int, default=SIZES, help="how many the ledger holds already")
    parser.add_argument("--directory", type=Path, help="on the disk to measure; default: the temporary directory")
    parser.add_argument("--take-in", type=Path, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.take_in:
        return take_in(wanted.take_in)
    for count in wanted.notes:
        with tempfile.TemporaryDirectory(dir=wanted.directory) as directory:
            path = Path(directory) / "ledger.sqlite"
            fill(path, count)
            for which in ("first", "next"):
                print(f"{count:9} notes, {which} intake: ", end="", flush=True)
                subprocess.run([sys.executable, "-m", "benchmarks.intake", "--take-in", str(path)], check=True)


if __name__ == "__main__":
    main()
