"""Builds the stories of rollouts on whatever stands behind the ports."""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta

from zlh_hooks.application.agent_care import AgentCare, Condemn
from zlh_hooks.application.agent_driver import AgentDriver
from zlh_hooks.application.agent_hands import AgentHands, refuse_agents
from zlh_hooks.application.agent_rollout import AgentRollout
from zlh_hooks.application.agent_soak import AgentSoak, leave_stuck
from zlh_hooks.application.backup_book import BackupBook
from zlh_hooks.application.candidacy import Candidacy
from zlh_hooks.application.case import Case
from zlh_hooks.application.channel import ChannelPorts
from zlh_hooks.application.course import Course
from zlh_hooks.application.crew import Crew
from zlh_hooks.application.desk import find_due, list_owing, list_progress
from zlh_hooks.application.emergency_board import EmergencyBoard
from zlh_hooks.application.exchange import Exchange
from zlh_hooks.application.finish import Finish
from zlh_hooks.application.gate import Gate
from zlh_hooks.application.interlock import Interlock
from zlh_hooks.application.journal import Journal, Patience
from zlh_hooks.application.notice_board import NoticeBoard
from zlh_hooks.application.patch_driver import PatchDriver
from zlh_hooks.application.ports import Clock, Cluster, Ledger, PromotionHook
from zlh_hooks.application.preparation import Preparation
from zlh_hooks.application.proof import Examiner
from zlh_hooks.application.retreat import Retreat
from zlh_hooks.application.rollout import Rollout
from zlh_hooks.application.root_driver import RootDriver
from zlh_hooks.application.scratch import ScratchNumbers
from zlh_hooks.application.scratch_guest import ScratchGuests
from zlh_hooks.application.soak import Soak
from zlh_hooks.application.standing import Standing
from zlh_hooks.application.turn import Turn
from zlh_hooks.application.way_back import WayBack
from zlh_hooks.application.worker import Aftercare, Story
from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.errors import LeaseLost, RoadError, TargetError, Unreadable
from zlh_hooks.domain.plan import Plan, PlannedTarget
from zlh_hooks.domain.policy import Policy

TASK_MARGIN = timedelta(minutes=10)
"""How much longer than the policy's start time-out a task may run (a clone, a start that waits for ext4)."""

LOOKS_AT_ONCE = 8
AGENTS_AT_ONCE = 32
"""To follow a guest that acts by itself costs the controller next to nothing: almost all of it is waiting."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Builds the stories of rollouts on whatever stands behind the ports."""

    cluster: Cluster
    examiner: Examiner
    ledger: Ledger
    clock: Clock
    policy: Policy
    open_hooks: Callable[[str], Sequence[PromotionHook]]
    check_herald: Callable[[], None] = lambda: None
    agents: Callable[[], AgentHands] = refuse_agents
    _agent_soaks: dict[str, AgentSoak] = field(default_factory=dict)

    def open_journal(self, plan: Plan, target: int | None, entries: tuple[Entry, ...] | None = None) -> Journal:
        """The journal of one target (None: of the rollout), with what earlier workers recorded."""
        rules = plan.rules
        patience = Patience(rules.lock_wait, rules.start_timeout + rules.shutdown_timeout + TASK_MARGIN)
        journal = Journal(
            ledger=self.ledger,
            tasks=self.cluster.tasks,
            clock=self.clock,
            rollout=plan.id,
            target=target,
            patience=patience,
        )
        return journal.load(self.ledger.read(plan.id) if entries is None else entries)

    def open_rollout(self, plan: Plan) -> Story:
        """The story of a rollout, wherever an earlier worker left it."""
        entries = self.ledger.read(plan.id)
        journal = self.open_journal(plan, None, entries)
        board = NoticeBoard(plan.id, self.ledger, self.check_herald) if plan.notices else None
        only = (plan.emergency or "") if plan.signed else None  # guests know of no other: it was signed
        emergencies, security = EmergencyBoard(self.ledger, only), plan.security
        gate = Gate(
            plan.id, self.ledger, self.clock, self.policy, journal, emergencies, board, security, plan.component
        )
        gate.resume_from(entries)
        course = Course(self.ledger, gate, journal)
        return self._open_agent_rollout(plan, course) if plan.signed else self._open_root_rollout(plan, course)

    def _open_root_rollout(self, plan: Plan, course: Course) -> Rollout:
        gate, journal = course.gate, course.journal
        driver = self._open_driver(plan, self.ledger.read(plan.id))
        driver.goes_back = gate.goes_back
        case = Case(
            plan=plan,
            ledger=self.ledger,
            driver=driver,
            way_back=WayBack(driver),
            gate=gate,
            journal=journal,
            open_journal=lambda vmid: self.open_journal(plan, vmid),
            crew=Crew(plan.rules.max_parallel, plan.rules.max_parallel_per_node),
        )
        return self._open_story(case, course, Candidacy(plan, self.open_channels(plan.release.line), journal))

    def _open_story(self, case: Case, course: Course, candidacy: Candidacy) -> Rollout:
        preparation = Preparation(case.driver, case.journal, case.gate)
        finish = Finish(case.driver, case.way_back)
        rules, is_ours = case.plan.rules.interlock, case.plan.has_guest
        interlock = Interlock(rules, self.cluster, self.clock, case.journal, is_ours)
        exchange = Exchange(case, Turn(case, interlock, Standing(case, interlock)), finish)
        case.gate.meanwhile = exchange.tend
        case.driver.examiner = replace(self.examiner, meanwhile=exchange.withdraw_due)
        case.tend_others = replace(self, examiner=case.driver.examiner)._open_others(case.plan)
        return Rollout(case, course, exchange, Retreat(case, finish, preparation, candidacy), preparation, candidacy)

    def _open_agent_rollout(self, plan: Plan, course: Course) -> AgentRollout:
        def condemn(target: PlannedTarget, _: Journal, reason: str) -> None:
            course.gate.turn(f"guest {target.vmid} failed: {reason}")

        care = self._open_care(plan, course.gate.is_turned, condemn)
        lines, series = care.driver.signed.lines, self.agents().series
        limit, others = self._find_time_limit(plan), self._open_others(plan)
        story = AgentRollout(course, care, series, limit, lambda: self._list_line(lines), others)
        course.gate.meanwhile = story.meanwhile
        return story

    def _find_time_limit(self, plan: Plan) -> timedelta:
        rule = self.policy.components.get(plan.component)
        return rule.time_limit if rule else timedelta(0)

    def _list_line(self, lines: Collection[str]) -> list[int]:
        guests = self.cluster.inventory.list_guests()
        kinds = {guest.vmid: self.policy.kind_of(guest.vmid, guest.tags) for guest in guests if not guest.template}
        return [vmid for vmid, kind in kinds.items() if kind is not None and kind[1].line in lines]

    def _open_care(self, plan: Plan, breaks_off: Callable[[], bool], condemn: Condemn) -> AgentCare:
        kind = AgentDriver if plan.agents else PatchDriver
        driver = kind(plan, self.agents().find_reports, self.examiner, self.clock, breaks_off)
        crew = Crew(AGENTS_AT_ONCE, AGENTS_AT_ONCE)
        return AgentCare(self.ledger, driver, lambda vmid: self.open_journal(plan, vmid), crew, condemn)

    def _open_others(self, plan: Plan) -> Callable[[Callable[[], bool]], None]:
        """Earlier rollouts that left guests half-way: their worker has only this one in hand, perhaps for days."""
        plans = [one.plan for one in list_owing(self.ledger, plan.id)]

        def tend(is_called_away: Callable[[], bool]) -> None:
            for plan in plans:
                try:
                    self.open_soak(plan, is_called_away).tend_half_way()
                except LeaseLost:
                    raise
                except RoadError:
                    continue  # looked at again in the next round

        return tend

    def open_soak(self, plan: Plan, is_called_away: Callable[[], bool] | None = None) -> Aftercare:
        """What remains of a rollout that ended. ``is_called_away``: whether other work of the worker is due."""
        if plan.signed is None:
            return self._open_root_soak(plan, is_called_away or self._has_due)
        if plan.id not in self._agent_soaks:  # one for all rounds: it knows when it last looked
            self._agent_soaks[plan.id] = AgentSoak(lambda breaks_off: self._open_care(plan, breaks_off, leave_stuck))
        soak = self._agent_soaks[plan.id]
        soak.is_called_away = is_called_away or self._has_due
        return soak

    def _open_root_soak(self, plan: Plan, is_called_away: Callable[[], bool]) -> Soak:
        entries = self.ledger.read(plan.id)
        driver = self._open_driver(plan, entries)
        journal = self.open_journal(plan, None, entries)
        way_back = WayBack(driver)
        return Soak(
            plan=plan,
            ledger=self.ledger,
            driver=driver,
            way_back=way_back,
            finish=Finish(driver, way_back),
            policy=self.policy,
            journal=journal,
            open_journal=lambda vmid: self.open_journal(plan, vmid, entries),
            is_called_away=is_called_away,
        )

    def _has_due(self) -> bool:
        return find_due(self.ledger, list_progress(self.ledger)) is not None

    def foresee(self, plan: Plan) -> dict[int, str]:
        """Guests of the plan that would be skipped if it were carried out now, and why. Reads only.

        Of a plan that people sign all guests were asked when it was made.
        """
        if plan.signed is not None:
            return {}
        driver = self._open_driver(plan, ())
        with ThreadPoolExecutor(LOOKS_AT_ONCE) as pool:
            reasons = pool.map(lambda target: _find_reason(driver, target), plan.targets)
            return {target.vmid: reason for target, reason in zip(plan.targets, reasons, strict=True) if reason}

    def open_channels(self, line: str) -> ChannelPorts:
        """The stories of a line's channels, with the line's after_promote hooks."""
        return ChannelPorts(self.cluster.inventory, self.cluster.editor, self.ledger, self.clock, self.open_hooks(line))

    def _open_driver(self, plan: Plan, entries: tuple[Entry, ...]) -> RootDriver:
        numbers = ScratchNumbers(self.cluster, plan.scratch_vmids)
        intents = (e.data for e in entries if e.kind is Kind.INTENT and "source" in e.data)
        numbers.reserve([int(data["vmid"]) for data in intents])
        scratch_guests = ScratchGuests(plan.id, self.cluster, numbers)
        find_backup = BackupBook(self.ledger).find_last
        return RootDriver(plan, self.cluster, self.examiner, self.clock, scratch_guests, find_backup)


def _find_reason(driver: RootDriver, target: PlannedTarget) -> str | None:
    try:
        driver.check(target)
    except (TargetError, Unreadable) as error:
        return str(error)
    return None
