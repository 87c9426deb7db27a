"""The worker: the one process that executes. It takes up what the ledger holds and stops when nothing is left."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from zlh_hooks.application.controller_lock import MARGIN, ControllerLock
from zlh_hooks.application.desk import find_due, list_progress
from zlh_hooks.application.ports import Clock, LeaseHolder, Ledger, WorkerLease
from zlh_hooks.domain.errors import LeaseLost, NotAllowed, RoadError, TargetError
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.progress import Progress

POLL = timedelta(seconds=1)


class Story(Protocol):
    """A rollout that can be carried on."""

    def run(self) -> None:
        """Carry it to its end."""


class Aftercare(Protocol):
    """What remains of a rollout that ended."""

    def tend(self) -> None:
        """Do what is due now."""

    def tend_half_way(self) -> None:
        """Only what guests need that were left half-way."""


@dataclass(slots=True)
class HeldLease:
    """The worker's lease as it stands now."""

    lease: WorkerLease
    holder: LeaseHolder
    length: timedelta
    clock: Clock

    def renew(self) -> None:
        """Extend it; ``LeaseLost`` if another worker took over."""
        self.holder = self.lease.renew(self.holder, self.length)

    def assure(self) -> None:
        """``LeaseLost`` unless nobody can take over for half of its length from now: long enough to send a request.

        While the heart beats this only looks at the clock. A process that was stopped or starved finds out here.
        """
        if self.holder.until - self.clock.now() < self.length / 2:
            self.renew()


@dataclass(slots=True)
class Heartbeat:
    """Keeps the worker's lease, and while a rollout runs the controller's claim, alive beside the work."""

    held: HeldLease
    lock: ControllerLock
    clock: Clock
    controls: bool = False
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _claim_due: float = 0.0
    _claimed_until: datetime | None = None
    _may_stand: bool = True  # a worker that died leaves its claim to the next one

    def __enter__(self) -> "Heartbeat":
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def control(self) -> None:
        """Take the controller's claim now; ``NotAllowed`` names who has it."""
        self._may_stand = True
        until = self.lock.take()
        self._claim_due = self.clock.monotonic() + (until - self.clock.now()).total_seconds() / 3
        self._claimed_until, self.controls = until, True

    def give_up_control(self) -> None:
        """Take the claim off, now that no rollout runs; also one that this controller's last worker died with."""
        if self._may_stand:
            self.controls = False
            self.lock.release()
            self._may_stand = False

    def assure(self) -> None:
        """Before each changing request: nobody else executes, on this ledger (``LeaseLost``) or on another.

        A claim that is about to run out is taken anew: whoever has it by then is named by ``NotAllowed``.
        """
        self.held.assure()
        if self.controls and self._claimed_until is not None and self._claimed_until - self.clock.now() < MARGIN:
            self.control()

    def _beat(self) -> None:
        while not self._stop.wait(self.held.length.total_seconds() / 4):
            try:
                self.held.renew()
            except LeaseLost:
                return  # every further append and every changing request of this process is refused
            self._renew_claim()

    def _renew_claim(self) -> None:
        if not self.controls or self.clock.monotonic() < self._claim_due:
            return
        try:
            self.control()
        except (RoadError, TargetError, NotAllowed):
            self._claim_due = self.clock.monotonic() + self.held.length.total_seconds()


class Teller(Protocol):
    """What tells customers of changes, beside the work."""

    def is_quiet(self) -> bool:
        """Whether all that the ledger holds was told; raises what ended the teller, if anything did."""


class Silence:
    """Nobody is told."""

    def is_quiet(self) -> bool:
        """Always."""
        return True


@dataclass(slots=True)
class Worker:
    """Executes one ledger's rollouts, one at a time, and tends those that soak."""

    ledger: Ledger
    clock: Clock
    heartbeat: Heartbeat
    open_story: Callable[[Plan], Story]
    open_aftercare: Callable[[Plan], Aftercare]
    teller: Teller = field(default_factory=Silence)

    def run(self, *, stays: bool) -> None:
        """Work until nothing is left to do or to wait for; with ``stays`` for ever."""
        while True:
            rollouts = list_progress(self.ledger)
            running = find_due(self.ledger, rollouts)
            if running is not None:
                self._carry_on(running)
                continue
            is_free = self._let_go()
            soaking = [progress for progress in rollouts if progress.is_soaking]
            if self.teller.is_quiet() and is_free and not soaking and not stays:
                return
            for progress in soaking:
                self._tend(progress)
            self.clock.sleep(POLL)

    def _carry_on(self, progress: Progress) -> None:
        self.heartbeat.control()
        self.open_story(progress.plan).run()

    def _let_go(self) -> bool:
        """Whether the cluster is free of our claim; if the road is broken, it is tried again in the next round."""
        try:
            self.heartbeat.give_up_control()
        except LeaseLost:
            raise
        except (RoadError, TargetError):
            return False
        return True

    def _tend(self, progress: Progress) -> None:
        try:
            self.open_aftercare(progress.plan).tend()
        except LeaseLost:
            raise
        except RoadError:
            return  # looked at again in the next round
