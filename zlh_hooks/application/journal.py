"""Durable steps: every side effect is an intent, a request and an outcome in the ledger.

A story is straight-line code. When a worker dies, the next one replays the story from its start: steps that are done
answer from the ledger; a step whose intent stands without outcome is first looked for in the world. So each request is
made once, however often its caller dies (docs/decisions/0002-durable-steps.md).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from zlh_hooks.application.logbook import Logbook
from zlh_hooks.application.ports import Clock, TaskResult, Tasks, Upid
from zlh_hooks.application.step import UNDERWAY, Data, Found, Record, Step, Underway
from zlh_hooks.domain.duration import double, render_duration
from zlh_hooks.domain.entry import Kind
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
from zlh_hooks.domain.rollout_outage import REFUSED, UNANSWERED

POLL, LONGEST_POLL = timedelta(milliseconds=250), timedelta(seconds=5)
ARRIVAL = timedelta(seconds=10)
"""How long a request whose answer was lost may still be on its way: Proxmox waits 10 s for a config's file lock."""
CLOCK_SKEW = timedelta(seconds=60)
ATTEMPTS = 3
_EARLIER = "earlier"
"""In an intent: the newest task of that kind that the guest had before."""


@dataclass(slots=True)
class Patience:
    """How long to wait: for a config lock to go, and for a task to end."""

    lock: timedelta
    task: timedelta


@dataclass(slots=True, kw_only=True)
class Journal(Logbook):
    """Takes the steps of one target (``target`` None: of the rollout itself), and knows what became of them.

    ``may_wait``: whether a lock may be waited for still, within ``patience``; ``meanwhile`` is done while it is. Nobody
    waits for one but within ``waiting``.
    """

    tasks: Tasks
    clock: Clock
    patience: Patience
    may_wait: Callable[[], bool] = lambda: False
    meanwhile: Callable[[], None] = lambda: None

    @contextmanager
    def waiting(
        self, may_wait: Callable[[], bool] = lambda: True, meanwhile: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        """Steps taken within wait for locks as long as ``may_wait`` says; else ``GuestLocked`` comes at once."""
        before = self.may_wait, self.meanwhile
        self.may_wait, self.meanwhile = may_wait, meanwhile
        try:
            yield
        finally:
            self.may_wait, self.meanwhile = before

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

    def redo(self, step: Step) -> Data:
        """Like ``clear``, for what may have been undone since it was done, by ourselves too."""
        intent = self.intent_of(step.name)
        if intent is not None and self.done(step.name) is not None and step.find(intent) is None:
            self._records[step.name].forget()
        return self.clear(step)

    def find_out(self, step: Step) -> None:
        """What became of a step that was begun and of which nobody knows. A request that is on its way is waited for.

        None is made: what did not come about has failed.
        """
        if not self.is_open(step.name):
            return
        record = self._records[step.name]
        try:
            self._finish(step, self._look_for(step, record))
        except TargetError as error:
            self.write(Kind.FAILED, step.name, record.render_failure(error))

    def _look_for(self, step: Step, record: Record) -> Found:
        found = self._resume(step, record) if record.upid is None else self._follow_task(step, record, record.upid)
        if found is None and not record.accepted:
            record.refuse()
            raise TargetError(f"{step.name}: its request did not come")
        return found

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
            intent = self.write(Kind.INTENT, step.name, self._plan(step))
            found = step.find(intent.data)
            return self._ask(step, record) if found is None else found
        if record.upid is not None:
            return self._follow_task(step, record, record.upid)
        looked = step.find(record.intent.data) if record.accepted is False else self._resume(step, record)
        return self._ask(step, record) if looked is None and not record.accepted else looked

    def _plan(self, step: Step) -> Data:
        """A task of others that is there already is not to be taken for ours, though clocks differ."""
        plan, adopt = step.plan(), getattr(step, "adopt", None)
        earlier = adopt(plan, self.clock.now() - CLOCK_SKEW) if adopt is not None else None
        return {**plan, _EARLIER: earlier} if earlier else plan

    def _ask(self, step: Step, record: Record) -> Found:
        """What others do to the guest between two tries may have brought it about: each is preceded by a look."""
        assert record.intent is not None
        found: Found = None
        attempts = 0
        while found is None and not record.accepted:
            try:
                return self._act_when_free(step, record)
            except Unanswered as error:
                self.write(Kind.NOTE, UNANSWERED, {"step": step.name, "reason": str(error)})
                attempts += 1
                if attempts == ATTEMPTS:
                    raise
                found = self._resume(step, record)
            except ConfigChanged:
                attempts += 1
                if attempts == ATTEMPTS:
                    raise
                found = step.find(record.intent.data)
        return found

    def _resume(self, step: Step, record: Record) -> Found:
        """The intent stands, its outcome is unknown: look for it until a request on its way must have arrived.

        None: it did not come; or, if it is ``accepted`` now, its task has ended without effect.
        """
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
                return None
            self.clock.sleep(POLL)

    def _adopt(self, step: Step, record: Record) -> Upid | None:
        adopt: Callable[[Data, datetime], Upid | None] | None = getattr(step, "adopt", None)
        if adopt is None or record.intent is None:
            return None
        upid = adopt(record.intent.data, record.intent.at - CLOCK_SKEW)
        return None if upid in self._upids or upid == record.intent.data.get(_EARLIER) else upid

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
