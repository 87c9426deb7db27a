"""The story of a rollout: smoke, stage, canary, waves, promote; or the way back. Soak and settling: ``soak``.

The story is replayed from its start by every worker that takes it up; what was done answers from the ledger.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zlh_hooks.application.candidacy import Candidacy
from zlh_hooks.application.case import Case
from zlh_hooks.application.course import Course
from zlh_hooks.application.exchange import Exchange
from zlh_hooks.application.gate import Aborted, Turned
from zlh_hooks.application.preparation import Preparation
from zlh_hooks.application.retreat import Retreat
from zlh_hooks.application.start import START_AGAIN
from zlh_hooks.application.verdict import Unhealthy
from zlh_hooks.domain.errors import HeldUp, TargetError, Unreadable
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.plan import CANARY, PlannedTarget
from zlh_hooks.domain.progress import Progress
from zlh_hooks.domain.steps import RolloutEvent, TargetState

IN_WORK = (TargetState.STAGED, TargetState.APPLYING, TargetState.PROVING, TargetState.REVERTING)


@dataclass(slots=True)
class Rollout:
    """One rollout in the hands of one worker."""

    case: Case
    course: Course
    exchange: Exchange
    retreat: Retreat
    preparation: Preparation
    candidacy: Candidacy

    def run(self) -> None:
        """Carry the rollout to its end, as far as people let it."""
        self.course.run(self._forward, self.retreat.go_back, self.retreat.abort)

    def progress(self) -> Progress:
        """How it stands, from the ledger."""
        return self.case.progress()

    def _forward(self) -> None:
        self._on_the_road(self.exchange.tend)  # a worker that died may have left roots pending whose time is over
        self._on_the_road(self._smoke)
        self._on_the_road(self._stage_all)
        self._on_the_road(self.preparation.clear)
        for wave in self.case.plan.waves:
            self._on_the_road(lambda wave=wave: self._exchange_wave(wave))  # type: ignore[misc]
            self._on_the_road(self._offer)
        self._on_the_road(self._exchange_late)
        self._on_the_road(self._promote)
        self.case.journal.event(RolloutEvent.SUCCEEDED, "; ".join(self.candidacy.list_untold()))

    def _offer(self) -> None:
        """As soon as a canary has proved it."""
        if self.case.is_proved():
            self.candidacy.offer()

    def _on_the_road(self, act: Callable[[], None]) -> None:
        self.course.on_the_road(act)

    # ----------------------------------------------------------- preparation

    def _smoke(self) -> None:
        """Per node, find out what a healthy guest of this release reports."""
        for node in self.case.plan.nodes:
            self.case.gate.tell(f"smoke test on {node}")
            if self.case.journal.evidence(f"smoke.{node}") is not None:
                continue
            try:
                self.preparation.smoke(node, self.preparation.make_twin(node))
            except Unhealthy as error:
                raise Turned(f"smoke test failed: {error}", revokes=True) from error

    def _stage_all(self) -> None:
        self._skip_owed()
        waiting = self.case.in_state(self.case.plan.targets, TargetState.PENDING)
        if waiting:
            self.case.gate.tell("staging new roots while the guests run")
            twins = {node: self.preparation.make_twin(node) for node in self.case.plan.nodes}
            self.case.crew.each(waiting, lambda target: self._stage(target, twins[target.node]))

    def _skip_owed(self) -> None:
        """Two rollouts never work on one guest: the earlier one comes first, whenever that is."""
        owed = self.case.find_owed()
        for target in self.case.in_state(self.case.plan.targets, TargetState.PENDING):
            if target.vmid in owed:
                self.case.skip(target, f"rollout {owed[target.vmid]} has still to bring it to its end")

    def _stage(self, target: PlannedTarget, twin: GuestRef) -> None:
        """A storage that is away for a moment costs no guest its place: it is waited for as long as for a lock.

        A lock is waited for in the steps, where orders are heard too.
        """
        journal, clock = self.case.journal_of(target), self.case.driver.clock
        deadline = clock.monotonic() + self.case.plan.rules.lock_wait.total_seconds()
        while True:
            self.case.gate.check()
            try:
                with journal.waiting(self.case.gate.goes_on):
                    return self.case.driver.stage(target, journal, twin)
            except HeldUp as error:
                if clock.monotonic() >= deadline:
                    return self.case.skip(target, str(error))
                self.case.gate.tell(f"staging waits: {error}")
            except (TargetError, Unreadable) as error:
                return self.case.skip(target, str(error))
            clock.sleep(START_AGAIN)

    # ----------------------------------------------------------------- waves

    def _exchange_wave(self, wave: Sequence[PlannedTarget]) -> None:
        case, turn = self.case, self.exchange.turn
        self.exchange.check_budget()
        waiting = case.in_state(wave, *IN_WORK)
        if not waiting:
            return
        turn.last_success = case.clock.monotonic()
        case.gate.tell("canary" if wave[0].wave == CANARY else f"wave {wave[0].wave} of {case.plan.waves[-1][0].wave}")
        while waiting and not case.is_proved() and not self._spares_canary():
            first = waiting.pop(0)  # whoever is first on this version is its canary, in whatever wave
            turn.first = first.vmid
            self.exchange.run(first)
        case.crew.each(waiting, self.exchange.run)
        case.gate.check()

    def _exchange_late(self) -> None:
        """Guests whose owners were told later than the others. New guests wait for none that was deferred."""
        while late := self._list_late():
            if self.case.is_proved() and all(self.case.gate.is_deferred(target.vmid) for target in late):
                self._promote()
            turn = self.case.gate.choose_next(late)
            self.case.gate.takes_deferred = any(self.case.gate.is_deferred(target.vmid) for target in turn)
            self._exchange_wave(turn)

    def _list_late(self) -> list[PlannedTarget]:
        """Those whose turn has not come; with a root that was left pending too."""
        waiting = self.case.in_state(self.case.plan.targets, TargetState.STAGED, TargetState.APPLYING)
        return [target for target in waiting if not self.exchange.has_given_way(target)]

    def _spares_canary(self) -> bool:
        """Only while the emergency lasts: afterwards there is time again to look at a first guest."""
        return self.case.plan.without_canary and self.case.gate.is_emergency()

    # ------------------------------------------------------------- endings

    def _promote(self) -> None:
        """Once. Guests that their owners deferred may still be waited for."""
        if self.candidacy.is_promoted:
            return
        if not self.case.is_proved():
            raise Aborted("no guest could be proved on this version")
        self.course.ask_for_promotion(self.case.plan)
        self.candidacy.promote()
