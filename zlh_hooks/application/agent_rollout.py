"""The story of a rollout of the agent: look at all, show one wave after another what it shall have, promote; or back.

The worker shows what people signed at the start (``domain.agent_series``); it cannot want anything else.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from zlh_hooks.application.agent_care import LOOK_EVERY, AgentCare
from zlh_hooks.application.agent_driver import CHECKING, AgentDriver
from zlh_hooks.application.agent_ports import AgentSeries
from zlh_hooks.application.agent_report_desk import GuestReport
from zlh_hooks.application.course import Course
from zlh_hooks.application.crew import Crew
from zlh_hooks.application.exchange import LONGEST_RETRY, ROAD_RETRY
from zlh_hooks.application.gate import Aborted, Turned
from zlh_hooks.application.ports import Upid
from zlh_hooks.application.step import Data, Found
from zlh_hooks.application.verdict import Skipped
from zlh_hooks.domain.agent_series import BACK, CONDEMN, END, list_acts, name_wave
from zlh_hooks.domain.duration import double
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import LeaseLost, NotAllowed, Overtaken, RoadError, SettingsError, TargetError
from zlh_hooks.domain.plan import CANARY, Plan, PlannedTarget
from zlh_hooks.domain.progress import TargetProgress, find_condemning
from zlh_hooks.domain.steps import ON_NEW_ROOT, RolloutEvent, RolloutState, TargetEvent, TargetState


@dataclass(frozen=True, slots=True)
class Show:
    """Guests see an act of the rollout's series."""

    series: AgentSeries
    rollout: str
    acts: tuple[str, ...]
    act_name: str

    @property
    def name(self) -> str:
        """One step for each act."""
        return f"show.{self.act_name}"

    def plan(self) -> Data:
        """Which act."""
        return {"act": self.act_name}

    def find(self, intent: Data) -> Found:
        """It, or one that came after it, is what guests see now."""
        shown = self.series.find_shown(self.rollout)
        is_there = shown is not None and self.acts.index(shown) >= self.acts.index(intent["act"])
        return {"shown": shown} if is_there else None

    def act(self, intent: Data) -> Upid | None:
        """At once."""
        try:
            self.series.publish(self.rollout, intent["act"])
        except (NotAllowed, SettingsError) as error:
            raise TargetError(str(error)) from error
        return None


@dataclass(slots=True)
class AgentRollout:
    """One rollout in the hands of one worker. ``care`` follows and proves each guest that was begun.

    ``list_line``: every guest that follows in the end. ``tend_others`` looks after what other rollouts left half-way,
    until it is called away.
    """

    plan: Plan
    course: Course
    driver: AgentDriver
    care: AgentCare
    series: AgentSeries
    crew: Crew
    list_line: Callable[[], Collection[int]]
    tend_others: Callable[[Callable[[], bool]], None]

    def run(self) -> None:
        """Carry the rollout to its end, as far as people let it."""
        self.course.run(self._forward, self._go_back, self._abort)

    def meanwhile(self) -> None:
        """What is done while the gate is waited at."""
        self.care.tend()
        worst = find_condemning(self.care.progress())
        if worst is not None:
            self.course.gate.turn(f"guest {worst.target.vmid} failed: {worst.reason}")
        self.tend_others(self.course.gate.is_turned)

    def _forward(self) -> None:
        on_the_road = self.course.on_the_road
        for wave in self.plan.waves:
            on_the_road(lambda wave=wave: self._bring(wave))  # type: ignore[misc]
        on_the_road(self._promote)
        self.course.journal.event(RolloutEvent.SUCCEEDED)

    # --------------------------------------------------------------- forward

    def _stage(self, target: PlannedTarget, rows: Mapping[int, GuestReport]) -> None:
        journal, row = self.care.journal_of(target.vmid), rows.get(target.vmid)
        try:
            if row is None:
                raise Skipped("there is no such guest")
            self.driver.stage(target, row, journal)
        except Skipped as error:
            journal.event(TargetEvent.SKIPPED, str(error))

    def _bring(self, wave: Sequence[PlannedTarget]) -> None:
        gate = self.course.gate
        self._open(wave)
        while self._list_waiting(wave):
            gate.check()
            gate.wait(LOOK_EVERY)
        gate.check()
        self._pause_over_errors()
        if wave != self.plan.waves[-1]:
            self._pause_unproved(f"unproved.{wave[0].wave}")

    def _pause_unproved(self, name: str) -> None:
        """Nobody else sees what nobody was proved on; once, for a person may know better."""
        journal, gate = self.course.journal, self.course.gate
        if self.care.progress().is_proved or journal.evidence(name) is not None:
            return
        gate.pause("nobody could be proved on it yet; resume to go on with the next wave all the same")
        journal.write(Kind.EVIDENCE, name, {})
        gate.check()

    def _open(self, wave: Sequence[PlannedTarget]) -> None:
        """What guests have is recorded right before. A worker that dies meanwhile has a successor who waits again."""
        number, need = wave[0].wave, CHECKING + self.plan.rules.expected_duration
        act = name_wave(number)
        if self.course.journal.done(f"show.{act}") is not None:
            return
        self.course.gate.tell("canary" if number == CANARY else f"wave {number} of {self.plan.waves[-1][0].wave}")
        while True:
            self.course.gate.wait_for_window(need, wave[0].vmid)
            self._wait_for_holds([target.vmid for target in wave])
            self._stage_all(wave)
            if self.course.gate.may_begin(need, wave[0].vmid):
                break
        for target in self._list_in(wave, TargetState.STAGED):
            self.care.journal_of(target.vmid).event(TargetEvent.EXCHANGE_BEGAN)
        self._show(act)

    def _wait_for_holds(self, vmids: Collection[int]) -> None:
        """All of a state's guests follow it, so that one on hold holds up the others: a person decides."""
        while held := self.driver.find_holds(vmids):
            self.course.gate.pause(f"{held[0]} would follow too: resume when the hold is over or cleared, or abort")
            self.course.gate.check()

    def _stage_all(self, wave: Sequence[PlannedTarget]) -> None:
        pending = self._list_in(wave, TargetState.PENDING)
        rows = self.driver.find_reports([target.vmid for target in pending])
        self.crew.each(pending, lambda target: self._stage(target, rows))

    def _show(self, act: str) -> None:
        self.course.journal.retry(Show(self.series, self.plan.id, list_acts(self.plan), act))

    def _list_waiting(self, wave: Sequence[PlannedTarget]) -> list[PlannedTarget]:
        """Those that are looked at before the next wave. One that takes nothing up holds up nobody for ever."""
        begun = self._list_in(wave, TargetState.APPLYING, TargetState.PROVING, TargetState.REVERTING)
        return [target for target in begun if not self.care.is_late(self.care.journal_of(target.vmid))]

    def _pause_over_errors(self) -> None:
        errors = self.care.progress().errors
        if errors > self.plan.rules.max_errors:
            self.course.gate.pause(f"{errors} times a guest could not be measured, or did not take it up")
            self.course.gate.check()

    def _promote(self) -> None:
        progress = self.care.progress()
        if not progress.is_proved:
            raise self._end_unproved()
        self.course.ask_for_promotion(self.plan)
        self._wait_for_holds(self.list_line())
        self._show(END)

    def _end_unproved(self) -> Exception:
        reason = "no guest could be proved on this version"
        return Turned(reason, revokes=False) if self._is_shown() else Aborted(reason)

    # ------------------------------------------------------------ other ends

    def _go_back(self, turn: Turned) -> None:
        journal = self.course.journal
        if self.course.progress().state is not RolloutState.REVERTING:
            journal.event(RolloutEvent.REVERT_ORDERED, turn.reason, revokes=turn.revokes)
        self.course.gate.tell("going back")
        self._leave_unbegun(turn.reason)
        try:
            self._show_way_back(CONDEMN if turn.revokes else BACK)
        except Overtaken as error:
            return journal.event(RolloutEvent.LEFT_STUCK, f"{error}; guests stay on what they have")
        self._see_all_back(turn.reason)
        self._end(turn.reason)

    def _end(self, reason: str) -> None:
        progress = self.course.progress()
        if progress.state is not RolloutState.REVERTING:
            return  # a person has ended it on paper
        stuck = progress.count(TargetState.STUCK)
        if stuck:
            said = f"{stuck} guests could not be proved on the version before"
            self.course.journal.event(RolloutEvent.LEFT_STUCK, said)
        else:
            self.course.journal.event(RolloutEvent.REVERTED, reason)

    def _is_shown(self) -> bool:
        return any(self.course.journal.may_be_done(f"show.{act}") for act in list_acts(self.plan))

    def _show_way_back(self, act: str) -> None:
        """Tried until it works; nothing, if no guest was ever shown anything."""
        pauses = double(ROAD_RETRY, LONGEST_RETRY)
        while self._is_shown() and self.course.journal.done(f"show.{act}") is None:
            try:
                return self._show(act)
            except (LeaseLost, Overtaken):
                raise
            except (RoadError, TargetError) as error:
                self.course.gate.tell(f"the way back waits: {error}")
            self.driver.clock.sleep(next(pauses))

    def _see_all_back(self, reason: str) -> None:
        ordered_at = self.course.journal.event_at(RolloutEvent.REVERT_ORDERED)
        for row in self.care.progress().targets:
            is_anew = row.state is TargetState.STUCK and _ended_before(row, ordered_at)
            if is_anew or (row.state in ON_NEW_ROOT and row.state is not TargetState.REVERTING):
                self.care.journal_of(row.target.vmid).event(TargetEvent.REVERT_BEGAN, reason)
        while self._is_going_back():
            self.care.tend()
            self.driver.clock.sleep(LOOK_EVERY)

    def _is_going_back(self) -> bool:
        """Whether guests are waited for; not after a person has ended it on paper."""
        progress = self.care.progress()
        return progress.state is RolloutState.REVERTING and progress.count(TargetState.REVERTING) > 0

    def _abort(self, reason: str) -> None:
        """What has it keeps it, and what was shown to is followed in the soak."""
        self._leave_unbegun(reason)
        self.course.journal.event(RolloutEvent.ABORTED, reason)

    def _leave_unbegun(self, reason: str) -> None:
        for target in self._list_in(self.plan.targets, TargetState.PENDING, TargetState.STAGED):
            said = f"the rollout ended before its turn: {reason}"
            self.care.journal_of(target.vmid).event(TargetEvent.SKIPPED, said)

    def _list_in(self, targets: Sequence[PlannedTarget], *states: TargetState) -> list[PlannedTarget]:
        progress = self.care.progress()
        return [target for target in targets if progress.of(target.vmid).state in states]


def _ended_before(row: TargetProgress, at: datetime | None) -> bool:
    """Whether its latest way back is older than the order."""
    return row.back_ended_at is not None and at is not None and row.back_ended_at < at
