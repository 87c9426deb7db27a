"""How any rollout is carried: forward, back or to an end, as people and its budget say."""

from collections.abc import Callable
from dataclasses import dataclass

from zlh_hooks.application.gate import Aborted, Gate, Turned
from zlh_hooks.application.journal import Journal
from zlh_hooks.application.ports import Ledger
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import LeaseLost, RoadError, TargetError
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.progress import Progress, fold_progress
from zlh_hooks.domain.steps import RolloutEvent, RolloutState


@dataclass(frozen=True, slots=True)
class Course:
    """``gate`` and ``journal`` are the rollout's own."""

    ledger: Ledger
    gate: Gate
    journal: Journal

    def progress(self) -> Progress:
        """How it stands, from the ledger."""
        return fold_progress(self.ledger.read(self.journal.rollout))

    def run(self, forward: Callable[[], None], go_back: Callable[[Turned], None], abort: Callable[[str], None]) -> None:
        """Take it up wherever it stands. ``forward`` and ``abort`` may be turned back."""
        try:
            try:
                self._go_on(forward)
            except Aborted as order:
                abort(str(order))
        except Turned as turn:
            go_back(turn)

    def _go_on(self, forward: Callable[[], None]) -> None:
        progress = self.progress()
        if progress.state is RolloutState.PLANNED:
            self.journal.event(RolloutEvent.STARTED)
        if progress.state is RolloutState.REVERTING:
            raise Turned(progress.reason, revokes=self._is_ordered_to_revoke())
        self.gate.check()
        if self.progress().is_executing:
            forward()

    def _is_ordered_to_revoke(self) -> bool:
        entries = self.ledger.read(self.journal.rollout)
        orders = [e for e in entries if e.kind is Kind.EVENT and e.name == RolloutEvent.REVERT_ORDERED]
        return bool(orders) and bool(orders[-1].data.get("revokes"))

    def on_the_road(self, act: Callable[[], None]) -> None:
        """A broken road or a measurement that fails pauses; when a person resumes, the act is replayed."""
        while True:
            self.gate.check()
            try:
                with self.journal.waiting(self.gate.goes_on):
                    return act()
            except LeaseLost:
                raise
            except (RoadError, TargetError) as error:
                self.gate.pause(str(error))

    def ask_for_promotion(self, plan: Plan) -> None:
        """Once, where the rules say that a person decides."""
        if not plan.rules.auto_promote:
            self.ask("asked", "all waves are healthy; resume to promote")
        self.gate.tell("promoting")

    def ask(self, name: str, question: str) -> None:
        """Pause for a person's word; ``resume`` is yes. Once for each name, whoever takes the rollout over."""
        if not self.was_asked(name):
            self.gate.pause(question)
            self.journal.write(Kind.EVIDENCE, name, {"question": question})
            self.gate.check()

    def was_asked(self, name: str) -> bool:
        """Whether it was; then whoever is not paused has the answer."""
        return self.journal.evidence(name) is not None
