"""When nobody looks after the work any more: what is amiss, who is told when and how often, and in which words. Pure.

The dead man's switch is a process of its own that looks every minute. Faults count when two looks have seen any: a
successor has the time to take over.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from zlh_hooks.domain.entry import GENESIS
from zlh_hooks.domain.notice import Message

EVERY = timedelta(minutes=1)
"""From the end of one look to the begin of the next: debian/zlh-hooks-dead-man.timer."""
SLOWEST = timedelta(seconds=90)
"""After so long a look is ended by force, telling included: debian/zlh-hooks-dead-man.service."""
LOOKING = timedelta(seconds=45)
"""So long may it look: a look that hangs is a fault of its own."""
TELLING = timedelta(seconds=30)
"""So long may it tell: whoever was not reached by then is told at the next look."""
SETTLED = timedelta(seconds=30)
"""So long after the first look of those that all saw a fault, faults count."""
REPEAT = timedelta(hours=1)
MOST_TIMES = 12
"""So often is the same told, first time included: then whoever listens has heard it."""
CALM = timedelta(minutes=10)
"""So long must all be well before that is told: what comes and goes is one alarm."""
LOOP = timedelta(minutes=10)
LOOP_STARTS = 3
"""A worker that was started so often within LOOP dies again and again."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something is amiss. ``name`` is what it is known by, ``text`` a sentence without its full stop."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class WorkerSign:
    """The last sign of life of a worker. ``number`` grows with each that is started; ``until``: of its lease, aware."""

    holder: str
    number: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Told:
    """What was told by one channel of the alarm that is not over yet."""

    at: datetime
    times: int
    faults: frozenset[str]


@dataclass(frozen=True, slots=True)
class Checked:
    """How far the ledger was read and found whole. ``rollouts``: ids of those that a worker may have to carry on."""

    sequence: int = 0
    digest: str = GENESIS
    rollouts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Memory:
    """What one look hands on to the next. ``seen``: by name, at that look; ``starts``: number of a worker and when.

    ``amiss_since``: the first look of the latest that all saw a fault, whichever; ``well_since``: of those without any;
    ``told``: by channel.
    """

    looked_at: datetime | None = None
    seen: frozenset[str] = frozenset()
    amiss_since: datetime | None = None
    starts: tuple[tuple[datetime, int], ...] = ()
    well_since: datetime | None = None
    told: Mapping[str, Told] = field(default_factory=dict)
    checked: Checked = Checked()


class Word(StrEnum):
    """What a channel is to say now."""

    ALARM = "alarm"
    WELL = "well"
    TEST = "test"


def find_worker_faults(sign: WorkerSign | None, work: Sequence[str], memory: Memory, now: datetime) -> Iterator[Fault]:
    """``work``: what waits for a worker, in words; while nothing does no worker is missed."""
    if not work:
        return
    waits = f"{work[0]}" + (f" ({len(work) - 1} more)" if len(work) > 1 else "")
    if sign is None:
        yield Fault("worker", f"no worker is at work: {waits}")
    elif sign.until <= now:
        yield Fault("worker", f"worker {sign.holder} gave no sign of life since {sign.until:%H:%M:%S} UTC: {waits}")
    starts = [number for at, number in memory.starts if now - at <= LOOP]
    if sign is not None and starts and sign.number - min(starts) >= LOOP_STARTS:
        many = sign.number - min(starts)
        yield Fault("worker-loop", f"{many} workers were started within {LOOP.seconds // 60} minutes: {waits}")


def advance(memory: Memory, faults: Iterable[Fault], sign: WorkerSign | None, now: datetime) -> Memory:
    """What is remembered after this look, before anybody is told."""
    names = frozenset(fault.name for fault in faults)
    starts = tuple((at, number) for at, number in memory.starts if now - at <= LOOP)
    if sign is not None and sign.number not in {number for _, number in starts}:
        starts = (*starts, (now, sign.number))
    return replace(
        memory,
        looked_at=now,
        seen=names,
        amiss_since=min(now, memory.amiss_since or now) if names else None,  # a clock may be set back
        starts=starts,
        well_since=None if names else min(now, memory.well_since or now),
    )


def doubt(memory: Memory, now: datetime) -> Memory:
    """Of a switch that cannot keep it: no later look will know what this one saw, so it counts at once."""
    return replace(memory, amiss_since=now - SETTLED) if memory.seen else memory


def choose_word(memory: Memory, channel: str, now: datetime) -> Word | None:
    """What that channel says after this look; None: nothing new."""
    told = memory.told.get(channel)
    if memory.amiss_since is not None:
        if now - memory.amiss_since < SETTLED:
            return None
        is_new = told is None or not memory.seen <= told.faults
        is_due = told is not None and told.times < MOST_TIMES and now - told.at >= REPEAT
        return Word.ALARM if is_new or is_due else None
    is_calm = memory.well_since is not None and now - memory.well_since >= CALM
    return Word.WELL if told is not None and is_calm else None


def note_told(memory: Memory, channel: str, word: Word, now: datetime) -> Memory:
    """After the channel has said it."""
    others = {name: told for name, told in memory.told.items() if name != channel}
    if word is Word.WELL:
        return replace(memory, told=others)
    before = memory.told.get(channel)
    faults = memory.seen | (before.faults if before else frozenset())
    times = before.times + 1 if before and faults == before.faults else 1
    return replace(memory, told={**others, channel: Told(now, times, faults)})


def render_message(word: Word, controller: str, faults: Sequence[Fault], now: datetime) -> Message:
    """For whoever is on duty, who may just have been woken."""
    names = [fault.name for fault in faults]
    subject, lines = {
        Word.ALARM: (_choose_subject(names), [*(f"{fault.text}." for fault in faults), "", _advise(names, controller)]),
        Word.WELL: ("all is well again", [f"{_OF} {controller} has found nothing amiss for {_CALM_MINUTES} minutes."]),
        Word.TEST: ("this is a test", [f"{_OF} {controller} can reach you. There is nothing to do."]),
    }[word]
    facts = {"word": word.value, "controller": controller, "faults": names}
    id_ = f"dead-man-{word}-{now:%Y%m%dt%H%M%S}"
    return Message(id_, f"[zlh-hooks {controller}] {subject}", "\n".join(lines), facts)


_OF = "The dead man's switch of"
_CALM_MINUTES = CALM.seconds // 60
_ORPHANED = {"worker", "worker-loop", "ledger", "settings", "policy"}
"""With any of these no worker can do its work; beside the others one is at work, or nothing is to be done."""


def _choose_subject(names: Sequence[str]) -> str:
    return "nobody looks after the work" if _ORPHANED & {*names} else f"something is amiss ({', '.join(names)})"


def _advise(names: Sequence[str], controller: str) -> str:
    """The unit, and no command that would run a worker beside it, or as root."""
    look = f"On {controller}: zlh-hooks rollout status, and journalctl -u zlh-hooks-worker -u zlh-hooks-dead-man."
    if not _ORPHANED & {*names}:
        return look
    return (
        f"{look}\nGuests are as the last worker left them. When the cause is mended: "
        "systemctl restart zlh-hooks-worker; the next one goes on from the ledger."
    )


def longest_silence(lease: timedelta) -> timedelta:
    """From a worker's death until a person is told, at worst.

    Its lease runs out right after a look has read it; then come two looks, each after a pause, and the telling.
    """
    return lease + 2 * (SLOWEST + EVERY) + SLOWEST
