"""From what guests report, the releases and the policy to a rollout of the agent, and to the states that carry it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zlh_hooks.application.agent_desk import AgentDesk
from zlh_hooks.application.agent_ports import AgentSeries
from zlh_hooks.application.agent_report_desk import AgentReportDesk, GuestReport
from zlh_hooks.application.desk import Desk
from zlh_hooks.application.planning import assign_waves, make_id
from zlh_hooks.domain import agent_release as agents
from zlh_hooks.domain.agent_series import Series, SeriesOrder
from zlh_hooks.domain.emergency import Emergency
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.guest import GuestSummary
from zlh_hooks.domain.hold import Claim, find_hold
from zlh_hooks.domain.plan import AGENT, AgentPart, LeftOut, Plan, PlannedTarget, Release
from zlh_hooks.domain.policy import Line

Releases = tuple[agents.Release, ...]


@dataclass(frozen=True, slots=True)
class PreparedRollout:
    """A plan, and the states that people sign for it; None where no agent is concerned."""

    plan: Plan
    series: Series | None = None


@dataclass(frozen=True, slots=True)
class AgentPlanner:
    """Makes plans; asks every guest that it may concern."""

    desk: AgentDesk
    reports: AgentReportDesk

    def plan_rollout(
        self, line: str | None, asked: str, *, security: bool = False, emergency: Emergency | None = None
    ) -> PreparedRollout:
        """The waves that would bring agents to the newest version that is ``asked``, a version or a specifier.

        ``line``: only guests of that line. ``NotAllowed`` says what is missing.
        """
        desk, lines = self.desk, self._choose_lines(line)
        releases = desk.repository.list_releases()
        version = self._choose_version(asked, releases)
        rows, left_out = self._choose_guests(lines, version, releases)
        without_canary = emergency is not None and emergency.without_canary is not None
        guests = [row.guest for row in rows.values()]
        targets = tuple(
            self._complete(target, rows[target.vmid])
            for target in assign_waves(guests, desk.policy.rollout, without_canary, lambda _: None)
        )
        rollout = make_id("a", desk.clock.now())
        also_open = self._list_openings(security, emergency)
        series = self._make_series(rollout, tuple(lines), version, targets, releases, also_open)
        plan = Plan(
            id=rollout,
            release=Release(line=AGENT, version=version, templates={}),
            previous=None,
            targets=targets,
            left_out=left_out,
            rules=desk.policy.rollout,
            line=next(iter(lines.values())),
            scratch_vmids=desk.policy.scratch_vmids,
            security=security,
            emergency=emergency.id if emergency else None,
            without_canary=without_canary,
            agents=self._make_part(lines, series.pin, agents.list_builds(releases, version)),
            author=desk.author,
            created=desk.clock.now(),
        )
        return PreparedRollout(plan, series)

    def _make_part(self, lines: Mapping[str, Line], pin: int, builds: Releases) -> AgentPart:
        names, jitter = agents.name_builds(builds), self.desk.policy.agents.jitter
        return AgentPart(lines=lines, pin=pin, releases=names, jitter=jitter)

    def _choose_lines(self, line: str | None) -> Mapping[str, Line]:
        lines = self.desk.policy.lines
        if line is not None and line not in lines:
            raise NotAllowed(f"line {line!r} is not in the policy; it has {', '.join(sorted(lines))}")
        if not lines:
            raise NotAllowed("the policy has no [lines]: nobody knows what a guest must answer")
        return lines if line is None else {line: lines[line]}

    def _choose_version(self, asked: str, releases: Releases) -> str:
        state = self.desk.repository.read_state()
        blocked = (versions for versions, _ in self.desk.states.list_blocked(state))
        return agents.choose_version(releases, agents.check_specifier(asked, "to"), blocked)

    def _choose_guests(
        self, lines: Mapping[str, Line], version: str, releases: Releases
    ) -> tuple[dict[int, GuestReport], tuple[LeftOut, ...]]:
        """Those that have a part in it, by number, and those that do not."""
        chosen: dict[int, GuestReport] = {}
        left_out = []
        guests = [guest for guest in self.desk.list_guests() if guest.running and not guest.template]
        rows = self.reports.find_reports({guest.vmid for guest in guests if self._line_of(guest) in lines})
        for _, row in sorted(rows.items()):
            reason = self._find_hold(row.guest) or _leave_out(row, version, releases)
            if reason is None:
                chosen[row.guest.vmid] = row
            else:
                left_out.append(LeftOut(vmid=row.guest.vmid, name=row.guest.name, reason=reason))
        return chosen, tuple(left_out)

    def _line_of(self, guest: GuestSummary) -> str:
        kind = self.desk.policy.kind_of(guest.vmid, guest.tags)
        return kind[1].line if kind else ""

    def _find_hold(self, guest: GuestSummary) -> str | None:
        held = find_hold(Claim.HOLD, guest.tags, self.desk.clock.now())
        return f"on hold {held}" if held else None

    def _complete(self, target: PlannedTarget, row: GuestReport) -> PlannedTarget:
        return target.model_copy(update={"from_version": _installed(row), "line": self._line_of(row.guest)})

    def _make_series(
        self,
        rollout: str,
        lines: tuple[str, ...],
        version: str,
        targets: Sequence[PlannedTarget],
        releases: Releases,
        also_open: tuple[agents.Span, ...],
    ) -> Series:
        waves: dict[int, list[int]] = {}
        came_from: dict[str, list[int]] = {}
        for target in targets:
            waves.setdefault(target.wave, []).append(target.vmid)
            came_from.setdefault(target.from_version or "", []).append(target.vmid)
        order = SeriesOrder(
            rollout=rollout,
            lines=lines,
            version=version,
            waves=waves,
            came_from=came_from,
            builds={one: agents.list_builds(releases, one) for one in (version, *came_from)},
            ways_back=agents.list_ways_back(releases, version, ""),
            life=self.desk.policy.agents.desired_life,
            also_open=also_open,
        )
        return self.desk.states.series(self.desk.repository.read_state(), order, self.desk.look_around())

    def _list_openings(self, security: bool, emergency: Emergency | None) -> tuple[agents.Span, ...]:
        """What a state's windows do not say: they are everybody's."""
        spared = self.desk.list_windows(security=True) if security else ()
        return spared if emergency is None else (agents.span_of(emergency), *spared)


def _leave_out(row: GuestReport, version: str, releases: Releases) -> str | None:
    if row.report is None:
        return f"nothing is known of its agent: {row.why}"
    if row.report.on_trial:
        return f"{row.report.current} is on trial there"
    return agents.explain_unfit(_installed(row), version, releases)


def _installed(row: GuestReport) -> str:
    return agents.version_of(row.report.current) if row.report else ""


def order_rollout(prepared: PreparedRollout, series: AgentSeries, holder: str, desk: Desk) -> None:
    """All that it may show is signed first; then the worker takes it up. ``NotAllowed`` if signatures are missing."""
    plan = prepared.plan
    desk.refuse_second()
    desk.refuse_empty(plan)
    assert prepared.series is not None
    series.draft(plan.id, prepared.series)
    series.sign(plan.id, holder)
    missing = series.count_missing(plan.id)
    if missing:
        raise NotAllowed(f"{missing} more signatures are needed, and a rollout of the agent is signed by one person")
    desk.submit(plan)
