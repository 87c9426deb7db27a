"""The dead man's switch: looks whether anybody cares for what is open, tells people if not, and if so a heartbeat."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from zlh_hooks.application.controller_lock import find_claims
from zlh_hooks.application.desk import describe_due, find_due
from zlh_hooks.application.ledger_review import review_ledger
from zlh_hooks.application.ports import Alarm, Clock, DeadManMemory, Inventory, LeaseHolder, Ledger, Pulse
from zlh_hooks.application.side_by_side import begin, describe_end, find_failure
from zlh_hooks.domain.dead_man import (
    LOOKING,
    TELLING,
    Checked,
    Fault,
    Memory,
    Word,
    WorkerSign,
    advance,
    choose_word,
    doubt,
    find_worker_faults,
    note_told,
    render_message,
)
from zlh_hooks.domain.errors import ZlhError
from zlh_hooks.domain.progress import Progress


@dataclass(frozen=True, slots=True)
class Grounds:
    """Where it looks. ``holder``: this controller's name in claims on the cluster. Without a ledger nothing is open."""

    open_ledger: Callable[[], Ledger | None]
    read_lease: Callable[[], LeaseHolder | None]
    inventory: Callable[[], Inventory]
    holder: str


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look has found. ``sign``: of the worker, None if there is none or it cannot be known.

    ``checked``: what it knows of the ledger now, None if no more than before.
    """

    faults: tuple[Fault, ...]
    sign: WorkerSign | None = None
    checked: Checked | None = None


def look(grounds: Grounds, memory: Memory, clock: Clock) -> Sight:
    """Ledger first: without it nobody knows what is open. Proxmox is asked only while a rollout is in hand."""
    try:
        ledger = grounds.open_ledger()
        return Sight(()) if ledger is None else _look_into(ledger, grounds, memory, clock)
    except ZlhError as error:
        return Sight((Fault("ledger", f"the ledger cannot be used: {error}"),))


def _look_into(ledger: Ledger, grounds: Grounds, memory: Memory, clock: Clock) -> Sight:
    sign, review = _read_sign(grounds), review_ledger(ledger, memory.checked)
    if review.broken:
        return Sight((Fault("ledger", f"the ledger is not as it was written: {review.broken}"),), sign)
    due = find_due(ledger, review.rollouts)
    faults: list[Fault] = []
    faults += find_worker_faults(sign, list(_describe_work(due, review.rollouts)), memory, clock.now())
    if due is not None and due.is_executing and not faults:  # telling that the worker is dead waits for nobody
        faults += _look_at_cluster(grounds, clock)
    return Sight(tuple(faults), sign, review.checked)


def _read_sign(grounds: Grounds) -> WorkerSign | None:
    held = grounds.read_lease()
    return WorkerSign(held.holder, held.number, held.until) if held else None


def _describe_work(due: Progress | None, rollouts: Sequence[Progress]) -> Iterator[str]:
    if due is not None:
        yield describe_due(due)
    for progress in rollouts:
        if progress.is_soaking and progress is not due:
            yield f"rollout {progress.plan.id} has guests to bring to their end"


def _look_at_cluster(grounds: Grounds, clock: Clock) -> Iterator[Fault]:
    try:
        claims = find_claims(grounds.inventory().list_guests())
    except ZlhError as error:
        yield Fault("proxmox", f"Proxmox cannot be asked while a rollout is in hand: {error}")
        return
    for claim in claims:
        if claim.holder != grounds.holder and claim.until > clock.now():
            yield Fault("controller-lock", f"the cluster is controlled by {claim.holder}, not by {grounds.holder}")


@dataclass(frozen=True, slots=True)
class Ways:
    """To whoever is on duty. ``broken``: those that cannot be used, each a fault that the others tell."""

    alarms: Sequence[Alarm]
    pulse: Pulse | None
    broken: tuple[Fault, ...] = ()


@dataclass(slots=True)
class DeadMan:
    """One look, and what follows. ``look_round`` gets what the one before has left."""

    controller: str
    look_round: Callable[[Memory], Sight]
    ways: Ways
    memory: DeadManMemory
    clock: Clock
    say: Callable[[str], None]
    looking: timedelta = LOOKING
    telling: timedelta = TELLING
    _failed: bool = field(default=False)

    def run(self) -> bool:
        """Whether nothing is amiss, and everybody who had to be told was."""
        before = self.memory.read()
        sight = self._look(before)
        faults = (*self.ways.broken, *sight.faults)
        now = self.clock.now()
        memory = replace(advance(before, faults, sight.sign, now), checked=sight.checked or before.checked)
        if not self._keep(memory):
            memory = doubt(memory, now)
        for fault in faults:
            self.say(f"{fault.name}: {fault.text}")
        self._tell(memory, faults, now)
        return not faults and not self._failed

    def test(self) -> bool:
        """Every way at once, whatever is amiss; whether all of them worked. Nothing of it is remembered."""
        for fault in self.ways.broken:
            self._fail(fault.name, fault.text)
        message = render_message(Word.TEST, self.controller, (), self.clock.now())
        list(self._try_all({alarm.name: partial(alarm.raise_alarm, message) for alarm in self.ways.alarms}, True))
        return not self._failed

    def _look(self, before: Memory) -> Sight:
        done = begin(lambda: self.look_round(before))
        failure = find_failure(done, self.looking)
        return Sight((Fault("look", f"the look failed: {failure}"),)) if failure else done.result()

    def _tell(self, memory: Memory, faults: Sequence[Fault], now: datetime) -> None:
        """Each is remembered at once, whatever comes of the others."""
        alarms = {alarm.name: alarm for alarm in self.ways.alarms}
        words = {name: word for name in alarms if (word := choose_word(memory, name, now))}
        acts = {
            name: partial(alarms[name].raise_alarm, render_message(word, self.controller, faults, now))
            for name, word in words.items()
        }
        for name in self._try_all(acts, with_pulse=not faults):
            memory = note_told(memory, name, words[name], now)
            self._keep(memory)

    def _try_all(self, acts: Mapping[str, Callable[[], object]], with_pulse: bool) -> Iterator[str]:
        """Side by side, the heartbeat first; the names of acts that worked, as they end. What hangs is left."""
        pulse = {"heartbeat": self.ways.pulse.beat} if with_pulse and self.ways.pulse else {}
        begun = {begin(act): name for name, act in {**pulse, **acts}.items()}
        try:
            for done in as_completed(begun, self.telling.total_seconds()):
                name = begun.pop(done)
                if self._has_worked(name, done) and name in acts:
                    yield name
        except TimeoutError:
            for name in begun.values():
                self._fail(name, describe_end(self.telling))

    def _keep(self, memory: Memory) -> bool:
        """Where it cannot be kept people are told too often, and not too seldom."""
        return self._has_worked("memory", begin(lambda: self.memory.write(memory)))

    def _has_worked(self, name: str, done: Future[Any]) -> bool:
        failure = find_failure(done, self.telling)
        if failure:
            self._fail(name, failure)
        return not failure

    def _fail(self, name: str, reason: str) -> None:
        self._failed = True
        self.say(f"{name}: {reason}")
