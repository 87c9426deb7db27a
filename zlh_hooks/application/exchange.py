"""One guest of a rollout, from its turn to its end: healthy, left as it was, or taken back."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NoReturn

from zlh_hooks.application.case import Case
from zlh_hooks.application.finish import Finish, waits
from zlh_hooks.application.gate import Later
from zlh_hooks.application.journal import Journal
from zlh_hooks.application.ports import Clock
from zlh_hooks.application.root_driver import PUT
from zlh_hooks.application.turn import Turn
from zlh_hooks.application.verdict import Deferred, Inconclusive, Replaced, Skipped
from zlh_hooks.domain.duration import double
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import GuestMissing, HeldUp, LeaseLost, RoadError, TargetError, Unreadable, ZlhError
from zlh_hooks.domain.plan import PlannedTarget
from zlh_hooks.domain.progress import find_condemning
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
class Rounds:
    """What is done every so often, by whichever thread comes first."""

    _due: float = 0.0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def make(self, clock: Clock, act: Callable[[], None]) -> None:
        """Do it if it is due, and nobody is at it."""
        if clock.monotonic() < self._due or not self._guard.acquire(blocking=False):
            return
        try:
            self._due = clock.monotonic() + TEND_EVERY.total_seconds()
            act()
        finally:
            self._guard.release()


@dataclass(slots=True)
class Exchange:
    """Shared by the threads of a rollout. What was begun is brought to its end, whatever is ordered or broken."""

    case: Case
    turn: Turn
    finish: Finish
    _given_way: set[int] = field(default_factory=set)
    _later: set[int] = field(default_factory=set)
    _looks: Rounds = field(default_factory=Rounds)
    _withdrawals: Rounds = field(default_factory=Rounds)

    def __post_init__(self) -> None:
        for target in self.case.in_state(self.case.plan.targets, *HALF_WAY):
            self.case.half_way[target.vmid] = target
            if self.case.way_back.is_leaving(self.case.journal_of(target)):
                self._given_way.add(target.vmid)

    def run(self, target: PlannedTarget) -> None:
        """Its turn, its new root and its proof; or what became of it instead."""
        journal = self.case.journal_of(target)
        with self.case.crew.slot(target.node):
            self._later.discard(target.vmid)
            self.tend()
            try:
                if not self.has_given_way(target):
                    self._change(target, journal)
            except Later:
                self._later.add(target.vmid)
                self._tend_one(target, self._withdraw)  # a lock may keep that from being done until later
            except LeaseLost:
                raise
            except Inconclusive as error:
                self._pause_at_once(error)
            except (TargetError, Unreadable) as error:
                with self.case.alone_with(target):
                    self._end_otherwise(target, journal, error)
            except RoadError as error:
                self._pause_at_once(error)
            if self.has_given_way(target):
                self._tend_one(target, self._finish)  # if it is not locked nothing of ours stays pending on it

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
        """Its turn may end in the moment in which it has come: its root is withdrawn then, or is to be."""
        is_over = False
        while not is_over:
            if waits(journal):
                self.turn.wait_while_held(target, lambda: self._end_withdrawal(target, journal))
                self.turn.take(target, journal)
            with self.case.alone_with(target):
                is_over = not waits(journal) or self._has_turn(target, journal)
                if is_over and journal.last_name() not in ENDED:  # by a restart of its customer's, meanwhile
                    self._bring_to_end(target, journal)

    def _bring_to_end(self, target: PlannedTarget, journal: Journal) -> None:
        try:
            with journal.waiting(lambda: self.turn.may_go_on(target), self.tend):
                self._bring_new_root(target, journal)
                self._prove(target, journal)
        except Inconclusive:
            raise
        except TargetError as error:
            self._end_otherwise(target, journal, error)

    def _has_turn(self, target: PlannedTarget, journal: Journal) -> bool:
        if self.turn.needs_none(target, journal):
            return True
        return not self.case.way_back.is_withdrawing(journal) and self.turn.may_go_on(target)

    def _end_withdrawal(self, target: PlannedTarget, journal: Journal) -> None:
        """One that was begun, by a worker that died or under a lock: until it is done nothing is begun anew."""
        with self.case.alone_with(target):
            if reason := self.case.way_back.find_withdrawal(journal):
                self.finish.withdraw(target, journal, reason)

    def _bring_new_root(self, target: PlannedTarget, journal: Journal) -> None:
        if journal.is_in(TargetEvent.REVERT_BEGAN):
            raise TargetError(journal.last_reason())
        if not journal.is_in(TargetEvent.EXCHANGED):
            self.case.half_way[target.vmid] = target
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
            self._look_for(target, journal, str(reason))
        elif isinstance(reason, HeldUp):
            self._give_way(target, journal, str(reason))
        else:
            self.fail(target, journal, str(reason))

    def _look_for(self, target: PlannedTarget, journal: Journal, missing: str) -> None:
        """It is not where it was: deleted, or moved to another node in the middle of its exchange.

        If it is there still, a scratch guest is what is missing.
        """
        try:
            ref = self.case.driver.locate(target)
        except GuestMissing as error:
            journal.event(TargetEvent.VANISHED, str(error))
        else:
            moved = f"it moved from {target.node} to {ref.node}"
            self._give_way(target, journal, moved if ref.node != target.node else missing)

    def _give_way(self, target: PlannedTarget, journal: Journal, reason: str) -> None:
        """Locked for too long, its storage away, or moved: nothing speaks against the version, and the others go on.

        A write of which nobody knows whether it came counts as one that did. Where only its time ran out its turn
        comes again.
        """
        if journal.has_event(TargetEvent.EXCHANGE_BEGAN) and not self.turn.may_go_on(target):
            journal.defer(reason)
        elif journal.may_be_done(PUT):
            journal.defer(reason)
            self._given_way.add(target.vmid)
        else:
            self.case.skip(target, reason)

    def fail(self, target: PlannedTarget, journal: Journal, reason: str) -> None:
        """This guest goes back at once; over budget, nobody else begins and all follow.

        Of one that is spared nothing speaks against the version.
        """
        if not journal.may_be_done(PUT):
            return self.case.skip(target, reason)  # nothing of it was changed: there is no way to go back
        if not journal.is_in(TargetEvent.REVERT_BEGAN) and not self.case.progress().of(target.vmid).spared:
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
        except GuestMissing as error:
            self._look_for(target, journal, str(error))
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
        self.withdraw_due()
        self._looks.make(self.case.clock, self._look_after_all)

    def withdraw_due(self) -> None:
        """Only what cannot wait: during a proof too, which may take longer than a window."""
        self._withdrawals.make(self.case.clock, lambda: self._tend_each(self._withdraw))

    def _look_after_all(self) -> None:
        self._tend_each(self._finish)
        if not self.case.gate.is_turned():
            self.case.tend_others(self.case.gate.is_turned)

    def _tend_each(self, act: Callable[[PlannedTarget], None]) -> None:
        for target in tuple(self.case.half_way.values()):
            if self.case.gate.is_turned():
                return  # each look may take as long as a proof, and that is waited for
            self._tend_one(target, act)

    def _tend_one(self, target: PlannedTarget, act: Callable[[PlannedTarget], None]) -> None:
        guest = self.case.alone_with(target)
        if not guest.acquire(blocking=False):
            return  # another thread is at work with it
        try:
            act(target)
        except LeaseLost:
            raise
        except RoadError:
            return  # looked at again in the next round
        finally:
            guest.release()

    def _withdraw(self, target: PlannedTarget, hindrance: str | None = None) -> None:
        """A root that is pending, and may not be now, comes with no restart: the guest's turn comes again.

        ``hindrance``: what is known to keep it from that.
        """
        journal = self.case.journal_of(target)
        if not waits(journal) or target.vmid in self._given_way:
            return
        try:
            reason = hindrance or self._find_hindrance(target, journal)
            if reason is not None:
                self._withdraw_for(target, journal, reason)
        except GuestMissing as error:
            self._look_for(target, journal, str(error))
        self._forget_ended(target, journal)

    def _withdraw_for(self, target: PlannedTarget, journal: Journal, reason: str) -> None:
        try:
            self.finish.withdraw(target, journal, reason)
        except HeldUp as error:
            journal.defer(f"its new root waits to be withdrawn ({reason}): {error}")

    def _find_hindrance(self, target: PlannedTarget, journal: Journal) -> str | None:
        comes_later = "others come before it" if target.vmid in self._later else ""
        known = self.case.way_back.find_withdrawal(journal) or comes_later
        return known or self.turn.standing.find_hindrance(target)

    def _finish(self, target: PlannedTarget) -> None:
        case, journal = self.case, self.case.journal_of(target)
        try:
            if illness := self._find_illness(target, journal):
                return self._withdraw(target, illness)
            self.finish.attempt(
                target,
                journal,
                case.candidate(target),
                lambda reason: self.fail(target, journal, reason),
                leaves=target.vmid in self._given_way,
            )
        except GuestMissing as error:
            self._look_for(target, journal, str(error))
        self._pause_if_stuck(target, journal)
        self._forget_ended(target, journal)

    def _find_illness(self, target: PlannedTarget, journal: Journal) -> str | None:
        is_pending = waits(journal) and journal.may_be_done(PUT) and not self.has_given_way(target)
        return self.turn.standing.find_illness(target, journal) if is_pending else None

    def _forget_ended(self, target: PlannedTarget, journal: Journal) -> None:
        if journal.last_name() in (*ENDED, TargetEvent.WITHDRAWN):
            self.case.half_way.pop(target.vmid, None)
