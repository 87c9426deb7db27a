"""The command line, in a process that kills itself once the ledger holds an entry: ``launcher SEQUENCE worker ...``.

SEQUENCE 0 lets it live. ``--swift`` before it shortens what is waited for on a real Proxmox only: the simulated one
executes a request at once or never, so that none is still on its way ten seconds later.
"""

import os
import signal
import sys
from datetime import timedelta

from zlh_hooks.adapters.ledger import SqlLedger
from zlh_hooks.application import journal
from zlh_hooks.cli.app import main
from zlh_hooks.domain.entry import Draft, Entry

SWIFT = "--swift"


def die_after(sequence: int) -> None:
    """Let this process end without a chance as soon as that entry is committed, before anybody hears of it."""
    append = SqlLedger.append

    def append_and_die(ledger: SqlLedger, draft: Draft) -> Entry:
        entry = append(ledger, draft)
        if entry.sequence == sequence:
            os.kill(os.getpid(), signal.SIGKILL)
        return entry

    SqlLedger.append = append_and_die  # type: ignore[method-assign]


def shorten_waits() -> None:
    """Poll often, and look for a lost request for a moment only."""
    journal.POLL = timedelta(milliseconds=20)
    journal.ARRIVAL = timedelta(milliseconds=300)


def run(arguments: list[str]) -> None:
    """The command line with these arguments, in this process."""
    if arguments[0] == SWIFT:
        shorten_waits()
    sequence, *command = [part for part in arguments if part != SWIFT]
    die_after(int(sequence))
    sys.argv = ["zlh-hooks", *command]
    main()


if __name__ == "__main__":
    run(sys.argv[1:])
