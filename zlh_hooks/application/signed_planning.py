"""What all plans have in common whose states people sign: which guests have a part, in which waves, and the order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from zlh_hooks.application.agent_desk import AgentDesk
from zlh_hooks.application.agent_ports import AgentSeries
from zlh_hooks.application.agent_report_desk import AgentReportDesk, GuestReport
from zlh_hooks.application.desk import Desk
from zlh_hooks.application.planning import assign_waves
from zlh_hooks.domain import agent_release as agents
from zlh_hooks.domain.agent_report import AgentReport
from zlh_hooks.domain.agent_series import Series
from zlh_hooks.domain.agent_wish import PatchOrder
from zlh_hooks.domain.emergency import Emergency
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.guest import GuestSummary
from zlh_hooks.domain.hold import Claim, find_hold
from zlh_hooks.domain.plan import AgentPart, LeftOut, PatchPart, Plan, PlannedTarget, Release
from zlh_hooks.domain.policy import Line

SignedOrder = agents.AgentOrder | PatchOrder
"""What a person asks for."""


@dataclass(frozen=True, slots=True)
class PreparedRollout:
    """A plan, and the states that people sign for it; None where our own worker does all that it says."""

    plan: Plan
    series: Series | None = None


@dataclass(frozen=True, slots=True)
class Urgency:
    """``security``: it closes a hole; ``emergency``: the open one under which it is ordered."""

    security: bool = False
    emergency: Emergency | None = None

    @property
    def without_canary(self) -> bool:
        """Whether nobody waits for a first guest's proof."""
        return self.emergency is not None and self.emergency.without_canary is not None


ORDINARY = Urgency()


@dataclass(frozen=True, slots=True)
class Outsider:
    """A guest of the lines that has no part in it, and why. ``report``: None if nothing is known of its agent."""

    guest: GuestSummary
    report: AgentReport | None
    reason: str


@dataclass(frozen=True, slots=True)
class Roster:
    """Who has a part in it: ``rows`` by guest number, with what each reports; and who has none."""

    rows: Mapping[int, GuestReport]
    outsiders: tuple[Outsider, ...]

    def leave_out(self, follows: Callable[[Outsider], bool]) -> tuple[LeftOut, ...]:
        """As the plan says it. ``follows``: whether one of them does what is signed for all in the end."""
        return tuple(
            LeftOut(vmid=one.guest.vmid, name=one.guest.name, reason=one.reason, follows=follows(one))
            for one in self.outsiders
        )


@dataclass(frozen=True, slots=True)
class SignedPlanner:
    """Asks every guest that a rollout may concern, and puts plans together."""

    desk: AgentDesk
    reports: AgentReportDesk

    def choose_lines(self, line: str | None) -> Mapping[str, Line]:
        """That one, or all; ``NotAllowed`` names those there are."""
        lines = self.desk.policy.lines
        if line is not None and line not in lines:
            raise NotAllowed(f"line {line!r} is not in the policy; it has {', '.join(sorted(lines))}")
        if not lines:
            raise NotAllowed("the policy has no [lines]: nobody knows what a guest must answer")
        return lines if line is None else {line: lines[line]}

    def choose_guests(
        self, lines: Mapping[str, Line], explain_unfit: Callable[[GuestSummary, AgentReport], str | None]
    ) -> Roster:
        """All containers of these lines; those that run are asked. ``explain_unfit``: why one has no part; or None."""
        guests = [one for one in self.desk.list_guests() if one.is_container and not one.template]
        guests = [one for one in guests if self.line_of(one) in lines]
        rows = self.reports.find_reports({guest.vmid for guest in guests if guest.running})
        chosen: dict[int, GuestReport] = {}
        outsiders = [Outsider(one, None, self._find_hold(one) or "it is off") for one in guests if one.vmid not in rows]
        for vmid, row in sorted(rows.items()):
            reason = self._find_hold(row.guest) or _explain_silent(row)
            if reason is None and row.report is not None:
                reason = explain_unfit(row.guest, row.report)
            if reason is None:
                chosen[vmid] = row
            else:
                outsiders.append(Outsider(row.guest, row.report, reason))
        return Roster(chosen, tuple(sorted(outsiders, key=lambda one: one.guest.vmid)))

    def line_of(self, guest: GuestSummary) -> str:
        """The line of its kind; empty if it is of none."""
        kind = self.desk.policy.kind_of(guest.vmid, guest.tags)
        return kind[1].line if kind else ""

    def _find_hold(self, guest: GuestSummary) -> str | None:
        held = find_hold(Claim.HOLD, guest.tags, self.desk.clock.now())
        return f"on hold {held}: the end waits for that" if held else None

    def assign(
        self, roster: Roster, urgency: Urgency, find_version: Callable[[AgentReport], str | None] = lambda _: None
    ) -> tuple[PlannedTarget, ...]:
        """In waves, canary first; ``find_version``: what a guest has now."""
        guests = [row.guest for row in roster.rows.values()]
        waves = assign_waves(guests, self.desk.policy.rollout, urgency.without_canary, lambda _: None)
        return tuple(self._complete(target, roster.rows[target.vmid], find_version) for target in waves)

    def _complete(
        self, target: PlannedTarget, row: GuestReport, find_version: Callable[[AgentReport], str | None]
    ) -> PlannedTarget:
        assert row.report is not None, "who says nothing is left out"
        return target.model_copy(update={"from_version": find_version(row.report), "line": self.line_of(row.guest)})

    def list_openings(self, urgency: Urgency) -> tuple[agents.Span, ...]:
        """What a state's windows do not say: they are everybody's."""
        spared = self.desk.list_windows(security=True) if urgency.security else ()
        return spared if urgency.emergency is None else (agents.span_of(urgency.emergency), *spared)

    def draw(
        self,
        rollout: str,
        release: Release,
        targets: Sequence[PlannedTarget],
        left_out: Sequence[LeftOut],
        urgency: Urgency,
        part: AgentPart | PatchPart,
    ) -> Plan:
        """The plan, under the rules of this moment."""
        desk, emergency = self.desk, urgency.emergency
        return Plan(
            id=rollout,
            release=release,
            previous=None,
            targets=tuple(targets),
            left_out=tuple(left_out),
            rules=desk.policy.rollout,
            line=next(iter(part.lines.values())),
            scratch_vmids=desk.policy.scratch_vmids,
            security=urgency.security,
            emergency=emergency.id if emergency else None,
            without_canary=urgency.without_canary,
            agents=part if isinstance(part, AgentPart) else None,
            patches=part if isinstance(part, PatchPart) else None,
            author=desk.author,
            created=desk.clock.now(),
        )


def list_waves(targets: Sequence[PlannedTarget]) -> dict[int, list[int]]:
    """Wave to its guests."""
    waves: dict[int, list[int]] = {}
    for target in targets:
        waves.setdefault(target.wave, []).append(target.vmid)
    return waves


def _explain_silent(row: GuestReport) -> str | None:
    return f"nothing is known of its agent: {row.why}" if row.report is None else None


def order_rollout(prepared: PreparedRollout, series: AgentSeries, holder: str, desk: Desk) -> None:
    """All that it may show is signed first; then the worker takes it up. ``NotAllowed`` if signatures are missing."""
    plan = prepared.plan
    desk.refuse_second()
    desk.refuse_empty(plan)
    assert prepared.series is not None
    series.clear(desk.list_over())
    series.draft(plan.id, prepared.series)
    series.sign(plan.id, holder)
    missing = series.count_missing(plan.id)
    if missing:
        raise NotAllowed(f"{missing} more signatures are needed, and such a rollout is signed by one person")
    desk.submit(plan)
