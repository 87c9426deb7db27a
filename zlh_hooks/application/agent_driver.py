"""What a rollout of the agent does with one guest: it only looks. Guests act by themselves, on what they are shown.

A guest goes back by itself from a release that does not start or that answers wrongly. What its own look cannot see is
seen by the line's probes: then all go back, for nothing is signed that would take back a single one.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from zlh_hooks.application.agent_report_desk import GuestReport
from zlh_hooks.application.journal import Journal
from zlh_hooks.application.ports import Clock
from zlh_hooks.application.proof import Examiner, Proof, baseline_rules
from zlh_hooks.application.verdict import Deferred, Inconclusive, Replaced, Skipped, Unhealthy
from zlh_hooks.domain.agent_release import version_of
from zlh_hooks.domain.agent_report import AgentReport
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.health import HealthRules, Outcome
from zlh_hooks.domain.hold import Claim, find_hold
from zlh_hooks.domain.plan import AgentPart, Plan, PlannedTarget
from zlh_hooks.domain.probe import Probe
from zlh_hooks.domain.steps import TargetEvent

HAD, PROOF, BACK_PROOF = "agent.had", "agent.proof", "agent.back_proof"
"""Evidence of a target: what it had, its proof, and that on the release before."""
CHECKING = timedelta(minutes=15)
"""A guest asks every ten to eleven minutes what it shall have, and then brings it."""
FAILED_HERE = "failed-here"
UNWATCHED = "it follows what is signed, and nobody proves it"
FindReports = Callable[[Sequence[int]], Mapping[int, GuestReport]]


class GoneBack(Unhealthy):
    """The guest itself found the release bad, and is on the one before or on its way there."""


@dataclass(frozen=True, slots=True)
class AgentDriver:
    """``breaks_off``: whether people ordered an end or a way back, so that no proof is waited for any more."""

    plan: Plan
    find_reports: FindReports
    examiner: Examiner
    clock: Clock
    breaks_off: Callable[[], bool]

    @property
    def part(self) -> AgentPart:
        """What is brought."""
        assert self.plan.agents is not None
        return self.plan.agents

    @property
    def patience(self) -> timedelta:
        """How long a guest may take to begin and to end what is shown to it."""
        return self.part.jitter + CHECKING + self.plan.rules.healthy_deadline

    def find_holds(self, vmids: Collection[int]) -> list[str]:
        """Which of these guests are on hold now, and until when."""
        guests = (guest for guest in self.examiner.inventory.list_guests() if guest.vmid in vmids)
        holds = ((guest, find_hold(Claim.HOLD, guest.tags, self.clock.now())) for guest in guests)
        return [f"guest {guest.vmid}, on hold {hold}," for guest, hold in holds if hold is not None]

    def stage(self, target: PlannedTarget, row: GuestReport, journal: Journal) -> None:
        """Record what the guest has, if it is well; ``Skipped`` says why it is not watched, though it follows.

        What was recorded long before its wave is looked at anew.
        """
        report = _need(row)
        if version_of(report.current) != target.from_version or report.on_trial:
            now = f"{report.current or 'no release'}{' on trial' if report.on_trial else ''}"
            raise Skipped(f"{UNWATCHED}: it has {now}; {target.from_version} was planned from")
        proof = self._examine(target, row.guest.ref, baseline_rules(self._probes_of(target)))
        if proof.judgement.outcome is not Outcome.HEALTHY:
            raise Skipped(f"{UNWATCHED}: it is not healthy before the change: {proof.judgement.reason}")
        journal.write(Kind.EVIDENCE, HAD, {"release": report.current, "swap": report.swap, **proof.times()})
        if not journal.is_in(TargetEvent.STAGED):
            journal.event(TargetEvent.STAGED)

    # ------------------------------------------------------------- forward

    def follow(self, row: GuestReport, journal: Journal) -> None:
        """Note that the guest has what is brought; ``GoneBack`` if it had it and went back."""
        if row.report is None:
            return journal.defer(f"nothing is known of it: {row.why}")
        report = row.report
        if report.on_trial:
            return
        if report.current in self.part.releases:
            return journal.event(TargetEvent.EXCHANGED)
        reason = self._find_failure(report, journal)
        if reason is not None:
            raise GoneBack(reason)
        if report.check is not None:
            journal.defer(f"its last check: {report.check.outcome}: {report.check.said}")

    def _find_failure(self, report: AgentReport, journal: Journal) -> str | None:
        """Of this rollout's own try: what failed under an earlier pin says nothing."""
        check, is_new = report.check, report.swap != self._before(journal)["swap"]
        if check is None or check.pin != self.part.pin:
            return None
        failed = next((release for release in self.part.releases if release in report.blocked), None)
        if check.outcome == FAILED_HERE or (failed is not None and is_new):
            return report.failure or report.reason or check.said
        return None

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
        self._assure_kept(row, journal)
        if judgement.outcome is Outcome.UNHEALTHY:
            raise Unhealthy(judgement.reason)
        journal.event(TargetEvent.PROVED)

    def _was_stopped(self, ref: GuestRef, within_seconds: float) -> bool:
        """By whomever: what probes said meanwhile is not the agent's doing."""
        power = self.examiner.inventory.read_power(ref)
        return not power.running or power.uptime_seconds < within_seconds

    def _assure_kept(self, row: GuestReport, journal: Journal) -> None:
        now = self.find_reports([row.guest.vmid]).get(row.guest.vmid)
        report = now.report if now else None
        if report is None:
            raise Inconclusive("it answered its probes, and then did not say what it runs")
        if report.current in self.part.releases:
            return
        reason = self._find_failure(report, journal)
        if reason is not None:
            raise GoneBack(reason)
        raise Replaced(f"somebody brought it {report.current or 'another release'}; nobody proves what it has")

    # ---------------------------------------------------------------- back

    def prove_back(self, target: PlannedTarget, row: GuestReport, journal: Journal, *, is_shown: bool) -> None:
        """Look whether the guest is on what it had, and well; else it is waited for within ``patience``.

        ``is_shown``: guests see the way back, and one that has not looked yet may still be on its way forward.
        """
        before, report = self._before(journal)["release"], row.report
        if report is not None and report.current == before and not report.on_trial:
            if not is_shown or (report.check is not None and report.check.pin > self.part.pin):
                return self._prove_old(target, row, journal)
            return self._wait(journal, f"it has {before}, and has not looked since the way back is shown")
        said = f"it has {report.current}, on its way to {before}" if report else f"nothing is known of it: {row.why}"
        self._wait(journal, said)

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

    def _before(self, journal: Journal) -> Mapping[str, str]:
        before = journal.evidence(HAD)
        assert before is not None, "a guest that was staged has a record"
        return before

    def _probes_of(self, target: PlannedTarget) -> tuple[Probe, ...]:
        return self.part.lines[target.line].probes

    def _examine(self, target: PlannedTarget, ref: GuestRef, rules: HealthRules, *, to_the_end: bool = False) -> Proof:
        interrupted = (lambda: False) if to_the_end else self.breaks_off
        return self.examiner.examine(ref, self._probes_of(target), rules, {}, interrupted)


def _need(row: GuestReport) -> AgentReport:
    if row.report is None:
        raise Skipped(f"{UNWATCHED}: nothing is known of its agent: {row.why}")
    return row.report
