"""The story of a rollout that guests follow by themselves: look at all, show one wave after another what it shall have,
promote; or back.

The worker shows what people signed at the start (``domain.agent_series``); it cannot want anything else.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from zlh_hooks.application.agent_care import LOOK_EVERY, AgentCare
from zlh_hooks.application.agent_ports import AgentSeries
from zlh_hooks.application.agent_report_desk import GuestReport
from zlh_hooks.application.course import Course
from zlh_hooks.application.exchange import LONGEST_RETRY, ROAD_RETRY
from zlh_hooks.application.gate import Aborted, Turned
from zlh_hooks.application.ports import Upid
from zlh_hooks.application.pull_driver import CHECKING, UNWATCHED, PullDriver
from zlh_hooks.application.standstill import Standstill
from zlh_hooks.application.step import Data, Found
from zlh_hooks.application.verdict import Skipped
from zlh_hooks.domain.agent_series import BACK, CONDEMN, END, list_acts, name_wave
from zlh_hooks.domain.duration import double, render_duration
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import (
    GuestMissing,
    LeaseLost,
    NotAllowed,
    Overtaken,
    RoadError,
    SettingsError,
    TargetError,
)
from zlh_hooks.domain.plan import CANARY, Plan, PlannedTarget
from zlh_hooks.domain.progress import TargetProgress, find_condemning
from zlh_hooks.domain.stand_in import ask_for_stand_in, describe_success, had_nothing, name_left_out, name_wave_of
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
        with _translated():
            shown = self.series.find_shown(self.rollout)
        is_there = shown is not None and self.acts.index(shown) >= self.acts.index(intent["act"])
        return {"shown": shown} if is_there else None

    def act(self, intent: Data) -> Upid | None:
        """At once."""
        with _translated():
            self.series.publish(self.rollout, intent["act"])
        return None


@contextmanager
def _translated() -> Iterator[None]:
    """What is wrong with the repository or its keys pauses the rollout: a person mends it."""
    try:
        yield
    except (NotAllowed, SettingsError) as error:
        raise TargetError(str(error)) from error


@dataclass(slots=True)
class AgentRollout:
    """One rollout in the hands of one worker. ``care`` follows and proves each guest that was begun.

    ``time_limit``: of the component's runbook; ``list_line``: who follows in the end; ``tend_others`` looks
    after what other rollouts left half-way, until called away.
    """

    course: Course
    care: AgentCare
    series: AgentSeries
    time_limit: timedelta
    list_line: Callable[[], Collection[int]]
    tend_others: Callable[[Callable[[], bool]], None]
    _standstill: Standstill = field(default_factory=Standstill)

    @property
    def driver(self) -> PullDriver:
        """What is done with one guest."""
        return self.care.driver

    @property
    def plan(self) -> Plan:
        """Who gets what, in which waves."""
        return self.driver.plan

    def run(self) -> None:
        """Carry the rollout to its end, as far as people let it."""
        self.course.run(self._forward, self._go_back, self._abort)

    def meanwhile(self) -> None:
        """What is done while the gate is waited at."""
        if self.care.tend():
            self._check_budget()
        self.tend_others(self.course.gate.is_turned)

    def _check_budget(self) -> None:
        worst = find_condemning(self.care.progress())
        if worst is not None:
            self.course.gate.turn(f"guest {worst.target.vmid} failed: {worst.reason}")

    def _forward(self) -> None:
        on_the_road = self.course.on_the_road
        for wave in self.plan.waves:
            on_the_road(lambda wave=wave: self._bring(wave))  # type: ignore[misc]
        on_the_road(self._promote)

    # --------------------------------------------------------------- forward

    def _stage(self, target: PlannedTarget, rows: Mapping[int, GuestReport]) -> None:
        journal, row = self.care.journal_of(target.vmid), rows.get(target.vmid)
        try:
            if row is None:
                raise Skipped("there is no such guest")
            self.driver.stage(target, row, journal)
        except (Skipped, GuestMissing) as error:
            journal.event(TargetEvent.SKIPPED, str(error))

    def _bring(self, wave: Sequence[PlannedTarget]) -> None:
        gate = self.course.gate
        self._check_budget()
        gate.check()
        self._open(wave)
        while self._list_waiting(wave):
            gate.check()
            began = self.driver.clock.monotonic()
            gate.wait(LOOK_EVERY)
            self._pause_over_errors()
            self._pause_over_standstill(timedelta(seconds=self.driver.clock.monotonic() - began))
        gate.check()
        later = [one for one in self.plan.waves if one[0].wave > wave[0].wave]
        if later:
            self._wait_for_proof(name_wave(later[0][0].wave), name_wave_of(later[0]))

    def _wait_for_proof(self, act: str, audience: str) -> None:
        """Nobody else sees what nobody was proved on, unless a person lets the ``audience`` of the act be the first."""
        gate, question = self.course.gate, f"first.{act}"
        while not self.course.was_asked(question) and not self._is_decided():
            gate.pause("nobody could be proved on it: abort or revert, and plan anew; resume waits once more")
            gate.check()
            gate.wait_until(self._is_decided, self.driver.patience, LOOK_EVERY)
        progress = self.care.progress()
        if audience and not progress.is_proved:
            self.course.ask(question, ask_for_stand_in(progress, audience))

    def _is_decided(self) -> bool:
        """Whether somebody is proof for others, or nobody who was shown it can become that."""
        progress = self.care.progress()
        return progress.is_proved or had_nothing(progress)

    def _open(self, wave: Sequence[PlannedTarget]) -> None:
        """What guests have is recorded right before. A worker that dies meanwhile has a successor who waits again."""
        number, need = wave[0].wave, self._need()
        act = name_wave(number)
        if self.course.journal.done(f"show.{act}") is not None:
            return
        self.course.gate.tell("canary" if number == CANARY else f"wave {number} of {self.plan.waves[-1][0].wave}")
        vmids = [target.vmid for target in wave]
        while True:
            self.course.gate.wait_for_window(need, vmids[0])
            self._stage_all(wave)
            if self._may_follow(vmids) and self.course.gate.may_begin(need, vmids[0]):
                break
        for target in self._list_in(wave, TargetState.STAGED):
            self.care.journal_of(target.vmid).event(TargetEvent.EXCHANGE_BEGAN)
        self._show(act)

    def _need(self) -> timedelta:
        """What a window must have left: as much as guests ask for, and time to begin."""
        return max(CHECKING + self.plan.rules.expected_duration, self.time_limit)

    def _may_follow(self, vmids: Collection[int]) -> bool:
        """All of a state's guests follow it, so that one on hold holds up the others: a person decides."""
        held = self.driver.find_holds(vmids)
        if held:
            self.course.gate.pause(f"{held[0]} would follow too: resume when the hold is over or cleared, or abort")
            self.course.gate.check()
        return not held

    def _stage_all(self, wave: Sequence[PlannedTarget]) -> None:
        pending = self._list_in(wave, TargetState.PENDING, TargetState.STAGED)
        rows = self.driver.find_reports([target.vmid for target in pending])
        self.care.crew.each(pending, lambda target: self._stage(target, rows))

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

    def _pause_over_standstill(self, waited: timedelta) -> None:
        """Each guest has its own time; that one wave after another takes nothing up is for a person to see."""
        limit = self.driver.patience + self.plan.rules.progress_deadline
        self._standstill.note(waited, self.care.progress().count(TargetState.HEALTHY, TargetState.SETTLED))
        if self._standstill.is_over(limit):
            gate = self.course.gate
            gate.pause(f"no guest became healthy within {render_duration(limit)}: resume goes on, abort ends it")
            gate.check()

    def _promote(self) -> None:
        progress = self.care.progress()
        if not progress.is_proved and not progress.list_unchanged():
            raise self._end_unproved()
        others = self._list_others()
        self._wait_for_proof(END, name_left_out(others) if others else "")
        if self.care.progress().is_proved:
            self.course.ask_for_promotion(self.plan)
        while not self._may_follow(self.list_line()):
            pass
        self._show(END)
        said = describe_success(self.care.progress(), others_follow=bool(others))
        self.course.journal.event(RolloutEvent.SUCCEEDED, said)

    def _list_others(self) -> list[int]:
        """Who follows in the end, and sees nothing of it before."""
        kept = {one.vmid for one in self.plan.left_out if one.follows is False}
        return sorted({*self.list_line()} - {target.vmid for target in self.plan.targets} - kept)

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
        self._tell_void()
        try:
            self._show_way_back(CONDEMN if turn.revokes and CONDEMN in list_acts(self.plan) else BACK)
        except Overtaken as error:
            return journal.event(RolloutEvent.LEFT_STUCK, f"{error}; guests stay on what they have")
        self._see_all_back(turn.reason)
        self._end(turn.reason)

    def _tell_void(self) -> None:
        if self.series.has_draft():
            void = "a change of the desired state that waits for its publication is void: say it again"
            self.course.journal.write(Kind.NOTE, "void", {"reason": void})
            self.course.gate.tell(f"going back; {void}")

    def _end(self, reason: str) -> None:
        progress = self.course.progress()
        if progress.state is not RolloutState.REVERTING:
            return  # a person has ended it on paper
        stuck = progress.count(TargetState.STUCK)
        if stuck:
            said = f"{stuck} guests could not be proved on the version before"
            self.course.journal.event(RolloutEvent.LEFT_STUCK, said)
        else:
            self.course.journal.event(RolloutEvent.REVERTED, "; ".join([reason, *self._list_unwatched()]))

    def _list_unwatched(self) -> list[str]:
        """Guests that were shown it and are led back by what is signed, without anybody looking."""
        rows = [row for row in self.care.progress().targets if row.reason.startswith(UNWATCHED)]
        names = ", ".join(str(row.target.vmid) for row in rows)
        return [f"nobody looked at {names}, for which the same is signed"] if rows else []

    def _is_shown(self) -> bool:
        """Whether guests may see, or have seen, anything of it."""
        acts = list_acts(self.plan)
        if any(self.course.journal.may_be_done(f"show.{act}") for act in acts):
            return True
        try:
            return self.series.find_shown(self.plan.id) is not None
        except (NotAllowed, SettingsError):
            return any(self.course.journal.has_intent(f"show.{act}") for act in acts)

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
        unseen = () if self._is_shown() else (TargetState.APPLYING,)  # begun, and then nothing could be shown
        for target in self._list_in(self.plan.targets, TargetState.PENDING, TargetState.STAGED, *unseen):
            said = f"the rollout ended before its turn: {reason}"
            self.care.journal_of(target.vmid).event(TargetEvent.SKIPPED, said)

    def _list_in(self, targets: Sequence[PlannedTarget], *states: TargetState) -> list[PlannedTarget]:
        progress = self.care.progress()
        return [target for target in targets if progress.of(target.vmid).state in states]


def _ended_before(row: TargetProgress, at: datetime | None) -> bool:
    """Whether its latest way back is older than the order."""
    return row.back_ended_at is not None and at is not None and row.back_ended_at < at
