"""The story of a rollout: smoke, stage, canary, waves, promote; or the way back. Soak and settling: ``soak``.

The story is replayed from its start by every worker that takes it up; what was done answers from the ledger.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from zlh_hooks.application.gate import Aborted, Gate, Turned
from zlh_hooks.application.journal import Journal
from zlh_hooks.application.ports import Ledger
from zlh_hooks.application.preparation import Preparation
from zlh_hooks.application.proof import Expected
from zlh_hooks.application.root_driver import Deferred, Inconclusive, RootDriver, Skipped
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import GuestLocked, GuestMissing, LeaseLost, RoadError, TargetError
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.plan import CANARY, Plan, PlannedTarget
from zlh_hooks.domain.progress import Progress, fold_progress, predict_target
from zlh_hooks.domain.steps import ON_NEW_ROOT, RolloutEvent, RolloutState, TargetEvent, TargetState

Result = TypeVar("Result")


class Channels(Protocol):
    """What a rollout asks of lines and channels; each idempotent."""

    def offer(self, line: str, version: str) -> None:
        """Mark the version as candidate: `pick` sends a share of new guests to it."""

    def withdraw(self, line: str, version: str) -> None:
        """Take the candidate mark away."""

    def promote(self, line: str, version: str) -> None:
        """Move `stable` to the version and run the line's after_promote hooks."""

    def revoke(self, line: str, version: str, reason: str) -> None:
        """Never again: mark the version and move `stable` away from it."""

    def restore(self, line: str, version: str | None, instead_of: str) -> None:
        """Move `stable` back to the version that had it, if ``instead_of`` has it now."""


@dataclass(slots=True)
class Rollout:
    """One rollout in the hands of one worker."""

    plan: Plan
    ledger: Ledger
    driver: RootDriver
    gate: Gate
    journal: Journal
    preparation: Preparation
    channels: Channels
    open_journal: Callable[[int], Journal]
    _journals: dict[int, Journal] = field(default_factory=dict)
    _node_slots: dict[str, threading.Semaphore] = field(default_factory=dict)
    _last_success: float = 0.0

    def run(self) -> None:
        """Carry the rollout to its end, as far as people let it."""
        state = self.progress().state
        if state is RolloutState.PLANNED:
            self.journal.event(RolloutEvent.STARTED)
        try:
            if state is RolloutState.REVERTING:
                raise Turned(self.progress().reason, revokes=self._ordered_to_revoke())
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
        return self._journals.setdefault(target.vmid, self.open_journal(target.vmid))

    def _forward(self) -> None:
        candidate = self._on_the_road(self._smoke)
        self._on_the_road(self._stage_all)
        self._on_the_road(self.preparation.clear)
        for wave in self.plan.waves:
            self._on_the_road(lambda wave=wave: self._exchange_wave(wave, candidate))  # type: ignore[misc]
            if wave[0].wave == CANARY:
                self._on_the_road(lambda: self.channels.offer(self.plan.release.line, self.plan.release.version))
        self._on_the_road(self._promote)

    def _on_the_road(self, act: Callable[[], Result]) -> Result:
        """A broken road or a measurement that fails pauses; when a person resumes, the act is replayed."""
        while True:
            self.gate.check()
            try:
                return act()
            except LeaseLost:
                raise
            except (RoadError, Inconclusive) as error:
                self.gate.pause(str(error))

    # ----------------------------------------------------------- preparation

    def _smoke(self) -> dict[str, Expected]:
        """Per node, what a healthy guest of this release reports."""
        facts: dict[str, Expected] = {}
        for node in self.plan.nodes:
            self.gate.tell(f"smoke test on {node}")
            known = self.journal.evidence(f"smoke.{node}")
            try:
                facts[node] = (
                    known["facts"] if known else self.preparation.smoke(node, self.preparation.make_twin(node))
                )
            except Inconclusive:
                raise
            except TargetError as error:
                raise Turned(f"smoke test failed: {error}", revokes=True) from error
        return facts

    def _stage_all(self) -> None:
        waiting = [t for t in self.plan.targets if self._state(t) is TargetState.PENDING]
        if waiting:
            self.gate.tell("staging new roots while the guests run")
            twins = {node: self.preparation.make_twin(node) for node in self.plan.nodes}
            self._each(waiting, lambda target: self._stage(target, twins[target.node]))

    def _stage(self, target: PlannedTarget, twin: GuestRef) -> None:
        self.gate.check()
        journal = self.journal_of(target)
        try:
            self.driver.stage(target, journal, twin)
        except RoadError:
            raise
        except TargetError as error:
            self._skip(target, str(error))

    def _skip(self, target: PlannedTarget, reason: str) -> None:
        journal = self.journal_of(target)
        try:
            self.driver.discard(target, journal)
        except GuestMissing as error:
            journal.event(TargetEvent.VANISHED, str(error))
            return
        journal.event(TargetEvent.SKIPPED, reason)

    def _state(self, target: PlannedTarget) -> TargetState:
        return self.progress().of(target.vmid).state

    # ----------------------------------------------------------------- waves

    def _exchange_wave(self, wave: Sequence[PlannedTarget], candidate: dict[str, Expected]) -> None:
        begun = (TargetState.STAGED, TargetState.APPLYING, TargetState.PROVING)
        waiting = [target for target in wave if self._state(target) in begun]
        if not waiting:
            return
        self._last_success = self.driver.clock.monotonic()
        self.gate.tell("canary" if wave[0].wave == CANARY else f"wave {wave[0].wave}")
        self._each(waiting, lambda target: self._exchange(target, candidate[target.node]))
        self.gate.check()

    def _exchange(self, target: PlannedTarget, candidate: Expected) -> None:
        journal = self.journal_of(target)
        if not journal.has_event(TargetEvent.EXCHANGE_BEGAN):
            self._wait_for_turn(target)
        with self._slot(target.node):
            try:
                self._change(target, journal, candidate)
            except Deferred as error:
                journal.write(Kind.NOTE, "deferred", {"reason": str(error)})
            except Skipped as error:
                self._skip(target, str(error))
            except GuestLocked as error:
                self._skip_or_revert(target, journal, f"still locked: {error}")
            except GuestMissing as error:
                journal.event(TargetEvent.VANISHED, str(error))
            except Inconclusive as error:
                self._note_error(journal, str(error))
            except TargetError as error:
                self._fail(target, journal, str(error))

    def _change(self, target: PlannedTarget, journal: Journal, candidate: Expected) -> None:
        self.driver.prove_baseline(target, journal)
        if not journal.has_event(TargetEvent.EXCHANGED):
            self.driver.apply(target, journal)
        self.driver.prove(target, journal, candidate)
        self._last_success = self.driver.clock.monotonic()

    def _wait_for_turn(self, target: PlannedTarget) -> None:
        rules = self.plan.rules
        one = predict_target(self.progress().durations(), rules.expected_duration)
        self.gate.wait_for_window(needs=one * 2)
        stalled = self.driver.clock.monotonic() - self._last_success > rules.progress_deadline.total_seconds()
        if stalled:
            self.gate.pause(f"no guest became healthy within {rules.progress_deadline}")
            self.gate.check()
            self._last_success = self.driver.clock.monotonic()

    def _skip_or_revert(self, target: PlannedTarget, journal: Journal, reason: str) -> None:
        if journal.has_event(TargetEvent.EXCHANGE_BEGAN):
            self._fail(target, journal, reason)
        else:
            self._skip(target, reason)

    def _note_error(self, journal: Journal, reason: str) -> None:
        """Unanswerable is not unhealthy: it is counted apart and pauses."""
        journal.write(Kind.NOTE, "error", {"reason": reason})
        if self.progress().errors > self.plan.rules.max_errors:
            self.gate.pause(f"measurements could not be made: {reason}")
        raise Inconclusive(reason)

    def _fail(self, target: PlannedTarget, journal: Journal, reason: str) -> None:
        """This guest goes back at once; over budget, nobody else begins and all follow."""
        last = journal.last_event()
        if last is None or last.name != TargetEvent.REVERT_BEGAN:
            journal.write(Kind.NOTE, "failure", {"reason": reason})
        failures = self.progress().failures
        if target.wave == CANARY or failures > self.plan.rules.max_failures:
            self.gate.turn(f"guest {target.vmid} failed ({reason})")
        self.driver.revert(target, journal, reason)

    # ------------------------------------------------------------- endings

    def _promote(self) -> None:
        line, version = self.plan.release.line, self.plan.release.version
        proved = self.progress().count(TargetState.HEALTHY, TargetState.SETTLED)
        if not proved:
            raise Turned("no guest was proved healthy on this version", revokes=False)
        if not self.plan.rules.auto_promote and not self.journal.has_event(RolloutEvent.RESUMED):
            self.gate.pause("all waves are healthy; resume to promote")
            self.gate.check()
        self.gate.tell("promoting")
        self.channels.promote(line, version)
        self.channels.withdraw(line, version)
        self.journal.event(RolloutEvent.SUCCEEDED)

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
        line, version = self.plan.release.line, self.plan.release.version
        self.channels.withdraw(line, version)
        if turn.revokes:
            self.channels.revoke(line, version, turn.reason)
        else:
            self.channels.restore(line, self.plan.previous, instead_of=version)
        rows = [row for row in self.progress().targets if row.state in (*ON_NEW_ROOT, TargetState.STUCK)]
        newest_first = sorted(rows, key=lambda row: (row.changed_at, row.target.vmid), reverse=True)  # type: ignore[arg-type, return-value]
        self._each([row.target for row in newest_first], lambda target: self._revert(target, turn.reason))
        self._discard_staged(turn.reason)
        self.preparation.clear()

    def _revert(self, target: PlannedTarget, reason: str) -> None:
        journal = self.journal_of(target)
        try:
            with self._slot(target.node):
                self.driver.revert(target, journal, reason)
        except GuestMissing as error:
            journal.event(TargetEvent.VANISHED, str(error))

    def _discard_staged(self, reason: str) -> None:
        unused = [t for t in self.plan.targets if self._state(t) in (TargetState.PENDING, TargetState.STAGED)]
        self._each(unused, lambda target: self._skip(target, f"the rollout ended before its turn: {reason}"))

    def _abort(self, reason: str) -> None:
        self.gate.tell("ending here")
        self._until_the_road_holds(lambda: self._leave(reason))
        self.journal.event(RolloutEvent.ABORTED, reason)

    def _leave(self, reason: str) -> None:
        self.channels.withdraw(self.plan.release.line, self.plan.release.version)
        self._discard_staged(reason)
        self.preparation.clear()

    def _until_the_road_holds(self, act: Callable[[], None]) -> None:
        """On the way back nobody is asked: it is tried again until it works."""
        while True:
            try:
                return act()
            except LeaseLost:
                raise
            except RoadError as error:
                self.gate.tell(f"the way back waits: {error}")
                self.driver.clock.sleep(self.plan.rules.retry_road)

    def _ordered_to_revoke(self) -> bool:
        entries = self.ledger.read(self.plan.id)
        orders = [e for e in entries if e.kind is Kind.EVENT and e.name == RolloutEvent.REVERT_ORDERED]
        return bool(orders) and bool(orders[-1].data.get("revokes"))

    # ------------------------------------------------------------ parallelism

    def _each(self, targets: Sequence[PlannedTarget], act: Callable[[PlannedTarget], None]) -> None:
        """Several at once within the plan's limits; all end before the first error is raised."""
        if self.plan.rules.max_parallel == 1 or len(targets) < 2:
            for target in targets:
                act(target)
            return
        with ThreadPoolExecutor(max_workers=self.plan.rules.max_parallel) as pool:
            futures = [pool.submit(act, target) for target in targets]
        for future in futures:
            future.result()

    def _slot(self, node: str) -> threading.Semaphore:
        limit = self.plan.rules.max_parallel_per_node
        return self._node_slots.setdefault(node, threading.Semaphore(limit))
