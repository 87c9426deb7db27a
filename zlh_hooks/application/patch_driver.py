"""What packages are to one guest: what it reports of the wish that brings them, and of the one that takes them back."""

from collections.abc import Mapping

from zlh_hooks.application.journal import Journal
from zlh_hooks.application.pull_driver import UNWATCHED, NoWayBack, PullDriver
from zlh_hooks.application.verdict import Skipped
from zlh_hooks.domain.agent_report import AgentReport, explain_unfit_for_patches
from zlh_hooks.domain.plan import PatchPart, PlannedTarget
from zlh_hooks.domain.stand_in import HAD_ALL, UNTOLD

UNTOUCHED_ENDS = ("reverted", "refused")
"""How a patch ends that failed and left, or brought back, what was there."""
_UNCHANGED = {"installed": None, "nothing": HAD_ALL}
"""How the patch of a wish that is done ended, and why that is no proof."""


class PatchDriver(PullDriver):
    """A guest goes back by itself from packages that do not come whole, or after which something is not well."""

    @property
    def part(self) -> PatchPart:
        """What is brought."""
        assert self.plan.patches is not None
        return self.plan.patches

    def refuse_unfit(self, target: PlannedTarget, report: AgentReport) -> None:
        """Something is under way there, or its plugin could not be told to take it back."""
        reason = explain_unfit_for_patches(report)
        if reason is not None:
            raise Skipped(f"{UNWATCHED}: {reason}")

    def has_it(self, target: PlannedTarget, report: AgentReport) -> bool:
        """Its report says that it has done the wish."""
        return self._state_of(self.part.wishes[target.line], report) == "done"

    def find_failure(self, target: PlannedTarget, report: AgentReport, journal: Journal) -> str | None:
        """Each rollout's wish is another one, and is tried once. While a patch is under way, or where a full disk took
        no word of its good end, the guest calls the wish failed, and will know better.
        """
        wish = report.wish
        if wish is None or self._state_of(self.part.wishes[target.line], report) != "failed":
            return None
        if report.wished_patch is not None and (report.wished_patch.is_open or report.wished_patch.is_good):
            return None
        return wish.reason or "it failed there"

    def tell_brought(self, report: AgentReport) -> Mapping[str, object]:
        """The wish's own patch; empty if somebody else has begun one since."""
        patch = report.wished_patch
        return {} if patch is None else patch.summarize()

    def explain_unchanged(self, report: AgentReport) -> str | None:
        """All was there already. An older plugin, after somebody else's patch, does not say."""
        return _UNCHANGED.get(report.wish_outcome, UNTOLD)

    def describe(self, report: AgentReport) -> str:
        """What became of the wish that it knows."""
        wish, check = report.wish, report.check
        if report.patch is not None and report.patch.is_open:
            return f"a patch is under way, in {report.patch.step}"
        if wish is None:
            return f"it was wished nothing; its last check: {check.outcome}: {check.said}" if check else ""
        tried = f"{wish.state}{f' ({wish.reason})' if wish.reason else ''}" if wish.state else "not tried yet"
        return f"wish {wish.number}: {tried}"

    def keeps_back(self, target: PlannedTarget, report: AgentReport) -> bool:
        """Whoever plays there would feel it, and no window is open."""
        return self._state_of(self.part.wishes[target.line], report) == "waits"

    def find_missing(
        self, target: PlannedTarget, report: AgentReport, journal: Journal, *, is_shown: bool
    ) -> str | None:
        """It must have done the wish that takes all back; or, alone, have gone back by itself."""
        if not is_shown:
            _refuse_half_way(report)
            return None
        wish, state = report.wish, self._state_of(self.part.ways_back[target.line], report)
        if state == "failed" and not (report.wished_patch and report.wished_patch.is_open):
            raise NoWayBack(f"it cannot take the packages back: {wish.reason if wish else ''}")
        return None if state == "done" else f"it has not taken the packages back yet: {self.describe(report)}"

    def _state_of(self, wish: str, report: AgentReport) -> str | None:
        """None if it knows another wish, or none."""
        return report.wish.state if report.wish is not None and report.wish.id == wish else None


def _refuse_half_way(report: AgentReport) -> None:
    outcome = report.wish_outcome or "not known"
    if outcome not in UNTOUCHED_ENDS:
        raise NoWayBack(f"it failed, and has not gone back: its patch is {outcome}")
