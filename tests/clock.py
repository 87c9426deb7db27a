"""A clock that only moves when it is told to, or when somebody sleeps on it."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


class FakeClock:
    """The Clock port without waiting: ``now`` and ``monotonic`` advance together by what was slept.

    Each callable in ``on_sleep`` is called, with the new time, after every sleep and may change the world or sleep itself.
    """

    def __init__(self, start: datetime = START) -> None:
        self.on_sleep: list[Callable[[datetime], None]] = []
        self._start = start
        self._passed = timedelta()
        self._guard = threading.Lock()

    def now(self) -> datetime:
        """Aware, UTC."""
        with self._guard:
            return self._start + self._passed

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        with self._guard:
            return self._passed.total_seconds()

    def advance(self, length: timedelta) -> datetime:
        """Let time pass without telling anybody; returns the new time."""
        with self._guard:
            self._passed += length
            return self._start + self._passed

    def set_by(self, length: timedelta) -> None:
        """Somebody sets the wall clock; the monotonic one does not notice."""
        with self._guard:
            self._start += length

    def sleep(self, length: timedelta) -> None:
        """Let time pass at once and tell ``on_sleep``."""
        now = self.advance(max(length, timedelta()))
        for callback in tuple(self.on_sleep):
            callback(now)
