"""After a rollout that guests follow: who was begun is followed, until nobody may order the way back any more."""

from collections.abc import Callable

from zlh_hooks.application.agent_care import AgentCare
from zlh_hooks.application.journal import Journal
from zlh_hooks.domain.plan import PlannedTarget
from zlh_hooks.domain.progress import Progress
from zlh_hooks.domain.steps import TargetEvent, TargetState

_LAST = {
    TargetState.HEALTHY: (TargetEvent.SETTLED, ""),
    TargetState.PROVING: (TargetEvent.REPLACED, "it was never proved on it, and keeps it"),
    TargetState.APPLYING: (TargetEvent.SKIPPED, "it never took it up; it still follows what is signed, by itself"),
}


class AgentSoak:
    """What remains of one rollout after it succeeded or was aborted.

    ``is_called_away``: whether the worker is wanted elsewhere, so that no proof is waited for.
    """

    is_called_away: Callable[[], bool]

    def __init__(self, open_care: Callable[[Callable[[], bool]], AgentCare]) -> None:
        self.is_called_away = lambda: False
        self.care = open_care(lambda: self.is_called_away())

    def tend(self) -> None:
        """Do what is due now."""
        self.tend_half_way()
        progress = self.care.progress()
        if self._is_over(progress):
            for row in progress.targets:
                if row.state in _LAST:
                    self.care.journal_of(row.target.vmid).event(*_LAST[row.state])

    def tend_half_way(self) -> None:
        """Only follow those that were begun."""
        self.care.tend()

    def _is_over(self, progress: Progress) -> bool:
        if progress.ended_at is None:
            return False
        return progress.finalized_at is not None or (
            self.care.driver.clock.now() >= progress.ended_at + progress.plan.rules.soak
        )


def leave_stuck(target: PlannedTarget, journal: Journal, reason: str) -> None:
    """After a rollout no single guest can be taken back: a person must order all back, or mend it."""
    journal.event(TargetEvent.REVERT_BEGAN, reason)
    said = f"{reason}; its agent is content, so that only all can go back: zlh-hooks rollout revert"
    journal.event(TargetEvent.REVERT_UNPROVED, said)
