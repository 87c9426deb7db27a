"""The simulated clock, which tests may also set."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from zlh_hooks.simulation.clock import SimulatedClock

START = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


class FakeClock(SimulatedClock):
    """Begins on a Monday in November."""

    def __init__(self, start: datetime = START) -> None:
        super().__init__(start)

    def later(self, length: timedelta, act: Callable[[], object]) -> None:
        """Something happens so long from now, while somebody waits."""
        due = self.now() + length
        self.when(lambda: self.now() >= due, act)

    def when(self, condition: Callable[[], bool], act: Callable[[], object]) -> None:
        """The same as soon as it is so; once, whichever thread sees it first."""
        once = threading.Lock()

        def watch(_: datetime) -> None:
            if condition() and once.acquire(blocking=False):
                self.on_sleep.remove(watch)
                act()

        self.on_sleep.append(watch)

    def set_by(self, length: timedelta) -> None:
        """Somebody sets the wall clock; the monotonic one does not notice."""
        with self._guard:
            self._start += length
