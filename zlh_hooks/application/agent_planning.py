"""From what guests report, the releases and the policy to a rollout of the agent, and to the states that carry it."""

from collections.abc import Callable, Sequence
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
from zlh_hooks.domain import agent_release as agents
from zlh_hooks.domain.agent_report import AgentReport
from zlh_hooks.domain.agent_series import END, PinSeries, SeriesOrder
from zlh_hooks.domain.plan import AGENT, AgentPart, PlannedTarget, Release

Releases = tuple[agents.Release, ...]


@dataclass(frozen=True, slots=True)
class AgentPlanner:
    """Makes plans; asks every guest that it may concern."""

    planner: SignedPlanner

    def plan_rollout(self, line: str | None, asked: str, urgency: Urgency = ORDINARY) -> PreparedRollout:
        """The waves that would bring agents to the newest version that is ``asked``, a version or a specifier.

        ``line``: only guests of that line. ``NotAllowed`` says what is missing.
        """
        planner, desk = self.planner, self.planner.desk
        lines, releases = planner.choose_lines(line), desk.repository.list_releases()
        version = self._choose_version(asked, releases)
        roster = planner.choose_guests(lines, lambda _, report: _leave_out(report, version, releases))
        targets = planner.assign(roster, urgency, _installed)
        rollout = make_id("a", desk.clock.now())
        openings = planner.list_openings(urgency)
        made = self._make_series(rollout, tuple(lines), version, targets, releases, openings)
        names = agents.name_builds(agents.list_builds(releases, version))
        part = AgentPart(lines=lines, jitter=desk.policy.agents.jitter, pin=made.pin, releases=names)
        release = Release(line=AGENT, version=version, templates={})
        left_out = roster.leave_out(self._foresee(made.series.states[END], version, releases))
        plan = planner.draw(rollout, release, targets, left_out, urgency, part)
        return PreparedRollout(plan, made.series)

    def _foresee(self, end: bytes, version: str, releases: Releases) -> Callable[[Outsider], bool]:
        """Whether a guest follows the end, as far as its version is known: the release itself may not let it come."""
        planner, builds = self.planner, agents.list_builds(releases, version)

        def follows(one: Outsider) -> bool:
            installed = _installed(one.report) if one.report else ""
            facts = agents.GuestFacts(
                one.guest.vmid, planner.line_of(one.guest), installed or None, builds[0].machine, ""
            )
            found = planner.desk.states.explain(end, facts, releases, planner.desk.clock.now())
            return found.version == version and found.follows and agents.may_come(installed, builds)

        return follows

    def _choose_version(self, asked: str, releases: Releases) -> str:
        desk = self.planner.desk
        blocked = (versions for versions, _ in desk.states.list_blocked(desk.repository.read_state()))
        return agents.choose_version(releases, agents.check_asked(asked, "to"), blocked)

    def _make_series(
        self,
        rollout: str,
        lines: tuple[str, ...],
        version: str,
        targets: Sequence[PlannedTarget],
        releases: Releases,
        also_open: tuple[agents.Span, ...],
    ) -> PinSeries:
        desk = self.planner.desk
        came_from: dict[str, list[int]] = {}
        for target in targets:
            came_from.setdefault(target.from_version or "", []).append(target.vmid)
        order = SeriesOrder(
            rollout=rollout,
            lines=lines,
            version=version,
            waves=list_waves(targets),
            came_from=came_from,
            builds={one: agents.list_builds(releases, one) for one in (version, *came_from)},
            ways_back=agents.list_ways_back(releases, version, ""),
            life=desk.policy.agents.desired_life,
            also_open=also_open,
        )
        return desk.states.series(desk.repository.read_state(), order, desk.look_around())


def _leave_out(report: AgentReport, version: str, releases: Releases) -> str | None:
    if report.on_trial:
        return f"{report.current} is on trial there"
    return agents.explain_unfit(_installed(report), version, releases)


def _installed(report: AgentReport) -> str:
    return agents.version_of(report.current)
