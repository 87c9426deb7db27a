"""After a rollout: proofs that are still owed, and old roots that are given up when the soak is over."""

from collections.abc import Callable
from dataclasses import dataclass

from zlh_hooks.application.journal import Journal
from zlh_hooks.application.ports import Ledger
from zlh_hooks.application.proof import Expected
from zlh_hooks.application.root_driver import Deferred, Inconclusive, RootDriver
from zlh_hooks.application.way_back import WayBack
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import GuestMissing, HeldUp, LeaseLost, RoadError, TargetError
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
        journal = self.open_journal(row.target.vmid)
        if row.state is TargetState.REVERTING:
            self._revert(row.target, journal, row.reason)
        elif row.state is TargetState.APPLYING:
            self._finish_or_leave(row.target, journal)
        elif row.state is TargetState.PROVING:
            self._prove_late(row.target, journal)
        elif row.state is TargetState.HEALTHY and self._may_settle(progress, journal):
            self._settle(row.target, journal)

    def _finish_or_leave(self, target: PlannedTarget, journal: Journal) -> None:
        """A lock kept the guest from its restart: it is left as it was, unless somebody else's restart came first."""
        try:
            if self.driver.has_come_up(target, journal):
                self.driver.mark_exchanged(target, journal)
            elif self.way_back.withdraw(target, journal):
                self.way_back.leave(target, journal, "it was locked when its restart was due")
        except HeldUp:
            return  # looked at again in the next round

    def _prove_late(self, target: PlannedTarget, journal: Journal) -> None:
        """A guest that was stopped during the rollout is proved, or goes back, once somebody starts it."""
        ref = self.driver.locate(target)
        if not self.driver.is_running(target) and not self.driver.fails_to_start(ref, journal):
            return
        try:
            self.driver.prove(target, journal, self._candidate(target))
        except (Deferred, Inconclusive, HeldUp) as error:
            journal.write(Kind.NOTE, "deferred", {"reason": str(error)})
        except GuestMissing:
            raise
        except TargetError as error:
            self._revert(target, journal, str(error))

    def _revert(self, target: PlannedTarget, journal: Journal, reason: str) -> None:
        try:
            self.way_back.revert(target, journal, reason)
        except HeldUp as error:
            journal.write(Kind.NOTE, "deferred", {"reason": f"the way back waits: {error}"})

    def _clear_owed(self, row: TargetProgress) -> None:
        if not row.owes:
            return
        journal = self.open_journal(row.target.vmid)
        try:
            self.way_back.clear_owed(row.target, journal)
        except GuestMissing:
            journal.write(Kind.NOTE, CLEARED, {"reason": "the guest was deleted"})
        except TargetError as error:
            journal.write(Kind.NOTE, "deferred", {"reason": f"still to be cleared away: {error}"})

    def _candidate(self, target: PlannedTarget) -> Expected:
        known = self.journal.evidence(f"smoke.{target.node}") or {}
        facts: Expected = known.get("facts", {})
        return facts

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
            journal.write(Kind.NOTE, "deferred", {"reason": f"old root kept: {error}"})
