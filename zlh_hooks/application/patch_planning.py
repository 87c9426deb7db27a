"""From what guests report and the policy to a rollout of packages, and to the states that carry it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from zlh_hooks.application.planning import make_id
from zlh_hooks.application.signed_planning import (
    ORDINARY,
    Outsider,
    PreparedRollout,
    SignedPlanner,
    Urgency,
    list_waves,
)
from zlh_hooks.domain.agent_release import GuestFacts
from zlh_hooks.domain.agent_report import AgentReport, explain_unfit_for_patches
from zlh_hooks.domain.agent_series import END, PatchSeriesOrder
from zlh_hooks.domain.agent_wish import PatchOrder
from zlh_hooks.domain.guest import GuestSummary
from zlh_hooks.domain.plan import PACKAGES, PatchPart, PlannedTarget, Release
from zlh_hooks.domain.policy import Line


@dataclass(frozen=True, slots=True)
class PatchPlanner:
    """Makes plans; asks every guest that it may concern."""

    planner: SignedPlanner

    def plan_rollout(self, order: PatchOrder, urgency: Urgency = ORDINARY) -> PreparedRollout:
        """The waves that would bring these packages; ``NotAllowed`` and ``SettingsError`` say what is wrong."""
        planner, desk = self.planner, self.planner.desk
        lines = planner.choose_lines(order.line)
        roster = planner.choose_guests(lines, self._explain_unfit())
        targets = planner.assign(roster, urgency)
        lines = _keep_with_guests(lines, targets)
        rollout = make_id("p", desk.clock.now())
        openings = planner.list_openings(urgency)
        wanted = PatchSeriesOrder(rollout, tuple(lines), order.packages, list_waves(targets), openings)
        made = desk.states.patch_series(desk.repository.read_state(), wanted, desk.look_around())
        part = PatchPart(lines=lines, jitter=desk.policy.agents.jitter, wishes=made.wishes, ways_back=made.ways_back)
        release = Release(line=PACKAGES, version=made.words, templates={})
        left_out = roster.leave_out(self._foresee(made.series.states[END], lines))
        plan = planner.draw(rollout, release, targets, left_out, urgency, part)
        return PreparedRollout(plan, made.series)

    def _foresee(self, end: bytes, lines: Collection[str]) -> Callable[[Outsider], bool]:
        """Whether a guest follows the end; lines that are none of the rollout's may be wished something else there."""
        planner, states = self.planner, self.planner.desk.states

        def follows(one: Outsider) -> bool:
            line = planner.line_of(one.guest)
            facts = GuestFacts(one.guest.vmid, line, None, None, "")
            return line in lines and states.explain(end, facts, (), planner.desk.clock.now()).follows_wish

        return follows

    def _explain_unfit(self) -> Callable[[GuestSummary, AgentReport], str | None]:
        desk = self.planner.desk
        as_signed_next = desk.states.refresh(desk.repository.read_state(), desk.look_around())
        find_keeper = desk.states.find_keepers(as_signed_next, desk.clock.now())

        def explain(guest: GuestSummary, report: AgentReport) -> str | None:
            rule = find_keeper(guest.vmid, self.planner.line_of(guest))
            return f"it shall keep its packages: {rule}" if rule else explain_unfit_for_patches(report)

        return explain


def _keep_with_guests(lines: Mapping[str, Line], targets: Sequence[PlannedTarget]) -> Mapping[str, Line]:
    """What nobody of a line is proved on is brought to nobody of it; of a plan without guests nothing comes."""
    return {name: line for name, line in lines.items() if any(one.line == name for one in targets)} or lines
