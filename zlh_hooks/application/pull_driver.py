"""What a rollout does with one guest that follows signed states by itself: it only looks, whatever is brought.

What a guest's own look cannot see is seen by the line's probes: then all go back, for nothing is signed that would
take back a single one.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from zlh_hooks.application.agent_report_desk import GuestReport
from zlh_hooks.application.journal import Journal
from zlh_hooks.application.ports import Clock
from zlh_hooks.application.proof import Examiner, Proof, baseline_rules
from zlh_hooks.application.verdict import Deferred, Inconclusive, Replaced, Skipped, Unhealthy
from zlh_hooks.domain.agent_report import AgentReport
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import TargetError
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.health import HealthRules, Outcome
from zlh_hooks.domain.hold import Claim, find_hold
from zlh_hooks.domain.plan import Plan, PlannedTarget, SignedPart
from zlh_hooks.domain.probe import Probe
from zlh_hooks.domain.progress import UNCHANGED
from zlh_hooks.domain.steps import TargetEvent

HAD, BROUGHT, PROOF, BACK_PROOF = "agent.had", "agent.brought", "agent.proof", "agent.back_proof"
"""Evidence of a target: what it had, what was done in it, its proof, and that on what it had before."""
CHECKING = timedelta(minutes=15)
"""A guest asks every ten to eleven minutes what it shall have, and then brings it."""
UNWATCHED = "it follows what is signed, and nobody proves it"
FindReports = Callable[[Sequence[int]], Mapping[int, GuestReport]]


class GoneBack(Unhealthy):
    """The guest itself found bad what it was brought, and is on what it had or on its way there."""


class NoWayBack(TargetError):
    """The guest itself says that it stays on what it was brought: a person must mend it."""


@dataclass(frozen=True)
class PullDriver(ABC):
    """``breaks_off``: whether people ordered an end or a way back, so that no proof is waited for any more."""

    plan: Plan
    find_reports: FindReports
    examiner: Examiner
    clock: Clock
    breaks_off: Callable[[], bool]

    @property
    def signed(self) -> SignedPart:
        """What of the plan people sign."""
        assert self.plan.signed is not None
        return self.plan.signed

    @property
    def patience(self) -> timedelta:
        """How long a guest may take to begin and to end what is shown to it."""
        return self.signed.jitter + CHECKING + self.plan.rules.healthy_deadline

    def find_holds(self, vmids: Collection[int]) -> list[str]:
        """Which of these guests are on hold now, and until when."""
        guests = (guest for guest in self.examiner.inventory.list_guests() if guest.vmid in vmids)
        holds = ((guest, find_hold(Claim.HOLD, guest.tags, self.clock.now())) for guest in guests)
        return [f"guest {guest.vmid}, on hold {hold}," for guest, hold in holds if hold is not None]

    # -------------------------------------------------- what is brought decides

    @abstractmethod
    def refuse_unfit(self, target: PlannedTarget, report: AgentReport) -> None:
        """``Skipped`` says why the guest is not watched, as it is now."""

    @abstractmethod
    def has_it(self, target: PlannedTarget, report: AgentReport) -> bool:
        """Whether the guest has what is brought, and its own trial of that is over."""

    @abstractmethod
    def find_failure(self, target: PlannedTarget, report: AgentReport, journal: Journal) -> str | None:
        """Why it went back by itself, in this rollout's own try; None if it did not."""

    @abstractmethod
    def tell_brought(self, report: AgentReport) -> Mapping[str, object]:
        """What was done in the guest, as it reports: for the ledger, because its next report is of something else."""

    @abstractmethod
    def explain_unchanged(self, report: AgentReport) -> str | None:
        """Why a guest that has it is no proof for others: nothing was brought to it; None if something was."""

    @abstractmethod
    def describe(self, report: AgentReport) -> str:
        """What the guest does instead, as far as it says."""

    @abstractmethod
    def keeps_back(self, target: PlannedTarget, report: AgentReport) -> bool:
        """Whether it waits for its customer's sake: that is no error."""

    @abstractmethod
    def find_missing(
        self, target: PlannedTarget, report: AgentReport, journal: Journal, *, is_shown: bool
    ) -> str | None:
        """What is missing until the guest is on what it had; None if it is. ``NoWayBack``.

        ``is_shown``: guests see the way back, and one that has not looked yet may still be on its way forward.
        """

    # ------------------------------------------------------------- forward

    def stage(self, target: PlannedTarget, row: GuestReport, journal: Journal) -> None:
        """Record what the guest has, if it is well; ``Skipped`` says why it is not watched, though it follows.

        What was recorded long before its wave is looked at anew.
        """
        report = row.report
        if report is None:
            raise Skipped(f"{UNWATCHED}: nothing is known of its agent: {row.why}")
        self.refuse_unfit(target, report)
        proof = self._examine(target, row.guest.ref, baseline_rules(self._probes_of(target)))
        if proof.judgement.outcome is not Outcome.HEALTHY:
            raise Skipped(f"{UNWATCHED}: it is not healthy before the change: {proof.judgement.reason}")
        journal.write(Kind.EVIDENCE, HAD, {"release": report.current, "swap": report.swap, **proof.times()})
        if not journal.is_in(TargetEvent.STAGED):
            journal.event(TargetEvent.STAGED)

    def follow(self, target: PlannedTarget, row: GuestReport, journal: Journal) -> None:
        """Note that the guest has what is brought; ``GoneBack`` if it had it and went back."""
        report = row.report
        if report is None:
            return journal.defer(f"nothing is known of it: {row.why}")
        if report.on_trial:
            return
        if self.has_it(target, report):
            self._keep(report, journal)
            return journal.event(TargetEvent.EXCHANGED)
        reason = self.find_failure(target, report, journal)
        if reason is not None:
            self._keep(report, journal)
            raise GoneBack(reason)
        if said := self.describe(report):
            journal.defer(said)

    def _keep(self, report: AgentReport, journal: Journal) -> None:
        journal.once(BROUGHT, lambda: dict(self.tell_brought(report)))

    def is_waiting(self, target: PlannedTarget, row: GuestReport) -> bool:
        """Whether nothing is wrong with a guest that takes nothing up: it waits for its customer's sake."""
        return row.report is not None and self.keeps_back(target, row.report)

    def prove(self, target: PlannedTarget, row: GuestReport, journal: Journal) -> None:
        """The line's probes, for as long as the rules say; then the guest is asked once more what it has.

        ``Unhealthy``, ``Inconclusive`` and ``Deferred`` say why it is not proved; nothing, if it was broken off.
        """
        if not row.guest.running:
            raise Deferred("it is off; proved when it runs")
        rules, began = self.plan.rules, self.clock.monotonic()
        proof = self._examine(target, row.guest.ref, HealthRules(rules.min_healthy_time, rules.healthy_deadline))
        judgement = proof.judgement
        if judgement.outcome is Outcome.WAITING:
            return
        journal.write(Kind.EVIDENCE, PROOF, {"judgement": judgement.reason, **proof.times()})
        if judgement.outcome is Outcome.INCONCLUSIVE:
            raise Inconclusive(judgement.reason)
        if judgement.outcome is Outcome.UNHEALTHY and self._was_stopped(row.guest.ref, self.clock.monotonic() - began):
            raise Deferred("it was stopped or restarted during its proof; proved when it runs")
        report = self._assure_kept(target, row, journal)
        if judgement.outcome is Outcome.UNHEALTHY:
            raise Unhealthy(judgement.reason)
        unchanged = self.explain_unchanged(report)
        journal.event(TargetEvent.PROVED, unchanged or "", **({UNCHANGED: True} if unchanged else {}))

    def _was_stopped(self, ref: GuestRef, within_seconds: float) -> bool:
        """By whomever: what probes said meanwhile is not the doing of what was brought."""
        power = self.examiner.inventory.read_power(ref)
        return not power.running or power.uptime_seconds < within_seconds

    def _assure_kept(self, target: PlannedTarget, row: GuestReport, journal: Journal) -> AgentReport:
        now = self.find_reports([row.guest.vmid]).get(row.guest.vmid)
        report = now.report if now else None
        if report is None:
            raise Inconclusive("it answered its probes, and then did not say what it runs")
        if self.has_it(target, report):
            return report
        reason = self.find_failure(target, report, journal)
        if reason is not None:
            raise GoneBack(reason)
        raise Replaced(f"somebody brought it something else; nobody proves what it has: {self.describe(report)}")

    # ---------------------------------------------------------------- back

    def prove_back(self, target: PlannedTarget, row: GuestReport, journal: Journal, *, is_shown: bool) -> None:
        """Look whether the guest is on what it had, and well; else it is waited for within ``patience``."""
        if row.report is None:
            return self._wait(journal, f"nothing is known of it: {row.why}")
        try:
            missing = self.find_missing(target, row.report, journal, is_shown=is_shown)
        except NoWayBack as error:
            return journal.event(TargetEvent.REVERT_UNPROVED, str(error))
        if missing is None:
            return self._prove_old(target, row, journal)
        self._wait(journal, missing)

    def _wait(self, journal: Journal, said: str) -> None:
        if self.clock.now() - self._back_since(journal) < self.patience:
            return journal.defer(said)
        journal.event(TargetEvent.REVERT_UNPROVED, f"{said}; it goes back by itself as soon as it can")

    def _prove_old(self, target: PlannedTarget, row: GuestReport, journal: Journal) -> None:
        rules = HealthRules(timedelta(0), self.plan.rules.healthy_deadline)
        proof = self._examine(target, row.guest.ref, rules, to_the_end=True)
        reason = proof.judgement.reason
        journal.write(Kind.EVIDENCE, BACK_PROOF, {"judgement": reason, **proof.times()})
        if proof.judgement.outcome is Outcome.INCONCLUSIVE:
            return self._wait(journal, f"it is on what it had, and could not be asked: {reason}")
        if proof.judgement.outcome is Outcome.HEALTHY:
            journal.event(TargetEvent.REVERT_PROVED)
        else:
            journal.event(TargetEvent.REVERT_UNPROVED, f"it is on what it had, and not healthy: {reason}")

    def _back_since(self, journal: Journal) -> datetime:
        return journal.event_at(TargetEvent.REVERT_BEGAN) or self.clock.now()

    # --------------------------------------------------------------- inside

    def before(self, journal: Journal) -> Mapping[str, str]:
        """What was recorded of the guest when it was staged."""
        before = journal.evidence(HAD)
        assert before is not None, "a guest that was staged has a record"
        return before

    def _probes_of(self, target: PlannedTarget) -> tuple[Probe, ...]:
        return self.signed.lines[target.line].probes

    def _examine(self, target: PlannedTarget, ref: GuestRef, rules: HealthRules, *, to_the_end: bool = False) -> Proof:
        interrupted = (lambda: False) if to_the_end else self.breaks_off
        return self.examiner.examine(ref, self._probes_of(target), rules, {}, interrupted)
