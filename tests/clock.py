"""The simulated clock, which tests may also set."""

from datetime import UTC, datetime, timedelta

from zlh_hooks.simulation.clock import SimulatedClock

START = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


class FakeClock(SimulatedClock):
    """Begins on a Monday in November."""

    def __init__(self, start: datetime = START) -> None:
        super().__init__(start)

    def set_by(self, length: timedelta) -> None:
        """Somebody sets the wall clock; the monotonic one does not notice."""
        with self._guard:
            self._start += length
