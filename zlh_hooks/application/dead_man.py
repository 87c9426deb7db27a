"""The dead man's switch: looks whether anybody cares for what is open, tells people if not, and if so a heartbeat."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial

from zlh_hooks.application.controller_lock import find_claims
from zlh_hooks.application.desk import describe_due, find_due
from zlh_hooks.application.ports import Alarm, Clock, DeadManMemory, Inventory, LeaseHolder, Ledger, Pulse
from zlh_hooks.domain.audit import find_break
from zlh_hooks.domain.dead_man import (
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
from zlh_hooks.domain.progress import Progress, fold_progress, group_by_rollout


@dataclass(frozen=True, slots=True)
class Grounds:
    """Where it looks. ``holder``: this controller's name in claims on the cluster. Without a ledger nothing is open."""

    open_ledger: Callable[[], Ledger | None]
    read_lease: Callable[[], LeaseHolder | None]
    inventory: Callable[[], Inventory]
    holder: str


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look has found. ``sign``: of the worker, None if there is none or it cannot be known."""

    faults: tuple[Fault, ...]
    sign: WorkerSign | None = None


def look(grounds: Grounds, memory: Memory, clock: Clock) -> Sight:
    """Ledger first: without it nobody knows what is open. Proxmox is asked only while a rollout is in hand."""
    try:
        ledger = grounds.open_ledger()
        return Sight(()) if ledger is None else _look_into(ledger, grounds, memory, clock)
    except ZlhError as error:
        return Sight((Fault("ledger", f"the ledger cannot be used: {error}"),))


def _look_into(ledger: Ledger, grounds: Grounds, memory: Memory, clock: Clock) -> Sight:
    sign, entries = _read_sign(grounds), ledger.read()
    broken = find_break(entries)
    if broken:
        return Sight((Fault("ledger", f"the ledger is not as it was written: {broken}"),), sign)
    rollouts = tuple(fold_progress(own) for own in group_by_rollout(entries).values())
    due = find_due(ledger, rollouts)
    faults: list[Fault] = []
    faults += find_worker_faults(sign, list(_describe_work(due, rollouts)), memory, clock.now())
    if due is not None and due.is_executing and not faults:  # telling that the worker is dead waits for nobody
        faults += _look_at_cluster(grounds, clock)
    return Sight(tuple(faults), sign)


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


@dataclass(slots=True)
class DeadMan:
    """One look, and what follows. ``look_round`` gets what the one before has left."""

    controller: str
    look_round: Callable[[Memory], Sight]
    alarms: Sequence[Alarm]
    pulse: Pulse | None
    memory: DeadManMemory
    clock: Clock
    say: Callable[[str], None]
    _failed: bool = field(default=False)

    def run(self) -> bool:
        """Whether nothing is amiss, and everybody who had to be told was."""
        before = self.memory.read()
        sight = self.look_round(before)
        now = self.clock.now()
        memory = advance(before, sight.faults, sight.sign, now)
        if not self._keep(memory):
            memory = doubt(memory, now)
        for fault in sight.faults:
            self.say(f"{fault.name}: {fault.text}")
        self._tell(memory, sight.faults)
        if not sight.faults:
            self._try("heartbeat", lambda: self.pulse.beat() if self.pulse else None)
        return not sight.faults and not self._failed

    def test(self) -> bool:
        """Every way at once, whatever is amiss; whether all of them worked. Nothing of it is remembered."""
        message = render_message(Word.TEST, self.controller, (), self.clock.now())
        for alarm in self.alarms:
            self._try(alarm.name, partial(alarm.raise_alarm, message))
        if self.pulse is not None:
            self._try("heartbeat", self.pulse.beat)
        return not self._failed

    def _tell(self, memory: Memory, faults: Sequence[Fault]) -> None:
        """Side by side, and each is remembered at once: a server that hangs keeps no other from telling."""
        now = self.clock.now()
        words = [(alarm, word) for alarm in self.alarms if (word := choose_word(memory, alarm.name, now))]
        if not words:
            return
        with ThreadPoolExecutor(len(words)) as pool:
            told = {
                pool.submit(alarm.raise_alarm, render_message(word, self.controller, faults, now)): (alarm.name, word)
                for alarm, word in words
            }
            for done in as_completed(told):
                name, word = told[done]
                if self._try(name, done.result):
                    memory = note_told(memory, name, word, now)
                    self._keep(memory)

    def _keep(self, memory: Memory) -> bool:
        """Where it cannot be kept people are told too often, and not too seldom."""
        return self._try("memory", lambda: self.memory.write(memory))

    def _try(self, name: str, act: Callable[[], object]) -> bool:
        try:
            act()
        except ZlhError as error:
            self._failed = True
            self.say(f"{name}: {error}")
            return False
        return True
