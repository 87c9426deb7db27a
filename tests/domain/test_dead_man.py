"""When a person is told that nobody looks after the work: within ten minutes, once, and once more when all is well."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise

import pytest

from tests.clock import START
from zlh_hooks.domain.dead_man import (
    CALM,
    EVERY,
    LOOKING,
    LOOP,
    MOST_TIMES,
    REPEAT,
    SLOWEST,
    TELLING,
    Fault,
    Memory,
    Word,
    WorkerSign,
    advance,
    choose_word,
    find_worker_faults,
    longest_silence,
    note_told,
    render_message,
)
from zlh_hooks.domain.rollout_rules import RolloutRules

WORK = ("rollout r1 of game-base is RUNNING",)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
LEASE = timedelta(seconds=60)
FAULT = Fault("worker", "no worker is at work")


@dataclass
class Night:
    """Looks, one after another, and what one channel says at which time after the begin."""

    every: timedelta = EVERY
    memory: Memory = field(default_factory=Memory)
    said: list[tuple[timedelta, Word]] = field(default_factory=list)
    at: timedelta = timedelta(0)

    def pass_by(self, length: timedelta, find: Callable[[timedelta], list[Fault]], reaches: bool = True) -> None:
        """Look until so much time has passed."""
        end = self.at + length
        while self.at < end:
            now = START + self.at
            self.memory = advance(self.memory, find(self.at), None, now)
            word = choose_word(self.memory, "mail", now)
            if word and reaches:
                self.said.append((self.at, word))
                self.memory = note_told(self.memory, "mail", word, now)
            self.at += self.every

    def words(self) -> list[Word]:
        return [word for _, word in self.said]


def always(*faults: Fault) -> Callable[[timedelta], list[Fault]]:
    return lambda _: list(faults)


def find(sign: WorkerSign | None, work: tuple[str, ...] = WORK, memory: Memory | None = None) -> list[str]:
    return [fault.name for fault in find_worker_faults(sign, work, memory or Memory(), START)]


def sign(until: timedelta, number: int = 1) -> WorkerSign:
    return WorkerSign("pve-1-ab12", number, START + until)


# --- what is a fault


def test_a_worker_is_missed_only_while_there_is_work_for_one() -> None:
    assert find(None) == ["worker"]
    assert find(None, ()) == find(sign(-MINUTE), ()) == []


def test_a_worker_is_dead_when_its_lease_has_run_out_and_not_before() -> None:
    assert find(sign(SECOND)) == []
    assert find(sign(timedelta(0))) == ["worker"]


def test_a_worker_that_dies_again_and_again_is_a_fault_though_its_lease_is_fresh() -> None:
    memory = Memory()
    for number in range(1, 5):
        assert find(sign(MINUTE, number), memory=memory) == (["worker-loop"] if number == 4 else [])
        memory = advance(memory, (), sign(MINUTE, number), START)
    old = Memory(starts=((START - LOOP - SECOND, 1),))
    assert find(sign(MINUTE, 9), memory=old) == []


def test_a_fault_says_who_is_dead_since_when_and_what_waits() -> None:
    (fault,) = find_worker_faults(sign(-MINUTE), (*WORK, "another"), Memory(), START)
    assert fault.text == (
        "worker pve-1-ab12 gave no sign of life since 03:59:00 UTC: rollout r1 of game-base is RUNNING (1 more)"
    )


# --- when a person is told


@pytest.mark.parametrize("phase", range(0, 180, 7))
@pytest.mark.parametrize("slowness", [timedelta(0), SLOWEST])
def test_a_person_is_told_within_ten_minutes_of_the_workers_death_however_the_looks_fall(
    phase: int, slowness: timedelta
) -> None:
    lease = RolloutRules().lease
    night = Night(EVERY + slowness)
    night.at = timedelta(seconds=phase)
    # It died at 0 right after it had renewed its lease.
    night.pass_by(timedelta(minutes=30), lambda at: [FAULT] if at >= lease else [])
    told = night.said[0][0] + slowness
    assert told <= longest_silence(lease) <= timedelta(minutes=10)


def test_looking_and_telling_end_before_a_look_is_ended_by_force() -> None:
    assert LOOKING + TELLING + timedelta(seconds=10) <= SLOWEST


def test_one_look_that_comes_to_nothing_is_within_the_ten_minutes_too() -> None:
    assert longest_silence(RolloutRules().lease) + EVERY + SLOWEST <= timedelta(minutes=10)


def test_faults_that_take_turns_are_told_as_one_that_stays() -> None:
    night = Night()
    for name in ("proxmox", "ledger") * 2:
        night.pass_by(EVERY, always(Fault(name, "amiss")))
    assert night.said[0] == (EVERY, Word.ALARM)


def test_a_look_without_any_fault_begins_the_count_anew() -> None:
    night = Night()
    for _ in range(5):
        night.pass_by(EVERY, always(FAULT))
        night.pass_by(EVERY, always())
    assert night.said == []


def test_who_takes_over_before_the_second_look_wakes_nobody() -> None:
    night = Night()
    night.pass_by(EVERY, always(FAULT))
    night.pass_by(timedelta(hours=1), always())
    assert night.said == []


def test_the_same_is_told_again_every_hour_and_not_for_ever() -> None:
    night = Night()
    night.pass_by(timedelta(days=3), always(FAULT))
    times = [at for at, _ in night.said]
    assert len(times) == MOST_TIMES
    assert all(REPEAT <= later - earlier <= REPEAT + EVERY for earlier, later in pairwise(times))


def test_what_is_amiss_besides_is_told_at_once() -> None:
    night = Night()
    night.pass_by(5 * MINUTE, always(FAULT))
    night.pass_by(5 * MINUTE, always(FAULT, Fault("proxmox", "no road")))
    assert night.words() == [Word.ALARM, Word.ALARM]


def test_who_could_not_be_reached_is_told_at_the_next_look() -> None:
    night = Night()
    night.pass_by(10 * MINUTE, always(FAULT), reaches=False)
    night.pass_by(EVERY, always(FAULT))
    assert night.said == [(10 * MINUTE, Word.ALARM)]


def test_that_all_is_well_is_told_once_and_only_to_whom_the_fault_was_told() -> None:
    night = Night()
    night.pass_by(5 * MINUTE, always(FAULT))
    night.pass_by(timedelta(hours=5), always())
    assert night.words() == [Word.ALARM, Word.WELL]
    assert choose_word(night.memory, "webhook", START + night.at) is None


def test_a_clock_that_is_set_back_delays_no_alarm_and_no_relief() -> None:
    night = Night()
    night.pass_by(EVERY, always(FAULT))
    night.at -= timedelta(hours=2)
    night.pass_by(3 * MINUTE, always(FAULT))
    night.pass_by(EVERY, always())
    night.at -= timedelta(hours=2)
    night.pass_by(CALM + 2 * MINUTE, always())
    assert night.words() == [Word.ALARM, Word.WELL]


def test_what_comes_and_goes_is_one_alarm() -> None:
    night = Night()
    for _ in range(10):
        night.pass_by(2 * MINUTE, always(FAULT))
        night.pass_by(CALM - 2 * MINUTE, always())
    assert night.words().count(Word.WELL) == 0
    assert len(night.said) <= 3


def test_a_fault_after_all_was_well_is_a_new_alarm() -> None:
    night = Night()
    for _ in range(2):
        night.pass_by(5 * MINUTE, always(FAULT))
        night.pass_by(CALM + 5 * MINUTE, always())
    assert night.words() == [Word.ALARM, Word.WELL] * 2


def test_a_message_says_what_is_amiss_where_and_what_to_type() -> None:
    message = render_message(Word.ALARM, "pve-1", (FAULT,), START)
    assert message.subject == "[zlh-hooks pve-1] nobody looks after the work"
    assert message.text.startswith("no worker is at work.\n")
    assert "systemctl restart zlh-hooks-worker" in message.text
    assert dict(message.facts) == {"word": "alarm", "controller": "pve-1", "faults": ["worker"]}


@pytest.mark.parametrize("names", [("proxmox",), ("controller-lock",), ("proxmox", "controller-lock")])
def test_while_a_worker_is_at_work_nobody_reads_that_there_is_none(names: tuple[str, ...]) -> None:
    message = render_message(Word.ALARM, "pve-1", [Fault(name, "amiss") for name in names], START)
    assert message.subject == f"[zlh-hooks pve-1] something is amiss ({', '.join(names)})"
    assert "restart" not in message.text
    assert "journalctl -u zlh-hooks-worker" in message.text


def test_no_message_has_a_second_worker_started_by_hand() -> None:
    for name in ("worker", "proxmox"):
        assert "rollout watch" not in render_message(Word.ALARM, "pve-1", (FAULT, Fault(name, "amiss")), START).text


@pytest.mark.parametrize("word", [Word.WELL, Word.TEST])
def test_other_messages_give_nothing_to_do(word: Word) -> None:
    message = render_message(word, "pve-1", (), START)
    assert "systemctl" not in message.text
    assert message.subject.endswith({"well": "all is well again", "test": "this is a test"}[word])
