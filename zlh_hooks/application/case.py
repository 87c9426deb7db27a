"""A rollout in the hands of one worker: what the stories of its guests share."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from zlh_hooks.application.crew import Crew
from zlh_hooks.application.desk import list_owing
from zlh_hooks.application.gate import Gate
from zlh_hooks.application.journal import Journal
from zlh_hooks.application.ports import Clock, Ledger
from zlh_hooks.application.proof import find_candidate
from zlh_hooks.application.root_driver import RootDriver
from zlh_hooks.application.way_back import WayBack
from zlh_hooks.domain.health import Facts
from zlh_hooks.domain.plan import Plan, PlannedTarget
from zlh_hooks.domain.progress import Progress, fold_progress
from zlh_hooks.domain.steps import HALF_WAY, TargetState


@dataclass(slots=True)
class Case:
    """The plan, what it is carried out with, and each guest's journal. ``journal`` is the rollout's own.

    ``tend_others`` looks after the guests that earlier rollouts left half-way, until it is called away; ``half_way``
    are this one's, by VMID.
    """

    plan: Plan
    ledger: Ledger
    driver: RootDriver
    way_back: WayBack
    gate: Gate
    journal: Journal
    open_journal: Callable[[int], Journal]
    crew: Crew
    tend_others: Callable[[Callable[[], bool]], None] = lambda _: None
    half_way: dict[int, PlannedTarget] = field(default_factory=dict)
    _journals: dict[int, Journal] = field(default_factory=dict)
    _guards: dict[int, threading.Lock] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @property
    def clock(self) -> Clock:
        """The one that all of it goes by."""
        return self.driver.clock

    def progress(self) -> Progress:
        """How it stands, from the ledger."""
        return fold_progress(self.ledger.read(self.plan.id))

    def journal_of(self, target: PlannedTarget) -> Journal:
        """The target's journal; one per target and worker."""
        with self._guard:
            if target.vmid not in self._journals:
                self._journals[target.vmid] = self.open_journal(target.vmid)
            return self._journals[target.vmid]

    def alone_with(self, target: PlannedTarget) -> threading.Lock:
        """To be held while something is done with the guest; never while the gate is waited at."""
        with self._guard:
            return self._guards.setdefault(target.vmid, threading.Lock())

    def in_state(self, targets: Sequence[PlannedTarget], *states: TargetState) -> list[PlannedTarget]:
        """Those of the targets that are in one of the states now."""
        progress = self.progress()
        return [target for target in targets if progress.of(target.vmid).state in states]

    def is_proved(self) -> bool:
        """Whether a guest is healthy on this version."""
        return self.progress().is_proved

    def find_owed(self) -> dict[int, str]:
        """Guests that earlier rollouts have still to bring to their end (VMID), and which rollout that is."""
        owing = [one for one in list_owing(self.ledger, self.plan.id) if one.plan.signed is None]
        return {row.target.vmid: one.plan.id for one in owing for row in one.targets if row.state in HALF_WAY}

    def candidate(self, target: PlannedTarget) -> Facts:
        """What a healthy guest of this release reports on the target's node, from the smoke test there."""
        return find_candidate(self.journal.evidence(f"smoke.{target.node}"))

    def skip(self, target: PlannedTarget, reason: str) -> None:
        """The guest stays as it is."""
        self.way_back.leave(target, self.journal_of(target), reason)
