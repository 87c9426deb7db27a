"""After a rollout: proofs that are still owed, and old roots that are given up when the soak is over.

Nobody loses the way back who needs it: a guest that runs must answer its probes first. One that does not, or of which
that cannot be measured, keeps its old root and is asked again in the next window, or when a person orders ``finalize``.
One that is off by somebody's will has had its proof while it ran, and nothing has spoken against it since: it is
settled, so that a server that is off for weeks does not keep a rollout soaking. But one that was ill when it last ran,
or that somebody wanted to start in vain, keeps its old root until it has run and answered.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zlh_hooks.application.finish import Finish
from zlh_hooks.application.journal import Journal
from zlh_hooks.application.ports import Ledger
from zlh_hooks.application.power import explain_off
from zlh_hooks.application.proof import baseline_rules, find_candidate
from zlh_hooks.application.root_driver import RootDriver
from zlh_hooks.application.way_back import WayBack
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import GuestMissing, LeaseLost, RoadError, TargetError
from zlh_hooks.domain.health import Outcome
from zlh_hooks.domain.plan import Plan, PlannedTarget
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.progress import CLEARED, KEPT, Progress, TargetProgress, fold_progress
from zlh_hooks.domain.settling import decide_settling
from zlh_hooks.domain.steps import HALF_WAY, TargetEvent, TargetState


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
    is_called_away: Callable[[], bool] = lambda: False

    def tend(self) -> None:
        """Do what is due now; returns at once if nothing is. A guest that cannot be reached holds up no other.

        To do it for many takes long: what the worker is called to meanwhile, a way back above all, does not wait for
        that.
        """
        progress = fold_progress(self.ledger.read(self.plan.id))

        def tend(row: TargetProgress, journal: Journal) -> None:
            journal.ordered_at = progress.finalized_at
            self._tend_target(row, journal)

        self._tend_each([row for row in progress.targets if self._is_due(progress, row)], tend)

    def tend_half_way(self) -> None:
        """Only bring those to their end who were left half-way: the worker has another rollout in hand, and waits."""
        progress = fold_progress(self.ledger.read(self.plan.id))
        self._tend_each([row for row in progress.targets if row.state in HALF_WAY], self._finish)

    def _tend_each(self, rows: Sequence[TargetProgress], act: Callable[[TargetProgress, Journal], None]) -> None:
        held_up: list[RoadError] = []
        for row in rows:
            if self.is_called_away():
                break
            try:
                self._tend_one(row, act)
            except LeaseLost:
                raise
            except RoadError as error:
                held_up.append(error)
        if held_up:
            raise held_up[0]

    def _tend_one(self, row: TargetProgress, act: Callable[[TargetProgress, Journal], None]) -> None:
        journal = self.open_journal(row.target.vmid)
        try:
            act(row, journal)
        except GuestMissing as error:
            if self.driver.find(row.target) is None:  # else it has just moved, and is looked at there in the next round
                journal.event(TargetEvent.VANISHED, str(error))

    def _is_due(self, progress: Progress, row: TargetProgress) -> bool:
        return row.owes or row.state in HALF_WAY or self._may_settle(progress, row)

    def _tend_target(self, row: TargetProgress, journal: Journal) -> None:
        if row.state is TargetState.HEALTHY:
            self._settle(row, journal)
        elif row.state in HALF_WAY:
            self._finish(row, journal)
        if row.owes:
            self._clear_owed(row, journal)

    def _finish(self, row: TargetProgress, journal: Journal) -> None:
        target = row.target
        candidate = find_candidate(self.journal.evidence(f"smoke.{target.node}"))
        self.finish.attempt(
            target, journal, candidate, lambda reason: self._revert(target, journal, reason), leaves=True
        )

    def _revert(self, target: PlannedTarget, journal: Journal, reason: str) -> None:
        self.way_back.revert(target, journal, reason)

    def _clear_owed(self, row: TargetProgress, journal: Journal) -> None:
        try:
            self.way_back.clear_owed(row.target, journal)
        except GuestMissing:
            journal.write(Kind.NOTE, CLEARED, {"reason": "the guest was deleted"})
        except TargetError as error:
            journal.defer(f"still to be cleared away: {error}")

    def _may_settle(self, progress: Progress, row: TargetProgress) -> bool:
        """The soak is over, and a window is open that is neither the one of the exchange nor of a look in vain."""
        if row.state is not TargetState.HEALTHY:
            return False
        began, now = row.began_at, self.driver.clock.now()
        ordered, ended = progress.finalized_at, progress.ended_at
        if ended is None or began is None or (now < ended + self.plan.rules.soak and ordered is None):
            return False
        looked = row.told_at if row.kept else None
        if looked is not None and (ordered is None or ordered < looked):
            began = max(began, looked)
        return decide_settling(self.policy, began, now, security=self.plan.security).allowed

    def _settle(self, row: TargetProgress, journal: Journal) -> None:
        try:
            self.driver.assure_free(self.driver.locate(row.target))
            obstacle = self._find_obstacle(row, journal)
            if obstacle is None:
                self.driver.settle(row.target, journal)
            else:
                journal.write(Kind.NOTE, KEPT, {"reason": f"old root kept: {obstacle}"})
        except GuestMissing:
            raise
        except TargetError as error:
            journal.defer(f"old root kept: {error}")

    def _find_obstacle(self, row: TargetProgress, journal: Journal) -> str | None:
        """Why the guest may still need its old root; None if it does not, or if that is gone already."""
        cluster, ref, before = self.driver.cluster, self.driver.locate(row.target), self.driver.baseline(journal)
        if before.root not in {mount.volume for mount in cluster.inventory.read_config(ref).mounts}:
            return None
        if cluster.inventory.read_power(ref).running:
            probes = self.plan.line.probes
            judgement = self.driver.examiner.examine(ref, probes, baseline_rules(probes), {}).judgement
            return None if judgement.outcome is Outcome.HEALTHY else judgement.reason
        if row.kept:
            return "it is off, and was not healthy when it last ran"
        is_off_by_will = explain_off(cluster, ref, journal, was_running=before.running) is not None
        return None if is_off_by_will else "it does not run although somebody else started or restarted it"
