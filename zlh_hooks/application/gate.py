"""Between two disruptive acts: what people ordered, whether a window is open, whether the budget is spent.

Every worker thread passes the gate before it begins with a guest; what has begun is always brought to an end.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from zlh_hooks.application.emergency_board import EmergencyBoard
from zlh_hooks.application.journal import Journal
from zlh_hooks.application.notice_board import NoticeBoard
from zlh_hooks.application.ports import Clock, Ledger
from zlh_hooks.domain.duration import render_duration
from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.plan import PlannedTarget
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.steps import ENDS, RolloutEvent
from zlh_hooks.domain.window import Decision, decide, find_denial
from zlh_hooks.domain.window_rule import Component

LISTEN = timedelta(seconds=1)
LARGEST_JUMP = timedelta(minutes=1)
"""More than clocks are corrected by in passing: windows and promises would be reckoned from a wrong time."""

REFUSED_FOR = timedelta(minutes=1)
HEARING = timedelta(seconds=10)
"""How long an emergency lets notices go out first. A mail server that is down, or an owner whom nobody can name, holds
up no fix for longer."""


class Turned(Exception):
    """The rollout goes back. ``revokes`` if the version was found bad (and not merely unwanted)."""

    def __init__(self, reason: str, *, revokes: bool) -> None:
        self.reason = reason
        self.revokes = revokes
        super().__init__(reason)


class Later(Exception):
    """This guest comes after the others that wait: it was told of a later window or deferred, others were at work on
    its node for too long, or one of them is its canary.
    """


class Aborted(Exception):
    """The rollout ends here: what is healthy stays, what is staged is taken away."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """No window was open for work that takes ``needs``."""

    decision: Decision
    at: datetime
    needs: timedelta

    def stands(self, now: datetime, needs: timedelta) -> bool:
        """Until work may begin; for a minute at most, for by then another rule may be what refuses."""
        end = self.at + REFUSED_FOR
        until = self.decision.until
        return needs == self.needs and self.at <= now < (end if until is None else min(end, until))


@dataclass(slots=True)
class Gate:
    """The one place where a rollout waits. ``journal`` is the rollout's; ``security``, ``component`` as in its plan.

    ``board`` knows whose promise is kept, ``emergencies`` when neither that nor a window counts. ``meanwhile`` is done
    again and again while something is waited for. ``takes_deferred``: all others are done, so that a deferred guest's
    date is waited for.
    """

    rollout: str
    ledger: Ledger
    clock: Clock
    policy: Policy
    journal: Journal
    emergencies: EmergencyBoard
    board: NoticeBoard | None = None
    security: bool = False
    component: Component = Component.TEMPLATE
    meanwhile: Callable[[], None] = lambda: None
    paused: bool = False
    takes_deferred: bool = False
    _order: Exception | None = None
    _cursor: int = 0
    _ended: int = 0
    _stage: str = ""
    _hearings: dict[str, float] = field(default_factory=dict)
    _refusal: "_Refusal | None" = None
    _clocks: tuple[datetime, float] | None = None
    _guard: threading.RLock = field(default_factory=threading.RLock)

    def resume_from(self, entries: tuple[Entry, ...]) -> None:
        """Take in what earlier workers obeyed: commands up to the last one that an event answers."""
        events = [e for e in entries if e.kind is Kind.EVENT and e.target is None]
        answered = [int(e.data["command"]) for e in events if "command" in e.data]
        self._cursor = max(answered, default=0)
        self._ended = max((e.sequence for e in events if e.name in ENDS), default=0)
        pauses = [e for e in events if e.name in (RolloutEvent.PAUSED, RolloutEvent.RESUMED)]
        self.paused = bool(pauses) and pauses[-1].name == RolloutEvent.PAUSED

    # -------------------------------------------------------------- commands

    def check(self) -> None:
        """Obey what was ordered since; wait while paused; raise ``Turned`` or ``Aborted``."""
        while True:
            self.obey()
            if not self.paused:
                return
            self.wait(LISTEN)

    def obey(self) -> None:
        """Like ``check``, for what has begun and is brought to an end though the rollout is paused: never waits."""
        with self._guard:
            self._obey()
            if self._order is not None:
                raise self._order

    def is_stopped(self) -> bool:
        """Whether nothing new may begin because people, or a budget that is spent, say so. Never waits."""
        with self._guard:
            self._obey()
            return self.paused or self._order is not None

    def goes_on(self) -> bool:
        """Whether nothing keeps what is not begun yet from being begun, so that a lock is worth waiting for."""
        return not self.is_stopped()

    def is_turned(self) -> bool:
        """Whether people ordered all back, or an end. Never waits."""
        with self._guard:
            self._obey()
            return self._order is not None

    def goes_back(self) -> bool:
        """Whether all shall go back. Never waits."""
        return self.is_turned() and isinstance(self._order, Turned)

    def wait(self, length: timedelta) -> None:
        """Let time pass, and do meanwhile what is to be done then."""
        self.meanwhile()
        self.clock.sleep(length)

    def _obey(self) -> None:
        for entry in self.ledger.read(self.rollout, after=self._cursor):
            self._cursor = entry.sequence
            if entry.kind is Kind.COMMAND:
                self._obey_one(entry)

    def _obey_one(self, entry: Entry) -> None:
        """Once all shall go back nothing else is heard; and nothing but that once it ends, or has ended."""
        is_late = self._order is not None or entry.sequence < self._ended
        if isinstance(self._order, Turned) or (is_late and entry.name != "revert"):
            return
        reason = str(entry.data.get("reason") or f"{entry.name} by {entry.data.get('author', 'unknown')}")
        if entry.name == "pause" and not self.paused:
            self._set_paused(True, reason, command=entry.sequence)
        elif entry.name == "resume" and self.paused:
            self._set_paused(False, reason, command=entry.sequence)
        elif entry.name == "revert":
            self._order = Turned(reason, revokes=False)
        elif entry.name == "abort":
            self._order = Aborted(reason)

    def _set_paused(self, paused: bool, reason: str, **data: int) -> None:
        self.journal.event(RolloutEvent.PAUSED if paused else RolloutEvent.RESUMED, reason, **data)
        self.paused = paused

    def pause(self, reason: str) -> None:
        """Stop here until a person resumes."""
        with self._guard:
            if not self.paused:
                self._set_paused(True, reason)

    def turn(self, reason: str) -> None:
        """The version is bad: nobody begins with another guest."""
        with self._guard:
            if self._order is None:
                self._order = Turned(reason, revokes=True)

    # --------------------------------------------------------------- windows

    def wait_for_window(self, needs: timedelta, vmid: int, unless: Callable[[], bool] = lambda: False) -> None:
        """Return when something that takes ``needs`` may begin with the guest, or ``unless`` comes true.

        Obeys commands meanwhile. ``Later`` if others may be changed before it, or all else goes on without it.
        """
        while True:
            self.check()
            self._pause_if_clock_jumped()
            if unless():
                return
            obstacle, until = self._find_obstacle(needs, vmid)
            if obstacle is None:
                return
            self.tell(f"waiting: {obstacle}")
            self.wait(self._nap(until))

    def may_begin(self, needs: timedelta, vmid: int) -> bool:
        """Whether something that takes ``needs`` may begin with the guest at this moment. Never waits."""
        return self.find_hindrance(needs, vmid) is None

    def find_hindrance(self, needs: timedelta, vmid: int, *, any_time: bool = False) -> str | None:
        """Why nothing that takes ``needs`` may begin with the guest at this moment; None if it may. Never waits.

        ``any_time``: no window has to be open, as long as none denies it and no freeze does.
        """
        if self._measure_jump() > LARGEST_JUMP:
            return "the clock was set"
        if self.is_stopped():
            return "the rollout is paused" if self.paused else "the rollout ends"
        try:
            return self._find_obstacle(needs, vmid, any_time=any_time)[0]
        except Later:
            return "others come before it"

    def _find_obstacle(
        self, needs: timedelta, vmid: int, *, any_time: bool = False
    ) -> tuple[str | None, datetime | None]:
        """Why the guest may not be begun now, and until when at least if that is known."""
        now = self.clock.now()
        emergency = self.emergencies.find_open(self.component, now)
        if emergency is not None:
            return self._find_unheard(emergency.id, vmid, now), None
        if any_time:
            denial = find_denial(self.policy, self.component, now, needs, security=self.security)
            return denial or self._find_untold(vmid), None
        decision = self._decide(now, needs)
        return self._explain(decision, vmid), decision.until

    def _decide(self, now: datetime, needs: timedelta) -> Decision:
        """Threads that wait ask each second, and windows are reckoned from the whole calendar."""
        kept = self._refusal
        if kept is not None and kept.stands(now, needs):
            return kept.decision
        decision = decide(self.policy, self.component, now, needs, security=self.security)
        self._refusal = None if decision.allowed else _Refusal(decision, now, needs)
        return decision

    def _find_unheard(self, emergency: str, vmid: int, now: datetime) -> str | None:
        """In an emergency only the sending itself is waited for, and not for long."""
        monotonic = self.clock.monotonic()
        with self._guard:
            first = self._hearings.setdefault(emergency, monotonic)
        if self.board is None or monotonic - first >= HEARING.total_seconds():
            return None
        return self.board.find_unheard(vmid, now)

    def is_emergency(self) -> bool:
        """Whether windows and promises are passed over now."""
        return self.emergencies.find_open(self.component, self.clock.now()) is not None

    def _explain(self, decision: Decision, vmid: int) -> str | None:
        untold = self._find_untold(vmid)
        if untold is not None or decision.allowed:
            return untold
        until = f", next from {decision.until.isoformat(timespec='minutes')}" if decision.until else ""
        return f"{decision.rule}{until}"

    def _find_untold(self, vmid: int) -> str | None:
        if self.board is None:
            return None
        if self.board.comes_later(vmid) or (not self.takes_deferred and self.is_deferred(vmid)):
            raise Later
        return self.board.find_obstacle(vmid, self.clock.now())

    def is_deferred(self, vmid: int) -> bool:
        """Whether the guest's owner, or whoever runs the platform, moved its date, which has not come."""
        return self.board is not None and self.board.is_deferred(vmid, self.clock.now())

    def choose_next(self, targets: Sequence[PlannedTarget]) -> list[PlannedTarget]:
        """Those whose turn it is before the others'."""
        first = self.board.choose_next(one.vmid for one in targets) if self.board else None
        return [one for one in targets if first is None or one.vmid in first]

    def _pause_if_clock_jumped(self) -> None:
        """A clock that is set while we wait may open a window or age a notice: a person must say that it is right."""
        jump = self._measure_jump()
        with self._guard:
            self._clocks = self.clock.now(), self.clock.monotonic()
        if jump > LARGEST_JUMP:
            self.pause(f"the clock was set by {render_duration(jump)}: see that it is right")
            self.check()

    def _measure_jump(self) -> timedelta:
        """By how much the clock was set, one way or the other, since the gate was last waited at."""
        with self._guard:
            now, monotonic = self._clocks or (self.clock.now(), self.clock.monotonic())
        passed = (self.clock.now() - now).total_seconds() - (self.clock.monotonic() - monotonic)
        return timedelta(seconds=round(abs(passed)))

    def _nap(self, until: datetime | None) -> timedelta:
        if until is None:
            return LISTEN
        return max(timedelta(milliseconds=50), min(LISTEN, until - self.clock.now()))

    def wait_until(self, condition: Callable[[], bool], deadline: timedelta, pause: timedelta = LISTEN) -> bool:
        """Whether ``condition`` came true before the deadline; obeys commands meanwhile."""
        end = self.clock.monotonic() + deadline.total_seconds()
        while not condition():
            if self.clock.monotonic() >= end:
                return False
            self.check()
            self.wait(pause)
        return True

    def tell(self, text: str) -> None:
        """What the rollout does now, for those who watch; said once."""
        with self._guard:
            if text != self._stage:
                self._stage = text
                self.journal.write(Kind.NOTE, "stage", {"text": text})
