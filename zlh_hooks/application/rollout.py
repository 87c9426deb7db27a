"""The story of a rollout: smoke, stage, canary, waves, promote; or the way back. Soak and settling: ``soak``.

The story is replayed from its start by every worker that takes it up; what was done answers from the ledger.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from zlh_hooks.application.candidacy import Candidacy
from zlh_hooks.application.crew import Crew
from zlh_hooks.application.gate import LISTEN, Aborted, Gate, Later, Turned
from zlh_hooks.application.journal import Journal
from zlh_hooks.application.ports import Ledger
from zlh_hooks.application.preparation import Preparation
from zlh_hooks.application.proof import Expected
from zlh_hooks.application.root_driver import PUT, START_AGAIN, Deferred, Inconclusive, RootDriver, Skipped, Unhealthy
from zlh_hooks.application.way_back import WayBack
from zlh_hooks.domain.duration import render_duration
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import GuestMissing, HeldUp, LeaseLost, RoadError, StorageAway, TargetError, Unreadable
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.plan import CANARY, Plan, PlannedTarget
from zlh_hooks.domain.progress import RESTART, Progress, fold_progress, predict_need
from zlh_hooks.domain.steps import ON_NEW_ROOT, RolloutEvent, RolloutState, TargetEvent, TargetState

Result = TypeVar("Result")

ROAD_RETRY, LONGEST_RETRY = timedelta(seconds=5), timedelta(seconds=40)
IN_WORK = (TargetState.STAGED, TargetState.APPLYING, TargetState.PROVING, TargetState.REVERTING)
FAILED = (TargetState.REVERTING, TargetState.REVERTED, TargetState.STUCK)


@dataclass(slots=True)
class Rollout:
    """One rollout in the hands of one worker."""

    plan: Plan
    ledger: Ledger
    driver: RootDriver
    way_back: WayBack
    gate: Gate
    journal: Journal
    preparation: Preparation
    candidacy: Candidacy
    open_journal: Callable[[int], Journal]
    crew: Crew
    _journals: dict[int, Journal] = field(default_factory=dict)
    _last_success: float = 0.0
    _first: int | None = None
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """Carry the rollout to its end, as far as people let it."""
        state = self.progress().state
        if state is RolloutState.PLANNED:
            self.journal.event(RolloutEvent.STARTED)
        try:
            if state is RolloutState.REVERTING:
                raise Turned(self.progress().reason, revokes=self._ordered_to_revoke())
            self.gate.check()
            if self.progress().is_executing:
                self._forward()
        except Turned as turn:
            self._go_back(turn)
        except Aborted as order:
            self._abort(str(order))

    def progress(self) -> Progress:
        """How it stands, from the ledger."""
        return fold_progress(self.ledger.read(self.plan.id))

    def journal_of(self, target: PlannedTarget) -> Journal:
        """The target's journal; one per target and worker."""
        with self._guard:
            if target.vmid not in self._journals:
                self._journals[target.vmid] = self.open_journal(target.vmid)
            return self._journals[target.vmid]

    def _forward(self) -> None:
        candidate = self._on_the_road(self._smoke)
        self._on_the_road(self._stage_all)
        self._on_the_road(self.preparation.clear)
        for wave in self.plan.waves:
            self._on_the_road(lambda wave=wave: self._exchange_wave(wave, candidate))  # type: ignore[misc]
            self._on_the_road(self._offer)
        self._on_the_road(lambda: self._exchange_late(candidate))
        self._on_the_road(self._promote)
        self.journal.event(RolloutEvent.SUCCEEDED, "; ".join(self.candidacy.list_untold()))

    def _offer(self) -> None:
        """As soon as a canary has proved it."""
        if self._is_proved():
            self.candidacy.offer()

    def _on_the_road(self, act: Callable[[], Result]) -> Result:
        """A broken road or a measurement that fails pauses; when a person resumes, the act is replayed."""
        while True:
            self.gate.check()
            try:
                return act()
            except LeaseLost:
                raise
            except (RoadError, TargetError) as error:
                self.gate.pause(str(error))

    # ----------------------------------------------------------- preparation

    def _smoke(self) -> dict[str, Expected]:
        """Per node, what a healthy guest of this release reports."""
        facts: dict[str, Expected] = {}
        for node in self.plan.nodes:
            self.gate.tell(f"smoke test on {node}")
            known, prepare = self.journal.evidence(f"smoke.{node}"), self.preparation
            try:
                facts[node] = known["facts"] if known else prepare.smoke(node, prepare.make_twin(node))
            except Unhealthy as error:
                raise Turned(f"smoke test failed: {error}", revokes=True) from error
        return facts

    def _stage_all(self) -> None:
        waiting = self._in_state(self.plan.targets, TargetState.PENDING)
        if waiting:
            self.gate.tell("staging new roots while the guests run")
            twins = {node: self.preparation.make_twin(node) for node in self.plan.nodes}
            self.crew.each(waiting, lambda target: self._stage(target, twins[target.node]))

    def _stage(self, target: PlannedTarget, twin: GuestRef) -> None:
        """A storage that is away for a moment costs no guest its place: it is waited for as long as for a lock."""
        journal, clock = self.journal_of(target), self.driver.clock
        deadline = clock.monotonic() + self.plan.rules.lock_wait.total_seconds()
        while True:
            self.gate.check()
            try:
                return self.driver.stage(target, journal, twin)
            except StorageAway as error:
                if clock.monotonic() >= deadline:
                    return self._skip(target, str(error))
                self.gate.tell(f"staging waits: {error}")
            except (TargetError, Unreadable) as error:
                return self._skip(target, str(error))
            clock.sleep(START_AGAIN)

    def _skip(self, target: PlannedTarget, reason: str) -> None:
        self.way_back.leave(target, self.journal_of(target), reason)

    def _in_state(self, targets: Sequence[PlannedTarget], *states: TargetState) -> list[PlannedTarget]:
        progress = self.progress()
        return [target for target in targets if progress.of(target.vmid).state in states]

    # ----------------------------------------------------------------- waves

    def _exchange_wave(self, wave: Sequence[PlannedTarget], candidate: dict[str, Expected]) -> None:
        self._check_budget()
        waiting = self._in_state(wave, *IN_WORK)
        if not waiting:
            return
        self._last_success = self.driver.clock.monotonic()
        self.gate.tell("canary" if wave[0].wave == CANARY else f"wave {wave[0].wave} of {self.plan.waves[-1][0].wave}")
        while waiting and not self._is_proved() and not self._spares_canary():
            first = waiting.pop(0)  # whoever is first on this version is its canary, in whatever wave
            self._first = first.vmid
            self._exchange(first, candidate[first.node])
        self.crew.each(waiting, lambda target: self._exchange(target, candidate[target.node]))
        self.gate.check()

    def _exchange_late(self, candidate: dict[str, Expected]) -> None:
        """Guests whose owners were told later than the others. New guests wait for none that was deferred."""
        while late := self._in_state(self.plan.targets, TargetState.STAGED):
            if self._is_proved() and all(self.gate.is_deferred(target.vmid) for target in late):
                self._promote()
            turn = self.gate.choose_next(late)
            self.gate.takes_deferred = any(self.gate.is_deferred(target.vmid) for target in turn)
            self._exchange_wave(turn, candidate)

    def _spares_canary(self) -> bool:
        """Only while the emergency lasts: afterwards there is time again to look at a first guest."""
        return self.plan.without_canary and self.gate.is_emergency()

    def _lacks_canary(self, target: PlannedTarget, journal: Journal) -> bool:
        """Whether the emergency ended before the guest's turn: a first one goes before it, as in any rollout."""
        is_free = not self.plan.without_canary or self.gate.is_emergency() or self._is_proved()
        return not is_free and target.vmid != self._first and not journal.has_event(TargetEvent.EXCHANGE_BEGAN)

    def _is_proved(self) -> bool:
        return self.progress().count(TargetState.HEALTHY, TargetState.SETTLED) > 0

    def _exchange(self, target: PlannedTarget, candidate: Expected) -> None:
        journal = self.journal_of(target)
        with self.crew.slot(target.node):
            try:
                self._change(target, journal, candidate)
            except (Skipped, Deferred, Unreadable) as error:
                self._leave_be(target, journal, error)
            except GuestMissing:
                self._look_for(target, journal)
            except Later:
                return
            except Inconclusive:
                raise
            except HeldUp as error:
                self._give_way(target, journal, str(error))
            except TargetError as error:
                self._fail(target, journal, str(error))

    def _change(self, target: PlannedTarget, journal: Journal, candidate: Expected) -> None:
        if journal.is_in(TargetEvent.REVERT_BEGAN):
            raise TargetError(journal.last_reason())
        if not journal.has_event(TargetEvent.EXCHANGED):
            self._bring_new_root(target, journal)
        self._prove(target, journal, candidate)
        self._last_success = self.driver.clock.monotonic()

    def _bring_new_root(self, target: PlannedTarget, journal: Journal) -> None:
        if self.plan.rules.exchange_pending and not self.gate.is_deferred(target.vmid):
            self.gate.check()
            self.driver.prove_baseline(target, journal)
            self.driver.leave_pending(target, journal)
        if not journal.has_intent(RESTART):
            self._wait_for_turn(target, journal)
        self.driver.prove_baseline(target, journal)
        self.driver.apply(target, journal)

    def _prove(self, target: PlannedTarget, journal: Journal, candidate: Expected) -> None:
        """Unanswerable is not unhealthy: it is counted apart, asked again, and over its own budget it pauses."""
        while True:
            try:
                return self.driver.prove(target, journal, candidate)
            except Inconclusive as error:
                journal.write(Kind.NOTE, "error", {"reason": str(error)})
                if self.progress().errors > self.plan.rules.max_errors:
                    raise

    def _wait_for_turn(self, target: PlannedTarget, journal: Journal) -> None:
        rules, clock = self.plan.rules, self.driver.clock
        self._pause_if_stalled()
        began = clock.monotonic()
        if rules.wait_until_empty is not None and not journal.has_event(TargetEvent.EXCHANGE_BEGAN):
            self.gate.tell(
                f"waiting until nobody plays on {target.vmid}, at most {render_duration(rules.wait_until_empty)}"
            )
            self.gate.wait_until(lambda: self.driver.count_players(target) == 0, rules.wait_until_empty)
        needs = predict_need(self.progress())
        self.gate.wait_for_window(needs, target.vmid, unless=lambda: self.driver.has_come_up(target, journal))
        if clock.monotonic() - began >= LISTEN.total_seconds():
            self._last_success = clock.monotonic()  # to wait for a window or for players is no standstill
        if self._lacks_canary(target, journal):
            raise Later

    def _pause_if_stalled(self) -> None:
        deadline, clock = self.plan.rules.progress_deadline, self.driver.clock
        if clock.monotonic() - self._last_success > deadline.total_seconds():
            self._last_success = clock.monotonic()
            self.gate.pause(f"no guest became healthy within {deadline}")
            self.gate.check()

    def _leave_be(self, target: PlannedTarget, journal: Journal, reason: Skipped | Deferred | Unreadable) -> None:
        """What cannot be looked at is left before its exchange; in the middle of it everybody waits until it can be."""
        if isinstance(reason, Unreadable) and journal.has_event(TargetEvent.EXCHANGE_BEGAN):
            raise reason
        if isinstance(reason, Deferred):
            journal.write(Kind.NOTE, "deferred", {"reason": str(reason)})
        else:
            self._skip(target, str(reason))

    def _look_for(self, target: PlannedTarget, journal: Journal) -> None:
        """It is not where it was: deleted, or moved to another node in the middle of its exchange."""
        try:
            ref = self.driver.locate(target)
        except GuestMissing as error:
            journal.event(TargetEvent.VANISHED, str(error))
        else:
            self._give_way(target, journal, f"it moved from {target.node} to {ref.node}")

    def _give_way(self, target: PlannedTarget, journal: Journal, reason: str) -> None:
        """Locked for too long, its storage away, or moved: nothing speaks against the version, and the others go on."""
        if journal.done(PUT) is None:
            self._skip(target, reason)
        else:
            journal.write(Kind.NOTE, "deferred", {"reason": f"finished or taken back later: {reason}"})

    def _fail(self, target: PlannedTarget, journal: Journal, reason: str) -> None:
        """This guest goes back at once; over budget, nobody else begins and all follow."""
        if not journal.has_event(TargetEvent.EXCHANGE_BEGAN):
            return self._skip(target, reason)  # nothing of it was changed: there is no way to go back
        if not journal.is_in(TargetEvent.REVERT_BEGAN):
            journal.write(Kind.NOTE, "failure", {"reason": reason})
        self._until_the_road_holds(lambda: self._revert(target, reason))
        self._check_budget()
        if self._in_state([target], TargetState.STUCK):
            self.gate.pause(f"guest {target.vmid} could not be proved on its old root; look at it before going on")

    def _check_budget(self) -> None:
        """A failed canary condemns the version; so do more failures in the waves than the rules allow."""
        progress = self.progress()
        failed = [row for row in progress.targets if row.state in FAILED]
        canaries = [row for row in failed if row.target.wave == CANARY or not self._is_proved()]
        if canaries or progress.failures > self.plan.rules.max_failures:
            worst = (canaries or failed)[0]
            self.gate.turn(f"guest {worst.target.vmid} failed: {worst.reason}")
            self.gate.check()

    # ------------------------------------------------------------- endings

    def _promote(self) -> None:
        """Once. Guests that their owners deferred may still be waited for."""
        if self.candidacy.is_promoted:
            return
        if not self._is_proved():
            raise Aborted("no guest could be proved on this version")
        if not self.plan.rules.auto_promote and self.journal.evidence("asked") is None:
            self.gate.pause("all waves are healthy; resume to promote")
            self.journal.write(Kind.EVIDENCE, "asked", {"version": self.plan.release.version})
            self.gate.check()
        self.gate.tell("promoting")
        self.candidacy.promote()

    def _go_back(self, turn: Turned) -> None:
        if self.progress().state is not RolloutState.REVERTING:
            self.journal.event(RolloutEvent.REVERT_ORDERED, turn.reason, revokes=turn.revokes)
        self.gate.tell("going back")
        self._until_the_road_holds(lambda: self._take_back(turn))
        stuck = self.progress().count(TargetState.STUCK)
        if stuck:
            self.journal.event(RolloutEvent.LEFT_STUCK, f"{stuck} guests could not be proved on their old root")
        else:
            self.journal.event(RolloutEvent.REVERTED, turn.reason)

    def _take_back(self, turn: Turned) -> None:
        """Customers first: a template that is being cloned may keep its tags from being written for a while."""
        self.crew.attempt(
            lambda: self._revert_all(turn.reason),
            self.candidacy.withdraw,
            lambda: self.candidacy.move_stable_back(turn),
            lambda: self._discard_staged(turn.reason),
            self.preparation.clear,
        )

    def _revert_all(self, reason: str) -> None:
        rows = [row for row in self.progress().targets if row.state in (*ON_NEW_ROOT, TargetState.STUCK)]
        newest_first = sorted(rows, key=lambda row: (row.began_at or self.plan.created, row.target.vmid), reverse=True)
        self.crew.attempt_each([row.target for row in newest_first], lambda target: self._revert(target, reason))

    def _revert(self, target: PlannedTarget, reason: str) -> None:
        journal = self.journal_of(target)
        try:
            self.way_back.revert(target, journal, reason)
        except GuestMissing as error:
            if (ref := self.driver.find(target)) is not None:
                raise RoadError(f"guest {target.vmid} is on {ref.node} now: once more") from error
            journal.event(TargetEvent.VANISHED, str(error))

    def _discard_staged(self, reason: str) -> None:
        unused = self._in_state(self.plan.targets, TargetState.PENDING, TargetState.STAGED)
        said = f"the rollout ended before its turn: {reason}"
        self.crew.attempt_each(unused, lambda target: self._skip(target, said))

    def _abort(self, reason: str) -> None:
        self.gate.tell("ending here")
        self._until_the_road_holds(lambda: self._leave(reason))
        self.journal.event(RolloutEvent.ABORTED, reason)

    def _leave(self, reason: str) -> None:
        unproved = self._in_state(self.plan.targets, TargetState.APPLYING, TargetState.REVERTING)
        self.crew.attempt(
            self.candidacy.withdraw,
            lambda: self.crew.attempt_each(unproved, lambda target: self._revert(target, reason)),
            lambda: self._discard_staged(reason),
            self.preparation.clear,
        )

    def _until_the_road_holds(self, act: Callable[[], None]) -> None:
        """On the way back nobody is asked: it is tried again until it works, less and less often."""
        pause = ROAD_RETRY
        while True:
            try:
                return act()
            except LeaseLost:
                raise
            except (RoadError, HeldUp) as error:
                self.gate.tell(f"the way back waits: {error}")
            self.driver.clock.sleep(pause)
            pause = min(pause * 2, LONGEST_RETRY)

    def _ordered_to_revoke(self) -> bool:
        entries = self.ledger.read(self.plan.id)
        orders = [e for e in entries if e.kind is Kind.EVENT and e.name == RolloutEvent.REVERT_ORDERED]
        return bool(orders) and bool(orders[-1].data.get("revokes"))
