"""Guests that a rollout of the agent has begun are followed, proved and seen back, whoever waits for what meanwhile."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from zlh_hooks.application.agent_report_desk import GuestReport
from zlh_hooks.application.crew import Crew
from zlh_hooks.application.journal import Journal
from zlh_hooks.application.ports import Ledger
from zlh_hooks.application.pull_driver import GoneBack, PullDriver
from zlh_hooks.application.verdict import Deferred, Inconclusive, Replaced, Unhealthy
from zlh_hooks.domain.agent_series import BACK, CONDEMN, name_wave
from zlh_hooks.domain.duration import render_duration
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import GuestMissing, LeaseLost, RoadError
from zlh_hooks.domain.plan import PlannedTarget
from zlh_hooks.domain.progress import Progress, fold_progress
from zlh_hooks.domain.steps import HALF_WAY, TargetEvent

LOOK_EVERY = timedelta(seconds=5)
ERROR, LATE = "error", "late"
"""Notes of a guest: it could not be measured, or took nothing up; or the latter, and nothing is wrong."""
Condemn = Callable[[PlannedTarget, Journal, str], None]
"""What is done where probes find a guest ill whose own agent is content."""


@dataclass(slots=True)
class AgentCare:
    """``open_journal``: of the guest with that number."""

    ledger: Ledger
    driver: PullDriver
    open_journal: Callable[[int], Journal]
    crew: Crew
    condemn: Condemn
    _journals: dict[int, Journal] = field(default_factory=dict)
    _shown_at: dict[str, datetime] = field(default_factory=dict)
    _due: float = 0.0
    _tending: threading.Lock = field(default_factory=threading.Lock)

    def progress(self) -> Progress:
        """How the rollout stands, from the ledger."""
        return fold_progress(self.ledger.read(self.driver.plan.id))

    def journal_of(self, vmid: int) -> Journal:
        """The guest's journal; one per guest and worker."""
        if vmid not in self._journals:
            self._journals[vmid] = self.open_journal(vmid)
        return self._journals[vmid]

    def tend(self) -> bool:
        """Look at all that were begun; False, at once, if that was done a moment ago or is being done."""
        now = self.driver.clock.monotonic()
        if now < self._due or not self._tending.acquire(blocking=False):
            return False
        try:
            self._tend_all()
        except LeaseLost:
            raise
        except RoadError:
            pass  # looked at again in the next round
        finally:
            self._due = self.driver.clock.monotonic() + LOOK_EVERY.total_seconds()
            self._tending.release()
        return True

    def _tend_all(self) -> None:
        entries = self.ledger.read(self.driver.plan.id)
        begun = [row.target for row in fold_progress(entries).targets if row.state in HALF_WAY]
        if begun:
            self._shown_at = {e.name: e.at for e in entries if e.kind is Kind.DONE and e.target is None}
            rows = self.driver.find_reports([target.vmid for target in begun])
            self.crew.each(begun, lambda target: self._attend(target, rows.get(target.vmid)))

    def _attend(self, target: PlannedTarget, row: GuestReport | None) -> None:
        journal = self.journal_of(target.vmid)
        try:
            self._go_on(target, row, journal)
        except (Deferred, GuestMissing) as error:  # a guest that has moved is found in the next round
            journal.defer(str(error))
        except Inconclusive as error:
            journal.write(Kind.NOTE, ERROR, {"reason": str(error)})
        except Replaced as error:
            journal.event(TargetEvent.REPLACED, str(error))
        except GoneBack as error:
            self._note_failure(journal, str(error))
            journal.event(TargetEvent.REVERT_BEGAN, str(error))
        except Unhealthy as error:
            self._note_failure(journal, str(error))
            self.condemn(target, journal, str(error))

    def _note_failure(self, journal: Journal, reason: str) -> None:
        """Once for each guest: whoever takes over from a worker that died in between finds it noted."""
        if not journal.has_note("failure"):
            journal.write(Kind.NOTE, "failure", {"reason": reason})

    def _go_on(self, target: PlannedTarget, row: GuestReport | None, journal: Journal) -> None:
        if row is None:
            return journal.event(TargetEvent.VANISHED, "there is no such guest any more")
        if journal.is_in(TargetEvent.REVERT_BEGAN):
            is_shown = any(f"show.{act}" in self._shown_at for act in (BACK, CONDEMN))
            return self.driver.prove_back(target, row, journal, is_shown=is_shown)
        if journal.is_in(TargetEvent.EXCHANGE_BEGAN):
            self.driver.follow(target, row, journal)
            self._note_late(target, row, journal)
        if journal.is_in(TargetEvent.EXCHANGED):
            self.driver.prove(target, row, journal)

    def _note_late(self, target: PlannedTarget, row: GuestReport, journal: Journal) -> None:
        """Noted once: nothing speaks against what is brought, and it may still come. An error, unless it waits."""
        shown_at, patience = self._shown_at.get(f"show.{name_wave(target.wave)}"), self.driver.patience
        is_late = shown_at is not None and self.driver.clock.now() - shown_at >= patience
        if is_late and journal.is_in(TargetEvent.EXCHANGE_BEGAN) and not self.is_late(journal):
            reason = f"nothing within {render_duration(patience)}: {journal.last_deferral()}"
            journal.write(Kind.NOTE, LATE if self.driver.is_waiting(target, row) else ERROR, {"reason": reason})

    def is_late(self, journal: Journal) -> bool:
        """Whether the guest has had all the time that it may need: it took nothing up, or could not be proved since."""
        took_up_at = journal.event_at(TargetEvent.EXCHANGED)
        if took_up_at is None:
            has_note = journal.has_note(ERROR) or journal.has_note(LATE)
            return journal.is_in(TargetEvent.EXCHANGE_BEGAN) and has_note
        is_open = journal.is_in(TargetEvent.EXCHANGED)
        return is_open and self.driver.clock.now() - took_up_at >= self.driver.patience
