"""What others than the herald read of emergencies: whether one is open now."""

import threading
from dataclasses import dataclass, field
from datetime import datetime

from zlh_hooks.application.ports import Ledger
from zlh_hooks.domain.emergency import Emergency, EmergencyBook
from zlh_hooks.domain.window_rule import Component


@dataclass(slots=True)
class EmergencyBoard:
    """A ledger's emergencies as they stand whenever it is asked. For all threads of a rollout.

    ``only``: the one that counts, empty for none; None: whichever is open.
    """

    ledger: Ledger
    only: str | None = None
    _book: EmergencyBook = field(default_factory=EmergencyBook)
    _cursor: int = 0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def find_open(self, component: Component, now: datetime) -> Emergency | None:
        """The one that allows something for the component now; one that was ended a moment ago does not any more."""
        found = self.read().find_open(component, now)
        return found if found is None or self.only in (None, found.id) else None

    def read(self) -> EmergencyBook:
        """All of them."""
        with self._guard:
            for entry in self.ledger.read("", after=self._cursor):
                self._cursor = entry.sequence
                self._book.add([entry])
            return self._book
