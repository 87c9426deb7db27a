"""Workers as processes of their own, detached from whoever ordered something: no service manager is asked for."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from zlh_hooks.application.ports import Clock, LeaseHolder, WorkerLease

_COMES_UP = timedelta(seconds=10)
_LOOK = timedelta(milliseconds=100)
_BEYOND_LEASE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class WorkerStarter:
    """Starts workers of one ledger. ``options`` name the settings; what a worker says is appended to ``log``."""

    lease: WorkerLease
    clock: Clock
    log: Path
    options: Sequence[str]

    def ensure(self) -> None:
        """Start one unless the lease is held; for those who look again and again."""
        if self.find_holder() is None:
            self._start(timedelta(0))

    def summon(self) -> None:
        """Start one for what was just ordered. If the lease is held, it waits for the holder's death.

        It ends at the first sign of life of the other.
        """
        held = self.find_holder()
        self._start(held.until - self.clock.now() + _BEYOND_LEASE if held else timedelta(0))

    def find_holder(self) -> LeaseHolder | None:
        """Who holds the lease now, alive or not."""
        held = self.lease.read()
        return held if held is not None and held.until > self.clock.now() else None

    def _start(self, patience: timedelta) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        waits = ("--wait", str(patience.total_seconds()))
        with self.log.open("ab") as output:
            subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "zlh_hooks", "worker", *waits, *self.options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._wait_for_one()

    def _wait_for_one(self) -> None:
        """Until a worker holds the lease, or has already done what there was to do."""
        deadline = self.clock.monotonic() + _COMES_UP.total_seconds()
        while self.find_holder() is None and self.clock.monotonic() < deadline:
            self.clock.sleep(_LOOK)
