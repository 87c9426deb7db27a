"""A process of its own that appends to a ledger, to be killed or to run out of disk.

``python -m tests.adapters.ledger_writer append PATH COUNT`` prints ``SEQUENCE DIGEST`` after each append has returned.
``... exhaust PATH`` appends until that fails, makes room, appends once more, and prints what it met as JSON.
"""

import json
import resource
import sys
from pathlib import Path

from zlh_hooks.adapters.clock import SystemClock
from zlh_hooks.adapters.ledger import SqlLedger
from zlh_hooks.domain.audit import find_break
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.errors import RoadError


def append(path: Path, count: int) -> None:
    ledger = SqlLedger.open(path, SystemClock())
    for number in range(count):
        entry = ledger.append(Draft(Kind.NOTE, "counted", data={"number": number, "filler": "x" * 200}))
        print(entry.sequence, entry.digest, flush=True)


def exhaust(path: Path) -> None:
    ledger = SqlLedger.open(path, SystemClock())
    acknowledged = 0
    try:
        while acknowledged < 10_000:
            acknowledged = ledger.append(Draft(Kind.NOTE, "filling", data={"filler": "x" * 5000})).sequence
    except RoadError as error:
        recorded = len(ledger.read())
        make_room(path.parent)
        first_with_room = ledger.append(Draft(Kind.NOTE, "goes on")).sequence
        met = {"acknowledged": acknowledged, "error": str(error), "recorded": recorded}
        print(json.dumps(met | {"first_with_room": first_with_room, "broken": find_break(ledger.read())}))


def make_room(directory: Path) -> None:
    (directory / "ballast").unlink(missing_ok=True)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


if __name__ == "__main__":
    if sys.argv[1] == "append":
        append(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        exhaust(Path(sys.argv[2]))
