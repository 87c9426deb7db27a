"""A clock that only moves when it is told to, or when everybody sleeps on it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

GRACE = 0.05
"""Seconds of real time without a call after which a thread is taken to wait for something else, as for a lock."""


@dataclass
class Sleeper:
    """One thread that uses the clock: asleep until ``wakes``, or at work; ``seen`` when it called last, really."""

    thread: threading.Thread
    wakes: timedelta | None = None
    seen: float = 0.0
    turn: threading.Event = field(default_factory=threading.Event)

    def holds_up(self) -> bool:
        """Whether time must not pass yet: what it does now takes none."""
        return self.wakes is None and self.thread.is_alive() and time.monotonic() - self.seen < GRACE


class SimulatedClock:
    """The Clock port without waiting: ``now`` and ``monotonic`` advance together by what was slept.

    Time passes when all threads that use it sleep, up to the first that wakes: several at once take as long as one.
    Each callable in ``on_sleep`` is called, with the new time, after every sleep; it may change the world or sleep too.
    """

    def __init__(self, start: datetime) -> None:
        self.on_sleep: list[Callable[[datetime], None]] = []
        self._start = start
        self._passed = timedelta()
        self._guard = threading.RLock()
        self._sleepers: dict[threading.Thread, Sleeper] = {}

    def now(self) -> datetime:
        """Aware, UTC."""
        with self._guard:
            self._see()
            return self._start + self._passed

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        with self._guard:
            self._see()
            return self._passed.total_seconds()

    def advance(self, length: timedelta) -> datetime:
        """Let time pass without telling anybody; returns the new time."""
        with self._guard:
            self._passed += length
            return self._start + self._passed

    def sleep(self, length: timedelta) -> None:
        """Let time pass and tell ``on_sleep``; at once, if nobody else is at work or wakes before."""
        with self._guard:
            me = self._see()
            me.wakes = self._passed + max(length, timedelta())
            me.turn.clear()
            self._wake_next()
        while not me.turn.wait(GRACE):
            with self._guard:
                self._wake_next()
        now = self.advance(timedelta())
        for callback in tuple(self.on_sleep):
            callback(now)

    def _see(self) -> Sleeper:
        thread = threading.current_thread()
        if thread not in self._sleepers:
            self._sleepers = {known: one for known, one in self._sleepers.items() if known.is_alive()}
            self._sleepers[thread] = Sleeper(thread)
        me = self._sleepers[thread]
        me.seen = time.monotonic()
        return me

    def _wake_next(self) -> None:
        sleepers = self._sleepers.values()
        if any(one.holds_up() for one in sleepers):
            return
        asleep = [(one.wakes, number, one) for number, one in enumerate(sleepers) if one.wakes is not None]
        if asleep:
            wakes, _, first = min(asleep)
            self._passed = max(self._passed, wakes)
            first.wakes, first.seen = None, time.monotonic()
            first.turn.set()
