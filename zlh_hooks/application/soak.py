"""After a rollout: proofs that are still owed, and old roots that are given up when the soak is over."""

from collections.abc import Callable
from dataclasses import dataclass

from zlh_hooks.application.finish import Finish
from zlh_hooks.application.journal import Journal
from zlh_hooks.application.ports import Ledger
from zlh_hooks.application.proof import find_candidate
from zlh_hooks.application.root_driver import RootDriver
from zlh_hooks.application.way_back import WayBack
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import GuestMissing, LeaseLost, RoadError, TargetError
from zlh_hooks.domain.plan import Plan, PlannedTarget
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.progress import CLEARED, Progress, TargetProgress, fold_progress
from zlh_hooks.domain.settling import decide_settling
from zlh_hooks.domain.steps import TargetEvent, TargetState


@dataclass(slots=True)
class Soak:
    """What remains of one rollout after it succeeded or was aborted."""

    plan: Plan
    ledger: Ledger
    driver: RootDriver
    way_back: WayBack
    finish: Finish
    policy: Policy
    journal: Journal
    open_journal: Callable[[int], Journal]

    def tend(self) -> None:
        """Do what is due now; returns at once if nothing is. A guest that cannot be reached holds up no other."""
        progress = fold_progress(self.ledger.read(self.plan.id))
        held_up: list[RoadError] = []
        for row in progress.targets:
            try:
                self._tend_one(progress, row)
            except LeaseLost:
                raise
            except RoadError as error:
                held_up.append(error)
        if held_up:
            raise held_up[0]

    def _tend_one(self, progress: Progress, row: TargetProgress) -> None:
        try:
            self._tend_target(progress, row)
            self._clear_owed(row)
        except GuestMissing as error:
            self.open_journal(row.target.vmid).event(TargetEvent.VANISHED, str(error))

    def _tend_target(self, progress: Progress, row: TargetProgress) -> None:
        journal, target = self.open_journal(row.target.vmid), row.target
        if row.state is TargetState.HEALTHY:
            if self._may_settle(progress, journal):
                self._settle(target, journal)
            return
        candidate = find_candidate(self.journal.evidence(f"smoke.{target.node}"))
        self.finish.attempt(
            target, journal, candidate, lambda reason: self._revert(target, journal, reason), withdraws=True
        )

    def _revert(self, target: PlannedTarget, journal: Journal, reason: str) -> None:
        self.way_back.revert(target, journal, reason)

    def _clear_owed(self, row: TargetProgress) -> None:
        if not row.owes:
            return
        journal = self.open_journal(row.target.vmid)
        try:
            self.way_back.clear_owed(row.target, journal)
        except GuestMissing:
            journal.write(Kind.NOTE, CLEARED, {"reason": "the guest was deleted"})
        except TargetError as error:
            journal.defer(f"still to be cleared away: {error}")

    def _may_settle(self, progress: Progress, journal: Journal) -> bool:
        """The soak is over and a window is open that is not the one of the exchange."""
        began = journal.event_at(TargetEvent.EXCHANGE_BEGAN)
        now = self.driver.clock.now()
        if progress.ended_at is None or began is None:
            return False
        if now < progress.ended_at + self.plan.rules.soak and not self._ordered():
            return False
        return decide_settling(self.policy, began, now, security=self.plan.security).allowed

    def _ordered(self) -> bool:
        """Whether a person gave the way back up before the soak was over."""
        return any(e.kind is Kind.COMMAND and e.name == "finalize" for e in self.ledger.read(self.plan.id))

    def _settle(self, target: PlannedTarget, journal: Journal) -> None:
        try:
            self.driver.settle(target, journal)
        except GuestMissing:
            raise
        except TargetError as error:
            journal.defer(f"old root kept: {error}")
