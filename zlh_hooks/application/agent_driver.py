"""What a release of the agent is to one guest: which one it runs, and whether it went back from it by itself."""

from collections.abc import Mapping

from zlh_hooks.application.journal import Journal
from zlh_hooks.application.pull_driver import UNWATCHED, PullDriver
from zlh_hooks.application.verdict import Skipped
from zlh_hooks.domain.agent_release import FAILED_HERE, version_of
from zlh_hooks.domain.agent_report import LONGEST_KEPT, AgentReport
from zlh_hooks.domain.plan import AgentPart, PlannedTarget


class AgentDriver(PullDriver):
    """A guest goes back by itself from a release that does not start or that answers wrongly."""

    @property
    def part(self) -> AgentPart:
        """What is brought."""
        assert self.plan.agents is not None
        return self.plan.agents

    def refuse_unfit(self, target: PlannedTarget, report: AgentReport) -> None:
        """It has another release than was planned from, or one on trial."""
        if version_of(report.current) != target.from_version or report.on_trial:
            now = f"{report.current or 'no release'}{' on trial' if report.on_trial else ''}"
            raise Skipped(f"{UNWATCHED}: it has {now}; {target.from_version} was planned from")

    def has_it(self, target: PlannedTarget, report: AgentReport) -> bool:
        """By its name."""
        return report.current in self.part.releases

    def find_failure(self, target: PlannedTarget, report: AgentReport, journal: Journal) -> str | None:
        """What failed under an earlier pin says nothing."""
        check, is_new = report.check, report.swap != self.before(journal)["swap"]
        if check is None or check.pin != self.part.pin:
            return None
        failed = next((release for release in self.part.releases if release in report.blocked), None)
        if check.outcome == FAILED_HERE or (failed is not None and is_new):
            return report.failure or report.reason or check.said
        return None

    def tell_brought(self, report: AgentReport) -> Mapping[str, object]:
        """Its swap; of one that failed, which release that was."""
        told = {"release": report.current, "swap": report.swap, "outcome": report.outcome, "failed": report.failed}
        return {name: text[:LONGEST_KEPT] for name, text in told.items()}

    def explain_unchanged(self, report: AgentReport) -> str | None:
        """Never: who has the release already has no part in the plan."""
        return None

    def describe(self, report: AgentReport) -> str:
        """Its release, and how its last check ended."""
        check = f"its last check: {report.check.outcome}: {report.check.said}" if report.check else ""
        return "; ".join(filter(None, (f"it has {report.current or 'no release'}", check)))

    def keeps_back(self, target: PlannedTarget, report: AgentReport) -> bool:
        """Never: nobody who plays feels a swap of the agent."""
        return False

    def find_missing(
        self, target: PlannedTarget, report: AgentReport, journal: Journal, *, is_shown: bool
    ) -> str | None:
        """It must have the release from before, and have seen that it shall."""
        before = self.before(journal)["release"]
        if report.current != before or report.on_trial:
            return f"it has {report.current}, on its way to {before}"
        if not is_shown or (report.check is not None and report.check.pin > self.part.pin):
            return None
        return f"it has {before}, and has not looked since the way back is shown"
