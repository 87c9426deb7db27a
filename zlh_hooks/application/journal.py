"""Durable steps: every side effect is an intent, a request and an outcome in the ledger.

A story is straight-line code. When a worker dies, the next one replays the story from its start: steps that are done
answer from the ledger; a step whose intent stands without outcome is first looked for in the world. So each request is
made once, however often its caller dies (docs/decisions/0002-durable-steps.md).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from zlh_hooks.application.ports import Clock, Ledger, TaskResult, Tasks, Upid
from zlh_hooks.application.step import UNDERWAY, Data, Found, Record, Step, Underway
from zlh_hooks.domain.duration import double, render_duration
from zlh_hooks.domain.entry import Draft, Entry, Kind
from zlh_hooks.domain.errors import (
    ConfigChanged,
    GuestLocked,
    GuestMissing,
    HeldUp,
    RoadError,
    StorageAway,
    TargetError,
    Unanswered,
)
from zlh_hooks.domain.progress import DEFERRED
from zlh_hooks.domain.rollout_outage import REFUSED, UNANSWERED
from zlh_hooks.domain.steps import (
    ROLLOUT_TABLE,
    TARGET_TABLE,
    RolloutEvent,
    RolloutState,
    TargetEvent,
    TargetState,
    follow,
)

POLL, LONGEST_POLL = timedelta(milliseconds=250), timedelta(seconds=5)
ARRIVAL = timedelta(seconds=10)
"""How long a request whose answer was lost may still be on its way: Proxmox waits 10 s for a config's file lock."""
CLOCK_SKEW = timedelta(seconds=60)
ATTEMPTS = 3
_TRIES = (Kind.INTENT, Kind.REQUESTED, Kind.FAILED)


@dataclass(slots=True)
class Patience:
    """How long to wait: for a config lock to go, and for a task to end."""

    lock: timedelta
    task: timedelta


@dataclass(slots=True)
class Journal:
    """The steps, events and evidence of one target (``target`` None: of the rollout itself).

    ``may_wait``: whether a lock may be waited for still, within ``patience``; ``meanwhile`` is done while it is.
    ``ordered_at``: when a person last asked for it: what failed or was said before that is tried, and said, again.
    """

    ledger: Ledger
    tasks: Tasks
    clock: Clock
    rollout: str
    target: int | None
    patience: Patience
    may_wait: Callable[[], bool] = lambda: True
    meanwhile: Callable[[], None] = lambda: None
    ordered_at: datetime | None = None
    _last: Entry | None = None
    _records: dict[str, Record] = field(default_factory=dict)
    _others: list[Entry] = field(default_factory=list)
    _upids: set[Upid] = field(default_factory=set)

    def load(self, entries: Sequence[Entry]) -> "Journal":
        """Take in what earlier workers recorded."""
        for entry in entries:
            if entry.rollout == self.rollout and entry.target == self.target:
                self._take(entry)
        return self

    def _take(self, entry: Entry) -> None:
        if entry.kind not in _TRIES:
            self._last = entry
        if entry.kind in (Kind.INTENT, Kind.REQUESTED, Kind.DONE, Kind.FAILED):
            self._records.setdefault(entry.name, Record()).add(entry)
            self._upids.update([Upid(entry.data["upid"])] if entry.data.get("upid") else [])
        else:
            self._others.append(entry)

    def write(self, kind: Kind, name: str, data: Data | None = None) -> Entry:
        """Append an entry for this target."""
        entry = self.ledger.append(Draft(kind, name, self.rollout, self.target, dict(data or {})))
        self._take(entry)
        return entry

    def event(self, name: str, reason: str = "", **data: Any) -> None:
        """Append a state transition. One that the table does not know is refused: nobody could read on after it."""
        self._follow([*self._events(), name])
        self.write(Kind.EVENT, name, {"reason": reason, **data} if reason else data)

    def defer(self, reason: str) -> None:
        """Say why the target has to wait; once, however often it is found out, and tried in vain in between."""
        last = self._last
        is_new = last is None or (last.name, last.data.get("reason")) != (DEFERRED, reason)
        if is_new or (last is not None and self._is_before_order(last.at)):
            self.write(Kind.NOTE, DEFERRED, {"reason": reason})

    def _is_before_order(self, at: datetime | None) -> bool:
        return at is not None and self.ordered_at is not None and at <= self.ordered_at

    def _follow(self, events: Sequence[str]) -> None:
        if self.target is None:
            follow(ROLLOUT_TABLE, RolloutState.PLANNED, map(RolloutEvent, events))
        else:
            follow(TARGET_TABLE, TargetState.PENDING, map(TargetEvent, events))

    def _events(self) -> list[str]:
        return [entry.name for entry in self._others if entry.kind is Kind.EVENT]

    def has_event(self, name: str) -> bool:
        """Whether the transition was recorded."""
        return name in self._events()

    def event_at(self, name: str) -> datetime | None:
        """When the transition was recorded (the latest, if several), or None."""
        found = (entry.at for entry in reversed(self._others) if entry.kind is Kind.EVENT and entry.name == name)
        return next(found, None)

    @property
    def upids(self) -> frozenset[str]:
        """Every task that these steps asked for."""
        return frozenset(self._upids)

    def is_in(self, name: str) -> bool:
        """Whether that transition is the latest one."""
        return self.last_name() == name

    def last_reason(self) -> str:
        """The reason that the latest transition carries."""
        last = self.last_event()
        return str(last.data.get("reason", "")) if last else ""

    def last_name(self) -> str:
        """The name of the latest transition, empty if there was none."""
        last = self.last_event()
        return last.name if last else ""

    def last_deferral(self) -> str:
        """Why the target last had to wait."""
        notes = (e for e in reversed(self._others) if e.kind is Kind.NOTE and e.name == DEFERRED)
        return next((str(entry.data["reason"]) for entry in notes), "")

    def last_event(self, name: str | None = None) -> Entry | None:
        """The latest transition, or the latest of that name."""
        events = (entry for entry in reversed(self._others) if entry.kind is Kind.EVENT)
        return next((entry for entry in events if name in (None, entry.name)), None)

    def evidence(self, name: str) -> Data | None:
        """The latest evidence of that name."""
        found = (e for e in reversed(self._others) if e.kind is Kind.EVIDENCE and e.name == name)
        return next((entry.data for entry in found), None)

    def once(self, name: str, read: Callable[[], Data]) -> Data:
        """Evidence that is read once and then remembered."""
        known = self.evidence(name)
        if known is not None:
            return known
        data = read()
        self.write(Kind.EVIDENCE, name, data)
        return data

    def done(self, name: str) -> Data | None:
        """The result of a step, or None if it has none."""
        record = self._records.get(name)
        return record.done if record else None

    def has_intent(self, name: str) -> bool:
        """Whether the step was ever begun."""
        return name in self._records

    def is_open(self, name: str) -> bool:
        """Whether the step was begun and nobody knows how it ended."""
        record = self._records.get(name)
        return record is not None and record.done is None and record.failed is None

    def failure(self, name: str) -> TargetError | None:
        """How the step failed, if it did."""
        record = self._records.get(name)
        return record.failed if record else None

    def was_requested(self, name: str) -> bool:
        """Whether a request of the step was ever accepted."""
        record = self._records.get(name)
        return record is not None and (record.accepted is True or record.done is not None)

    def may_be_done(self, name: str) -> bool:
        """Whether the step's effect may be in the world, as far as the ledger knows."""
        record = self._records.get(name)
        return record is not None and record.may_be_done()

    def intent_of(self, name: str) -> Data | None:
        """What the step was going to do, if it was begun."""
        record = self._records.get(name)
        return record.intent.data if record and record.intent else None

    def run(self, step: Step) -> Data:
        """Bring the step about, once. ``TargetError`` if it cannot be, also when replayed; ``RoadError`` passes."""
        record = self._records.setdefault(step.name, Record())
        if record.done is not None:
            return record.done
        if isinstance(record.failed, GuestLocked):  # nothing was done: it is asked for again
            record.forget_failure()
        if record.failed is not None:
            raise record.failed
        try:
            return self._finish(step, self._bring_about(step, record))
        except TargetError as error:
            self.write(Kind.FAILED, step.name, record.render_failure(error))
            raise

    def retry(self, step: Step) -> Data:
        """Like ``run``, but a recorded failure is forgotten: for ways back and for clearing away."""
        record = self._records.get(step.name)
        if record is not None:
            record.forget_failure()
        return self.run(step)

    def clear(self, step: Step) -> Data:
        """Like ``retry``, for what is cleared away and nobody waits for: what fails is tried less and less often.

        In between it raises what it failed with.
        """
        record = self._records.get(step.name, Record())
        failure = record.find_rested(self.clock.now())
        if failure is not None and not self._is_before_order(record.failed_at):
            raise failure
        return self.retry(step)

    def _bring_about(self, step: Step, record: Record) -> Found:
        """A lock may be found out by the task only, which has done nothing then: it is asked for again."""
        deadline = self.clock.monotonic() + self.patience.lock.total_seconds()
        while True:
            try:
                return self._take_up(step, record)
            except GuestLocked as error:
                self._wait_for_lock(error, deadline, LONGEST_POLL)

    def _bear(self, error: GuestLocked, deadline: float) -> None:
        """A lock is waited for, unless that has no use any more."""
        if not self.may_wait():
            raise error
        if self.clock.monotonic() >= deadline:
            raise lose_patience(error, self.patience.lock) from error

    def _take_up(self, step: Step, record: Record) -> Found:
        if record.intent is None:
            intent = self.write(Kind.INTENT, step.name, step.plan())
            found = step.find(intent.data)
            return self._ask(step, record) if found is None else found
        if record.upid is not None:
            return self._follow_task(step, record, record.upid)
        if record.accepted is False:
            found = step.find(record.intent.data)
            return self._ask(step, record) if found is None else found
        return self._resume(step, record)

    def _ask(self, step: Step, record: Record) -> Found:
        """What others do to the guest between two tries may have brought it about: each is preceded by a look."""
        assert record.intent is not None
        found: Found = None
        attempts = 0
        while found is None:
            try:
                return self._act_when_free(step, record)
            except Unanswered as error:
                self.write(Kind.NOTE, UNANSWERED, {"step": step.name, "reason": str(error)})
                return self._resume(step, record)
            except ConfigChanged:
                attempts += 1
                if attempts == ATTEMPTS:
                    raise
            found = step.find(record.intent.data)
        return found

    def _resume(self, step: Step, record: Record) -> Found:
        """The intent stands, its outcome is unknown: look for it until a request on its way must have arrived."""
        assert record.intent is not None
        deadline = self.clock.monotonic() + ARRIVAL.total_seconds()
        while True:
            upid = self._adopt(step, record)  # also when all is done: else our own restart looks like somebody else's
            if upid is not None:
                self.write(Kind.REQUESTED, step.name, {"upid": upid, "adopted": True})
                return self._follow_task(step, record, upid)
            found = step.find(record.intent.data)
            if found is not None:
                return found
            if self.clock.monotonic() >= deadline:
                return self._ask(step, record)
            self.clock.sleep(POLL)

    def _adopt(self, step: Step, record: Record) -> Upid | None:
        adopt: Callable[[Data, datetime], Upid | None] | None = getattr(step, "adopt", None)
        if adopt is None or record.intent is None:
            return None
        upid = adopt(record.intent.data, record.intent.at - CLOCK_SKEW)
        return None if upid in self._upids else upid

    def _follow_task(self, step: Step, record: Record, upid: Upid) -> Found:
        assert record.intent is not None
        deadline = self.clock.monotonic() + self.patience.task.total_seconds()
        while (result := self.tasks.read_task(upid)).running:
            if self.clock.monotonic() >= deadline:
                raise RoadError(f"task {upid} still runs after {self.patience.task}; look at it in Proxmox")
            self.clock.sleep(POLL)
        found = step.find(record.intent.data)
        if not result.ok and (found is None or found is UNDERWAY):
            raise self._explain_failure(step, record, result)
        return found

    def _explain_failure(self, step: Step, record: Record, result: TaskResult) -> TargetError:
        said = f"{step.name}: {result.exit_status}"
        if result.lock is not None:
            record.refuse()
            self.write(Kind.NOTE, REFUSED, {"step": step.name, "reason": result.exit_status})
            return GuestLocked(said, result.lock)
        return StorageAway(said) if result.storage_away else TargetError(said)

    def _finish(self, step: Step, found: Found) -> Data:
        record = self._records[step.name]
        assert record.intent is not None
        deadline = self.clock.monotonic() + self.patience.task.total_seconds()
        while found is UNDERWAY and self.clock.monotonic() < deadline:
            self.clock.sleep(POLL)
            found = step.find(record.intent.data)
        if found is None or isinstance(found, Underway):
            raise TargetError(f"{step.name}: the request was accepted, but its effect is not there")
        self.write(Kind.DONE, step.name, found)
        return found

    def _act_when_free(self, step: Step, record: Record) -> Found:
        """Locked means later, never by force."""
        assert record.intent is not None
        deadline = self.clock.monotonic() + self.patience.lock.total_seconds()
        pauses = double(POLL, LONGEST_POLL)  # a backup takes an hour, and each try is a request to a busy node
        found: Found = None
        while found is None:
            try:
                upid = self._act(step, record)
            except GuestLocked as error:
                self._wait_for_lock(error, deadline, next(pauses))
            else:
                self.write(Kind.REQUESTED, step.name, {"upid": upid})
                return self._follow_task(step, record, upid) if upid else step.find(record.intent.data)
            found = step.find(record.intent.data)
        return found

    def _act(self, step: Step, record: Record) -> Upid | None:
        assert record.intent is not None
        record.accepted = None
        try:
            return step.act(record.intent.data)
        except TargetError:
            record.refuse()
            raise

    def _wait_for_lock(self, error: GuestLocked, deadline: float, pause: timedelta) -> None:
        """Whether it may be waited for still, is asked after the wait too: the step is taken next."""
        self._bear(error, deadline)
        self._say_locked(error)
        self.meanwhile()
        self.clock.sleep(pause)
        if not self.may_wait():
            raise error

    def _say_locked(self, error: GuestLocked) -> None:
        """Who watches sees what is waited for."""
        self.defer(f"waits up to {render_duration(self.patience.lock)} for a lock ({error.lock}) to go: {error}")


def lose_patience(error: HeldUp, after: timedelta) -> HeldUp:
    """What is said of a guest that was waited for in vain."""
    if isinstance(error, GuestLocked):
        return GuestLocked(f"locked ({error.lock}) for longer than {render_duration(after)}", error.lock)
    return error


def is_gone(read: Callable[[], object]) -> bool:
    """Whether reading a guest says that it does not exist."""
    try:
        read()
    except GuestMissing:
        return True
    return False
