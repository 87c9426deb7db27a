"""How long a new root may stand pending, so that whoever restarts the guest brings it; and putting it there.

While it stands the guest's turn could come at any moment as far as time and people are concerned: its window is open,
its date has come, nobody holds it. Policy may let it stand outside of windows too. Then ``Exchange`` withdraws it.
"""

from dataclasses import dataclass, field
from datetime import timedelta

from zlh_hooks.application import high_availability
from zlh_hooks.application.case import Case
from zlh_hooks.application.interlock import Interlock
from zlh_hooks.application.journal import Journal
from zlh_hooks.application.proof import expect_state
from zlh_hooks.application.root_driver import PUT
from zlh_hooks.application.verdict import Skipped
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import HeldUp
from zlh_hooks.domain.health import HealthRules, Outcome
from zlh_hooks.domain.plan import PlannedTarget
from zlh_hooks.domain.progress import ILL, predict_need
from zlh_hooks.domain.steps import TargetEvent

PUT_AGAIN = timedelta(seconds=10)
"""How long a root that could not be put rests before it is tried again."""
AT_ONCE = HealthRules(min_healthy_time=timedelta(0), healthy_deadline=timedelta(0))


@dataclass(slots=True)
class Standing:
    """Shared by the threads of a rollout."""

    case: Case
    interlock: Interlock
    _rests_until: dict[int, float] = field(default_factory=dict)
    _ill_since: dict[int, float] = field(default_factory=dict)

    @property
    def is_any_time(self) -> bool:
        """Whether windows do not count. Where dates were told they do."""
        return self.case.plan.rules.exchange_pending == "any-time" and self.case.gate.board is None

    def need(self) -> timedelta:
        """What is to fit in before the window ends, or a freeze begins: a restart, its proof and a way back."""
        return predict_need(self.case.progress())

    def find_hindrance(self, target: PlannedTarget) -> str | None:
        """Why the guest's new root may not stand pending now; None if it may. Never waits.

        One that was taken from the HA manager, for a restart that did not come, is to be given back when its turn ends.
        """
        need, is_ready = self.need(), high_availability.is_kept_off(self.case.journal_of(target))
        any_time = self.is_any_time and not is_ready
        hindrance = self.case.gate.find_hindrance(need, target.vmid, any_time=any_time)
        return hindrance or self._find_others(target, need)

    def _find_others(self, target: PlannedTarget, need: timedelta) -> str | None:
        """A claim on it, or work of others for which policy leaves it out, or asks a person."""
        claim = self.case.driver.find_claim(target)
        conflict = None if claim else self.interlock.find(self.case.driver.locate(target), need)
        return claim or (conflict.reason if conflict and conflict.answer != "wait" else None)

    def find_illness(self, target: PlannedTarget, journal: Journal) -> str | None:
        """Why its new root may not stand pending any more though nobody is in its way: a restart would bring one that
        cannot be proved. None while that may be but the beginning of its customer's restart.
        """
        flaw, now = self._find_flaw(target, journal), self.case.clock.monotonic()
        if flaw is None:
            return None
        if bool(flaw) is not bool((journal.evidence(ILL) or {}).get("reason")):
            journal.write(Kind.EVIDENCE, ILL, {"reason": flaw})
        if not flaw:
            self._ill_since.pop(target.vmid, None)
            return None
        since = self._ill_since.setdefault(target.vmid, now)
        is_lasting = now - since > self.case.plan.rules.shutdown_timeout.total_seconds()
        return f"its server is not what it was when its new root was put ({flaw})" if is_lasting else None

    def _find_flaw(self, target: PlannedTarget, journal: Journal) -> str | None:
        """Empty if there is none; None if nobody can say: it is off, or on its new root, or could not be measured.

        Asked once, for others wait for it.
        """
        driver, probes = self.case.driver, self.case.plan.line.probes
        if not driver.is_running(target):
            return None
        expect = expect_state(driver.baseline(journal).facts)
        judgement = driver.examiner.examine(driver.locate(target), probes, AT_ONCE, expect).judgement
        if judgement.errors or driver.has_come_up(target, journal):
            return None
        return judgement.reason.partition(": ")[2] if judgement.outcome is Outcome.UNHEALTHY else ""

    def is_due(self, target: PlannedTarget, journal: Journal) -> bool:
        """Whether its new root was not put yet, nor tried to be a moment ago."""
        return not journal.is_in(TargetEvent.EXCHANGE_BEGAN) and self.case.clock.monotonic() >= self._rests_until.get(
            target.vmid, 0
        )

    def put(self, target: PlannedTarget, journal: Journal) -> None:
        """Leave its new root to whoever restarts the guest next, if it may stand now.

        Where it may not, or the guest is locked or not well, that is tried again later: its turn alone leaves it out.
        """
        self._rests_until[target.vmid] = self.case.clock.monotonic() + PUT_AGAIN.total_seconds()
        if self.find_hindrance(target) is not None:
            return
        try:
            self.case.driver.prove_baseline(target, journal)
        except (HeldUp, Skipped):
            return
        with self.case.alone_with(target):
            if journal.is_waiting() and self.find_hindrance(target) is None:
                self._write(target, journal)

    def _write(self, target: PlannedTarget, journal: Journal) -> None:
        self.case.half_way[target.vmid] = target
        self._ill_since.pop(target.vmid, None)
        try:
            self.case.driver.leave_pending(target, journal)
        except HeldUp as error:
            if not journal.may_be_done(PUT):
                journal.event(TargetEvent.WITHDRAWN, str(error))
