"""The way back of a whole rollout, and its end by a person's word: nobody is asked, and all is tried until it works."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from zlh_hooks.application.candidacy import Candidacy
from zlh_hooks.application.case import Case
from zlh_hooks.application.exchange import LONGEST_RETRY, ROAD_RETRY
from zlh_hooks.application.finish import Finish
from zlh_hooks.application.gate import Aborted, Turned
from zlh_hooks.application.preparation import Preparation
from zlh_hooks.application.scratch_guest import BeingMade
from zlh_hooks.domain.duration import double
from zlh_hooks.domain.errors import GuestMissing, LeaseLost, RoadError, TargetError
from zlh_hooks.domain.plan import PlannedTarget
from zlh_hooks.domain.progress import TargetProgress
from zlh_hooks.domain.steps import ON_NEW_ROOT, RolloutEvent, RolloutState, TargetEvent, TargetState


@dataclass(slots=True)
class Retreat:
    """Each end is recorded when all of it is done."""

    case: Case
    finish: Finish
    preparation: Preparation
    candidacy: Candidacy
    _patient_until: float = 0.0
    _left: str = ""

    def go_back(self, turn: Turned) -> None:
        """Every guest that may be on the new root goes back to its old one. ``STUCK`` if one could not be proved."""
        case = self.case
        if case.progress().state is not RolloutState.REVERTING:
            case.journal.event(RolloutEvent.REVERT_ORDERED, turn.reason, revokes=turn.revokes)
        case.gate.tell("going back")
        once_more = {row.target.vmid for row in case.progress().targets if row.state is TargetState.STUCK}
        channel = cache(lambda: self._withdraw(turn))
        self._until_all_is_done(lambda: self._take_back(turn, once_more, channel))
        stuck = case.progress().count(TargetState.STUCK)
        if stuck:
            self._end(RolloutEvent.LEFT_STUCK, f"{stuck} guests could not be proved on their old root")
        else:
            self._end(RolloutEvent.REVERTED, turn.reason)

    def abort(self, reason: str) -> None:
        """What is healthy stays, what is staged is taken away. ``Turned`` if all shall go back instead."""
        self.case.gate.tell("ending here")
        withdraw = cache(self.candidacy.withdraw)
        self._until_all_is_done(lambda: self._leave(reason, withdraw))
        self._end(RolloutEvent.ABORTED, reason)

    def _end(self, event: RolloutEvent, reason: str) -> None:
        self.case.journal.event(event, "; ".join(filter(None, (reason, self._left))))

    def _withdraw(self, turn: Turned) -> None:
        self.case.crew.attempt(self.candidacy.withdraw, lambda: self.candidacy.move_stable_back(turn))

    def _take_back(self, turn: Turned, once_more: set[int], withdraw: Callable[[], None]) -> None:
        """Customers first: a template that is being cloned may keep its tags from being written for a while.

        ``withdraw`` is what is done to the channels, once: each time would be told in the ledger.
        """
        self.case.crew.attempt(
            lambda: self._revert_all(turn.reason, once_more),
            withdraw,
            lambda: self._discard_staged(turn.reason),
            self._clear_prepared,
        )

    def _clear_prepared(self) -> None:
        """A clone that its node's crash left locked keeps no rollout from its end: it is named there."""
        try:
            self.preparation.clear_in_the_end()
        except BeingMade as error:
            if self._is_patient():
                raise
            way = "zlh-hooks recover takes it away, after pct unlock if the lock has outlived its clone"
            self._left = f"left behind: {error}; {way}"

    def _revert_all(self, reason: str, once_more: set[int]) -> None:
        """``once_more``: those whom an earlier retreat left ``STUCK``, until they were tried."""
        case = self.case
        rows = [row for row in case.progress().targets if row.state in ON_NEW_ROOT or row.target.vmid in once_more]

        def rank(row: TargetProgress) -> tuple[bool, datetime, int]:
            return row.state is TargetState.APPLYING, row.began_at or case.plan.created, row.target.vmid

        newest_first = sorted(rows, key=rank, reverse=True)  # but first of all those to whom the new root may come yet

        def revert(target: PlannedTarget) -> None:
            self._revert(target, reason)
            once_more.discard(target.vmid)

        case.crew.attempt_each([row.target for row in newest_first], revert)

    def _revert(self, target: PlannedTarget, reason: str) -> None:
        """One to which no restart has brought its new root is left as it was, and need not prove itself."""
        case, journal = self.case, self.case.journal_of(target)
        try:
            if not self.finish.leave(target, journal, _say(reason)):
                case.way_back.revert(target, journal, reason)
        except GuestMissing as error:
            if (ref := case.driver.find(target)) is not None:
                raise RoadError(f"guest {target.vmid} is on {ref.node} now: once more") from error
            journal.event(TargetEvent.VANISHED, str(error))

    def _discard_staged(self, reason: str) -> None:
        unused = self.case.in_state(self.case.plan.targets, TargetState.PENDING, TargetState.STAGED)

        def leave(target: PlannedTarget) -> None:
            journal = self.case.journal_of(target)
            self.case.way_back.leave(target, journal, _say(reason), comes_again=self._is_patient)

        self.case.crew.attempt_each(unused, leave)

    def _is_patient(self) -> bool:
        """Whether a scratch guest that is still being made is waited for, so that nothing is owed in the end."""
        return self.case.clock.monotonic() < self._patient_until

    def _leave(self, reason: str, withdraw: Callable[[], None]) -> None:
        self._obey_turn()
        pending = self.case.in_state(self.case.plan.targets, TargetState.APPLYING)
        unproved = [*pending, *self.case.in_state(self.case.plan.targets, TargetState.REVERTING)]
        owed = self.case.in_state(self.case.plan.targets, TargetState.PROVING)
        self.case.crew.attempt(
            withdraw,
            lambda: self.case.crew.attempt_each(unproved, lambda target: self._revert(target, reason)),
            lambda: self.case.crew.attempt_each(owed, self._finish),
            lambda: self._discard_staged(reason),
            self._clear_prepared,
        )

    def _obey_turn(self) -> None:
        """An end may wait for locks for hours: who orders all back meanwhile is heard."""
        with suppress(Aborted):
            self.case.gate.obey()

    def _finish(self, target: PlannedTarget) -> None:
        """One that was off when it was to be proved may run by now."""
        case, journal = self.case, self.case.journal_of(target)

        def fail(reason: str) -> None:
            case.way_back.revert(target, journal, reason)

        self.finish.attempt(target, journal, case.candidate(target), fail, leaves=False)

    def _until_all_is_done(self, act: Callable[[], None]) -> None:
        """It is tried again until it works, less and less often."""
        pauses = double(ROAD_RETRY, LONGEST_RETRY)
        self._patient_until = self.case.clock.monotonic() + self.case.journal.patience.task.total_seconds()
        while True:
            try:
                return act()
            except LeaseLost:
                raise
            except (RoadError, TargetError) as error:
                self.case.gate.tell(f"the way back waits: {error}")
            self._pause(next(pauses))

    def _pause(self, length: timedelta) -> None:
        """Guests of earlier rollouts that are half-way wait no longer for that than they must."""
        clock = self.case.clock
        end = clock.monotonic() + length.total_seconds()
        self.case.tend_others(lambda: clock.monotonic() >= end)
        clock.sleep(max(timedelta(0), timedelta(seconds=end - clock.monotonic())))


def _say(reason: str) -> str:
    return f"the rollout ended before its turn: {reason}"
