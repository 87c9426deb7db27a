"""When guests were last backed up, as the hook of backups noted it and the intake recorded it."""

import threading
from dataclasses import dataclass, field
from datetime import datetime

from zlh_hooks.application.ports import Ledger
from zlh_hooks.domain.note_book import find_backups


@dataclass(slots=True)
class BackupBook:
    """Reads what was recorded since it was last asked. Threads may share it."""

    ledger: Ledger
    _ends: dict[int, datetime] = field(default_factory=dict)
    _cursor: int = 0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def find_last(self, vmid: int) -> datetime | None:
        """When the last good backup of the guest ended, by its node's clock; None if none was noted."""
        with self._guard:
            entries = self.ledger.read(rollout="", after=self._cursor)
            self._cursor = entries[-1].sequence if entries else self._cursor
            for guest, end in find_backups(entries).items():
                self._ends[guest] = max(end, self._ends.get(guest, end))
            return self._ends.get(vmid)
