"""When nobody looks after the work any more: what is amiss, who is told when and how often, and in which words. Pure.

The dead man's switch is a process of its own that looks every minute. A fault counts when two looks have seen it: a
successor has the time to take over.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from zlh_hooks.domain.notice import Message

EVERY = timedelta(minutes=1)
"""From the end of one look to the begin of the next: debian/zlh-hooks-dead-man.timer."""
SLOWEST = timedelta(seconds=90)
"""After so long a look is ended by force, telling included: debian/zlh-hooks-dead-man.service."""
SETTLED = timedelta(seconds=30)
"""A fault that was seen so long ago, and is still there, counts."""
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
class Memory:
    """What one look hands on to the next. ``seen``: fault to its first sight; ``starts``: number of a worker and when.

    ``well_since``: the first look of those without any fault; ``told``: by channel.
    """

    looked_at: datetime | None = None
    seen: Mapping[str, datetime] = field(default_factory=dict)
    starts: tuple[tuple[datetime, int], ...] = ()
    well_since: datetime | None = None
    told: Mapping[str, Told] = field(default_factory=dict)


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
    names = {fault.name for fault in faults}
    starts = tuple((at, number) for at, number in memory.starts if now - at <= LOOP)
    if sign is not None and sign.number not in {number for _, number in starts}:
        starts = (*starts, (now, sign.number))
    return replace(
        memory,
        looked_at=now,
        seen={name: min(now, memory.seen.get(name, now)) for name in sorted(names)},  # a clock may be set back
        starts=starts,
        well_since=None if names else min(now, memory.well_since or now),
    )


def choose_word(memory: Memory, channel: str, now: datetime) -> Word | None:
    """What that channel says after this look; None: nothing new."""
    told = memory.told.get(channel)
    counting = {name for name, at in memory.seen.items() if now - at >= SETTLED}
    if counting:
        is_new = told is None or not counting <= told.faults
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
    faults = frozenset(memory.seen) | (before.faults if before else frozenset())
    times = before.times + 1 if before and faults == before.faults else 1
    return replace(memory, told={**others, channel: Told(now, times, faults)})


def render_message(word: Word, controller: str, faults: Sequence[Fault], now: datetime) -> Message:
    """For whoever is on duty, who may just have been woken."""
    names = {
        Word.ALARM: "nobody looks after the work",
        Word.WELL: "all is well again",
        Word.TEST: "this is a test",
    }
    lines = [f"{fault.text}." for fault in faults]
    if word is Word.ALARM:
        lines += ["", f"On {controller}: systemctl status zlh-hooks-worker, and zlh-hooks rollout status.", _ADVICE]
    if word is Word.TEST:
        lines = [f"The dead man's switch of {controller} can reach you. There is nothing to do."]
    if word is Word.WELL:
        lines = [f"The dead man's switch of {controller} has found nothing amiss for {CALM.seconds // 60} minutes."]
    facts = {"word": word.value, "controller": controller, "faults": [fault.name for fault in faults]}
    id_ = f"dead-man-{word}-{now:%Y%m%dt%H%M%S}"
    return Message(id_, f"[zlh-hooks {controller}] {names[word]}", "\n".join(lines), facts)


_ADVICE = (
    "Guests are as the last worker left them; the next one goes on from the ledger: zlh-hooks rollout watch starts it."
)


def longest_silence(lease: timedelta) -> timedelta:
    """From a worker's death until a person is told, at worst.

    Its lease runs out right after a look has read it; then come two looks, each after a pause, and the telling.
    """
    return lease + 2 * (SLOWEST + EVERY) + SLOWEST
