"""One guest of a rollout, from its turn to its end: healthy, left as it was, or taken back."""

import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NoReturn

from zlh_hooks.application.case import Case
from zlh_hooks.application.finish import Finish
from zlh_hooks.application.gate import Later
from zlh_hooks.application.journal import Journal
from zlh_hooks.application.root_driver import PUT
from zlh_hooks.application.turn import Turn
from zlh_hooks.application.verdict import Deferred, Inconclusive, Replaced, Skipped
from zlh_hooks.domain.duration import double
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import GuestMissing, HeldUp, LeaseLost, RoadError, TargetError, Unreadable, ZlhError
from zlh_hooks.domain.plan import PlannedTarget
from zlh_hooks.domain.progress import GROW, RESTART, find_condemning
from zlh_hooks.domain.steps import HALF_WAY, TargetEvent

ROAD_RETRY, LONGEST_RETRY = timedelta(seconds=5), timedelta(seconds=40)
TEND_EVERY = timedelta(seconds=10)
ENDED = (
    TargetEvent.PROVED,
    TargetEvent.REVERT_PROVED,
    TargetEvent.REVERT_UNPROVED,
    TargetEvent.SKIPPED,
    TargetEvent.VANISHED,
    TargetEvent.REPLACED,
)


@dataclass(slots=True)
class Exchange:
    """Shared by the threads of a rollout. What was begun is brought to its end, whatever is ordered or broken."""

    case: Case
    turn: Turn
    finish: Finish
    _half_way: dict[int, PlannedTarget] = field(default_factory=dict)
    _given_way: set[int] = field(default_factory=set)
    _tend_due: float = 0.0
    _tending: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        for target in self.case.in_state(self.case.plan.targets, *HALF_WAY):
            self._half_way[target.vmid] = target

    def run(self, target: PlannedTarget) -> None:
        """Its turn, its new root and its proof; or what became of it instead."""
        journal = self.case.journal_of(target)
        with self.case.crew.slot(target.node):
            self.tend()
            try:
                self._change(target, journal)
            except Later:
                return
            except LeaseLost:
                raise
            except Inconclusive as error:
                self._pause_at_once(error)
            except (TargetError, Unreadable) as error:
                with self.case.alone_with(target):
                    self._end_otherwise(target, journal, error)
            except RoadError as error:
                self._pause_at_once(error)

    def _pause_at_once(self, error: ZlhError) -> NoReturn:
        """Others are begun beside it, and its error is heard when all of them have ended only."""
        self.case.gate.pause(str(error))
        raise error

    def _change(self, target: PlannedTarget, journal: Journal) -> None:
        """Once it is begun a broken road ends nothing: nobody else begins, and this guest is tried until it holds."""
        pauses = double(ROAD_RETRY, LONGEST_RETRY)
        while True:
            try:
                return self._go_on(target, journal)
            except LeaseLost:
                raise
            except RoadError as error:
                if not journal.has_event(TargetEvent.EXCHANGE_BEGAN):
                    raise
                self.case.gate.pause(str(error))
            self.case.gate.obey()
            self.case.gate.wait(next(pauses))

    def _go_on(self, target: PlannedTarget, journal: Journal) -> None:
        if not journal.is_in(TargetEvent.REVERT_BEGAN) and not journal.was_requested(RESTART):
            self._wait_for_turn(target, journal)
        with self.case.alone_with(target):
            if journal.last_name() in ENDED:
                return  # while its turn was waited for, by a restart of its customer's
            try:
                with journal.waiting(lambda: self.turn.may_go_on(target), self.tend):
                    self._bring_new_root(target, journal)
                    self._prove(target, journal)
            except Inconclusive:
                raise
            except TargetError as error:
                self._end_otherwise(target, journal, error)

    def _wait_for_turn(self, target: PlannedTarget, journal: Journal) -> None:
        if journal.has_event(TargetEvent.EXCHANGED):
            return
        if self.case.way_back.is_withdrawing(journal):
            raise HeldUp(journal.last_deferral())
        if self.case.plan.rules.exchange_pending and self.case.gate.board is None:
            self._leave_pending(target, journal)
        self.turn.take(target, journal)

    def _leave_pending(self, target: PlannedTarget, journal: Journal) -> None:
        """The customer's own next restart brings the new root, if that comes before its turn; no date was told."""
        while journal.done(PUT) is None:
            self.case.gate.check()
            self.turn.prove_when_free(target, journal)
            if self.case.gate.is_stopped():
                continue
            with self.case.alone_with(target), journal.waiting(self.case.gate.goes_on, self.tend):
                self._half_way[target.vmid] = target
                self.case.driver.leave_pending(target, journal)

    def _bring_new_root(self, target: PlannedTarget, journal: Journal) -> None:
        if journal.is_in(TargetEvent.REVERT_BEGAN):
            raise TargetError(journal.last_reason())
        if not journal.is_in(TargetEvent.EXCHANGED):
            self._half_way[target.vmid] = target
            self.case.driver.apply(target, journal)

    def _prove(self, target: PlannedTarget, journal: Journal) -> None:
        """Unanswerable is not unhealthy: it is counted apart, asked again, and over its own budget it pauses."""
        while not journal.is_in(TargetEvent.PROVED):
            try:
                self.case.driver.prove(target, journal, self.case.candidate(target))
            except Inconclusive as error:
                journal.write(Kind.NOTE, "error", {"reason": str(error)})
                if self.case.progress().errors > self.case.plan.rules.max_errors:
                    raise
        self.turn.last_success = self.case.clock.monotonic()

    # ------------------------------------------------------------ other ends

    def _end_otherwise(self, target: PlannedTarget, journal: Journal, reason: TargetError | Unreadable) -> None:
        if isinstance(reason, Deferred):
            journal.defer(str(reason))
        elif isinstance(reason, Skipped | Unreadable):
            self.case.skip(target, str(reason))
        elif isinstance(reason, Replaced):
            self.case.way_back.let_go(target, journal, str(reason))
        elif isinstance(reason, GuestMissing):
            self._look_for(target, journal)
        elif isinstance(reason, HeldUp):
            self._give_way(target, journal, str(reason))
        else:
            self.fail(target, journal, str(reason))

    def _look_for(self, target: PlannedTarget, journal: Journal) -> None:
        """It is not where it was: deleted, or moved to another node in the middle of its exchange."""
        try:
            ref = self.case.driver.locate(target)
        except GuestMissing as error:
            journal.event(TargetEvent.VANISHED, str(error))
        else:
            self._give_way(target, journal, f"it moved from {target.node} to {ref.node}")

    def _give_way(self, target: PlannedTarget, journal: Journal, reason: str) -> None:
        """Locked for too long, its storage away, or moved: nothing speaks against the version, and the others go on.

        A write of which nobody knows whether it came counts as one that did.
        """
        if journal.may_be_done(PUT):
            journal.defer(reason)
            self._given_way.add(target.vmid)
        else:
            self.case.skip(target, reason)

    def fail(self, target: PlannedTarget, journal: Journal, reason: str) -> None:
        """This guest goes back at once; over budget, nobody else begins and all follow.

        A storage without room for what its owner enlarged speaks against no version.
        """
        if not journal.may_be_done(PUT):
            return self.case.skip(target, reason)  # nothing of it was changed: there is no way to go back
        if not journal.is_in(TargetEvent.REVERT_BEGAN) and journal.failure(GROW) is None:
            journal.write(Kind.NOTE, "failure", {"reason": reason})
        self._take_back(target, journal, reason)
        self.check_budget()
        self._pause_if_stuck(target, journal)

    def _pause_if_stuck(self, target: PlannedTarget, journal: Journal) -> None:
        if journal.is_in(TargetEvent.REVERT_UNPROVED):
            self.case.gate.pause(f"guest {target.vmid} could not be proved on its old root; look at it before going on")

    def _take_back(self, target: PlannedTarget, journal: Journal, reason: str) -> None:
        """What keeps it from going back now keeps nobody else: it is tried again while the others go on."""
        try:
            self.case.way_back.revert(target, journal, reason)
        except LeaseLost:
            raise
        except GuestMissing:
            self._look_for(target, journal)
        except (RoadError, HeldUp) as error:
            self.case.gate.tell(f"the way back of {target.vmid} waits: {error}")

    def has_given_way(self, target: PlannedTarget) -> bool:
        """Whether its exchange was begun, could not go on when its turn was, and is looked after by ``tend``."""
        return target.vmid in self._given_way

    def check_budget(self) -> None:
        """A failed canary condemns the version; so do more failures in the waves than the rules allow."""
        worst = find_condemning(self.case.progress())
        if worst is not None:
            self.case.gate.turn(f"guest {worst.target.vmid} failed: {worst.reason}")
            self.case.gate.obey()

    # -------------------------------------------------------------- half-way

    def tend(self) -> None:
        """Look after the guests that were left half-way: between two guests, and while the gate is waited at."""
        now = self.case.clock.monotonic()
        if now < self._tend_due or not self._tending.acquire(blocking=False):
            return
        try:
            self._tend_due = now + TEND_EVERY.total_seconds()
            for target in tuple(self._half_way.values()):
                if self.case.gate.is_turned():
                    return  # each look may take as long as a proof, and that is waited for
                self._tend_one(target)
            self.case.tend_others(self.case.gate.is_turned)
        finally:
            self._tending.release()

    def _tend_one(self, target: PlannedTarget) -> None:
        guest = self.case.alone_with(target)
        if not guest.acquire(blocking=False):
            return  # another thread is at work with it
        try:
            self._finish(target)
        except LeaseLost:
            raise
        except RoadError:
            return  # looked at again in the next round
        finally:
            guest.release()

    def _finish(self, target: PlannedTarget) -> None:
        case, journal = self.case, self.case.journal_of(target)
        withdraws = target.vmid in self._given_way
        try:
            self.finish.attempt(
                target,
                journal,
                case.candidate(target),
                lambda reason: self.fail(target, journal, reason),
                withdraws=withdraws,
            )
        except GuestMissing:
            self._look_for(target, journal)
        self._pause_if_stuck(target, journal)
        if journal.last_name() in ENDED:
            del self._half_way[target.vmid]
