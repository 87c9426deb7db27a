"""A process of its own that takes notes in and kills itself at one point: ``... SPOOL LEDGER POINT``."""

import os
import signal
import sys
from pathlib import Path

from tests.fuse import Fuse
from zlh_hooks.adapters.clock import SystemClock
from zlh_hooks.adapters.ledger import SqlLedger
from zlh_hooks.adapters.spool import open_spool
from zlh_hooks.application.intake import Intake


def take_in(folder: Path, file: Path, point: int) -> None:
    fuse, clock = Fuse(point, lambda: os.kill(os.getpid(), signal.SIGKILL)), SystemClock()
    with open_spool(folder, clock) as spool:
        Intake(fuse.wrap(spool), fuse.wrap(SqlLedger.open(file, clock)), print).run()


if __name__ == "__main__":
    take_in(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
