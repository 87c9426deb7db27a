"""The dead man's switch on a simulated site: what it finds amiss, and that nothing keeps it from telling."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from threading import Event
from typing import Any

import pytest

from tests.application.rollout_bench import Bench
from tests.clock import FakeClock
from zlh_hooks.application.controller_lock import ControllerLock
from zlh_hooks.application.dead_man import DeadMan, Grounds, Sight, Ways, look
from zlh_hooks.application.ports import LeaseHolder
from zlh_hooks.domain.dead_man import Fault, Memory, Word
from zlh_hooks.domain.entry import Draft, Entry, Kind
from zlh_hooks.domain.errors import RoadError, SettingsError
from zlh_hooks.domain.notice import Message
from zlh_hooks.domain.steps import RolloutEvent

MINUTE = timedelta(minutes=1)
AMISS = Sight((Fault("worker", "no worker is at work"),))


@dataclass
class Phone:
    """A way to somebody on duty. ``hangs``: until that is set."""

    name: str = "mail"
    fault: str | Exception = ""
    heard: list[str] = field(default_factory=list)
    hangs: Event | None = None

    def raise_alarm(self, message: Message) -> None:
        if self.hangs is not None:
            self.hangs.wait()
        if self.fault:
            raise self.fault if isinstance(self.fault, Exception) else RoadError(self.fault)
        self.heard.append(str(message.facts["word"]))


@dataclass
class Nurse:
    """A service elsewhere."""

    fault: str = ""
    beats: int = 0

    def beat(self) -> None:
        if self.fault:
            raise RoadError(self.fault)
        self.beats += 1


@dataclass
class Notebook:
    """What is remembered; a disk that is full keeps nothing."""

    is_full: bool = False
    memory: Memory = field(default_factory=Memory)

    def read(self) -> Memory:
        return self.memory

    def write(self, memory: Memory) -> None:
        if self.is_full:
            raise SettingsError("memory.json", "file", "no space left", "a place that can be written")
        self.memory = memory


@dataclass
class Switch:
    """One with its ways; ``find`` is what its next look sees."""

    phones: Sequence[Phone]
    nurse: Nurse = field(default_factory=Nurse)
    notebook: Notebook = field(default_factory=Notebook)
    sight: Sight = field(default_factory=lambda: Sight(()))
    clock: FakeClock = field(default_factory=FakeClock)
    said: list[str] = field(default_factory=list)
    broken: tuple[Fault, ...] = ()
    patience: timedelta = MINUTE

    def open(self) -> DeadMan:
        ways = Ways(self.phones, self.nurse, self.broken)
        return DeadMan(
            "pve-1", self.find, ways, self.notebook, self.clock, self.said.append, self.patience, self.patience
        )

    def find(self, _: Memory) -> Sight:
        return self.sight

    def run(self, looks: int = 1) -> list[bool]:
        """So many looks, a minute apart; whether each found and left all in order."""
        done = []
        for _ in range(looks):
            done.append(self.open().run())
            self.clock.sleep(MINUTE)
        return done


# --- telling


def test_while_all_is_well_the_heartbeat_is_called_at_each_look_and_nobody_is_told() -> None:
    switch = Switch([Phone()])
    assert switch.run(3) == [True] * 3
    assert (switch.nurse.beats, switch.phones[0].heard) == (3, [])


def test_while_something_is_amiss_the_heartbeat_is_silent_from_the_first_look_on() -> None:
    switch = Switch([Phone()], sight=AMISS)
    assert switch.run(2) == [False, False]
    assert (switch.nurse.beats, switch.phones[0].heard) == (0, ["alarm"])
    assert switch.said == ["worker: no worker is at work"] * 2


def test_a_way_that_is_broken_keeps_no_other_from_telling_and_is_tried_again() -> None:
    switch = Switch([Phone("mail", "no connection"), Phone("webhook")], sight=AMISS)
    switch.run(4)
    assert [phone.heard for phone in switch.phones] == [[], ["alarm"]]
    assert switch.said.count("mail: no connection") == 3
    switch.phones[0].fault = ""
    switch.run(3)
    assert [phone.heard for phone in switch.phones] == [["alarm"], ["alarm"]]


def test_a_bug_in_one_way_keeps_no_other_from_telling_and_its_words_stay_inside() -> None:
    switch = Switch([Phone("webhook", ValueError("s3cret")), Phone("mail")], sight=AMISS)
    switch.run(2)
    assert switch.phones[1].heard == ["alarm"]
    assert "webhook: an error that nobody foresaw (ValueError)" in switch.said
    assert "s3cret" not in str(switch.said)


def test_a_way_that_cannot_be_used_is_told_by_the_others_and_silences_the_heartbeat() -> None:
    switch = Switch([Phone("mail")], broken=(Fault("webhook", "mode 0644"),))
    assert switch.run(2) == [False, False]
    assert (switch.phones[0].heard, switch.nurse.beats) == (["alarm"], 0)
    assert switch.said == ["webhook: mode 0644"] * 2
    assert switch.open().test() is False


def test_a_bug_in_the_look_is_told() -> None:
    class Mistaken(Switch):
        def find(self, _: Memory) -> Sight:
            raise ValueError("s3cret")

    switch = Mistaken([Phone()])
    assert switch.run(2) == [False, False]
    assert (switch.phones[0].heard, switch.nurse.beats) == (["alarm"], 0)
    assert switch.said == ["look: the look failed: an error that nobody foresaw (ValueError)"] * 2


@pytest.fixture
def forever() -> Iterator[Event]:
    """What nobody waits for to its end."""
    event = Event()
    yield event
    event.set()


def test_a_look_that_hangs_is_told(forever: Event) -> None:
    class Waiting(Switch):
        def find(self, _: Memory) -> Sight:
            forever.wait()
            return Sight(())

    switch = Waiting([Phone()], patience=timedelta(milliseconds=50))
    assert switch.run(2) == [False, False]
    assert switch.phones[0].heard == ["alarm"]
    assert "look: the look failed: no end after 0.05 s" in switch.said


def test_a_server_that_hangs_keeps_neither_the_heartbeat_nor_the_look_waiting_and_is_tried_again(
    forever: Event,
) -> None:
    switch = Switch([Phone("mail"), Phone("webhook")], sight=AMISS, patience=timedelta(milliseconds=50))
    switch.run(3)
    switch.phones[0].hangs = forever
    switch.sight = Sight(())
    assert switch.run(13) == [True] * 10 + [False] * 3
    assert switch.nurse.beats == 13
    assert switch.phones[1].heard == ["alarm", "well"]
    assert switch.said[-1] == "mail: no end after 0.05 s"


def test_recovery_is_told_once_to_each() -> None:
    switch = Switch([Phone("mail"), Phone("webhook")], sight=AMISS)
    switch.run(3)
    switch.sight = Sight(())
    assert switch.run(30) == [True] * 30
    assert [phone.heard for phone in switch.phones] == [["alarm", "well"]] * 2


def test_where_nothing_can_be_remembered_people_are_told_all_the_same() -> None:
    switch = Switch([Phone()], sight=AMISS)
    switch.run(1)
    switch.notebook.is_full = True
    assert switch.run(2) == [False, False]
    assert switch.phones[0].heard == ["alarm", "alarm"]


def test_a_switch_that_could_never_keep_anything_tells_at_its_first_look() -> None:
    switch = Switch([Phone()], notebook=Notebook(is_full=True), sight=AMISS)
    assert switch.run() == [False]
    assert switch.phones[0].heard == ["alarm"]


def test_a_heartbeat_that_is_not_taken_is_no_success() -> None:
    switch = Switch([Phone()], Nurse("answered 404"))
    assert switch.run() == [False]
    assert switch.said == ["heartbeat: answered 404"]


def test_a_test_goes_every_way_is_remembered_nowhere_and_says_which_way_is_broken() -> None:
    switch = Switch([Phone("mail"), Phone("webhook", "no connection")], sight=AMISS)
    assert switch.open().test() is False
    assert (switch.phones[0].heard, switch.nurse.beats) == ([Word.TEST], 1)
    assert (switch.said, switch.notebook.memory) == (["webhook: no connection"], Memory())
    switch.phones[1].fault = ""
    assert switch.open().test() is True


# --- looking


@dataclass
class Site:
    """A site of which a worker may have died."""

    bench: Bench = field(default_factory=lambda: Bench().furnish(2))
    lease: LeaseHolder | None = None

    def look(self, ledger: Any = None) -> list[str]:
        return [fault.name for fault in self.see(Memory(), ledger).faults]

    def see(self, memory: Memory, ledger: Any = None) -> Sight:
        cluster = self.bench.datacentre.cluster
        grounds = Grounds(
            lambda: ledger or self.bench.ledger, lambda: self.lease, lambda: cluster.inventory, "one-ab12"
        )
        return look(grounds, memory, self.bench.clock)

    def live(self) -> None:
        self.lease = LeaseHolder("one-ab12", 1, self.bench.clock.now() + MINUTE)


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_site_without_work_or_without_a_ledger_misses_no_worker(site: Site) -> None:
    assert site.look() == []
    grounds = Grounds(lambda: None, lambda: None, lambda: site.bench.datacentre.cluster.inventory, "one-ab12")
    assert look(grounds, Memory(), site.bench.clock) == Sight(())


def test_a_planned_rollout_without_a_worker_is_a_fault_and_with_one_it_is_none(site: Site) -> None:
    site.bench.submit("2")
    assert site.look() == ["worker"]
    site.live()
    assert site.look() == []
    site.bench.clock.sleep(MINUTE)
    assert site.look() == ["worker"]


def test_a_rollout_that_soaks_needs_a_worker_until_its_guests_are_at_their_end(site: Site) -> None:
    site.bench.run("2")
    assert site.look() == ["worker"]
    site.live()
    assert site.look() == []


def test_another_controller_is_a_fault_while_a_rollout_is_in_hand(site: Site) -> None:
    begin(site)
    ControllerLock(site.bench.datacentre.cluster, site.bench.clock, "two-cd34").take()
    assert site.look() == ["controller-lock"]


def test_our_own_claim_is_none(site: Site) -> None:
    begin(site)
    ControllerLock(site.bench.datacentre.cluster, site.bench.clock, "one-ab12").take()
    assert site.look() == []


def test_proxmox_that_does_not_answer_is_a_fault_while_a_rollout_is_in_hand(site: Site) -> None:
    begin(site)
    site.bench.datacentre.faults.refuse("list_guests", RoadError("no route to host"), times=10)
    assert site.look() == ["proxmox"]


def begin(site: Site) -> None:
    """A rollout that its worker has in hand."""
    plan = site.bench.submit("2")
    site.bench.ledger.append(Draft(Kind.EVENT, RolloutEvent.STARTED, plan.id))
    site.live()


def test_a_ledger_that_cannot_be_read_is_a_fault(site: Site) -> None:
    class Locked:
        def read(self, *_: object) -> Any:
            raise RoadError("the ledger is locked")

    assert site.look(Locked()) == ["ledger"]


def test_a_ledger_that_was_changed_is_a_fault(site: Site) -> None:
    begin(site)

    class Forged:
        def read(self, *words: Any) -> Any:
            return site.bench.ledger.read(*words)[1:]

    assert site.look(Forged()) == ["ledger"]


# --- what is read at each look


@dataclass
class Counting:
    """A ledger that counts what it gave; ``forge`` may change that."""

    ledger: Any
    given: int = 0
    forge: Callable[[Entry], Entry] = lambda entry: entry
    kept: int = 1_000_000

    def read(self, rollout: str | None = None, after: int = 0) -> tuple[Entry, ...]:
        entries = [self.forge(one) for one in self.ledger.read(rollout, after) if one.sequence <= self.kept]
        self.given += len(entries)
        return tuple(entries)


@dataclass
class Watch:
    """One look after another on the same site, each with what the one before has left."""

    site: Site
    memory: Memory = field(default_factory=Memory)

    def look(self, ledger: Any = None) -> list[str]:
        sight = self.site.see(self.memory, ledger)
        assert [fault.name for fault in sight.faults] == self.site.look(ledger)
        self.memory = replace(self.memory, checked=sight.checked or self.memory.checked)
        return [fault.name for fault in sight.faults]


def write_notes(site: Site, count: int) -> None:
    for number in range(count):
        site.bench.ledger.append(Draft(Kind.NOTE, f"hook {number}"))


def test_a_look_at_many_notes_and_no_rollout_reads_what_is_new(site: Site) -> None:
    write_notes(site, 50)
    memory = Memory(checked=site.see(Memory()).checked)
    write_notes(site, 2)
    counting = Counting(site.bench.ledger)
    assert site.see(memory, counting).faults == ()
    assert counting.given == 3  # the last one of the look before, by which it knows the ledger again


def test_whatever_becomes_of_rollouts_what_is_remembered_changes_nothing_in_what_is_found(site: Site) -> None:
    watch, bench = Watch(site), site.bench
    assert watch.look() == []
    first = bench.submit("2")
    assert watch.look() == ["worker"]
    bench.work(first)
    assert watch.look() == watch.look() == ["worker"]  # it soaks
    bench.tend(first, timedelta(hours=30))
    assert (watch.look(), watch.memory.checked.rollouts) == ([], frozenset())
    second = bench.submit("3")
    assert watch.look() == ["worker"]
    bench.ledger.append(Draft(Kind.COMMAND, "revert", first.id))
    assert watch.look() == ["worker"]
    bench.ledger.append(Draft(Kind.EVENT, RolloutEvent.ABORTED, second.id))
    assert (watch.look(), watch.memory.checked.rollouts) == (["worker"], {first.id})  # is still ordered back


@pytest.mark.parametrize("which", ["new", "of an open rollout"])
def test_an_entry_that_was_changed_since_is_a_fault_at_each_look(site: Site, which: str) -> None:
    begin(site)
    watch = Watch(site)
    assert watch.look() == []
    write_notes(site, 1)
    number = len(site.bench.ledger.read()) if which == "new" else 1
    forged = Counting(site.bench.ledger, forge=lambda one: replace(one, name="x") if one.sequence == number else one)
    assert watch.look(forged) == watch.look(forged) == ["ledger"]


def test_a_ledger_that_came_back_from_a_copy_is_read_anew_and_is_no_fault(site: Site) -> None:
    begin(site)
    watch = Watch(site)
    write_notes(site, 3)
    assert watch.look() == []
    assert watch.look(Counting(site.bench.ledger, kept=2)) == []
    assert watch.memory.checked.sequence == 2


def test_another_ledger_in_its_place_is_read_anew_too(site: Site) -> None:
    watch, other = Watch(site), Site()
    write_notes(site, 2)
    assert watch.look() == []
    other.bench.submit("2")
    write_notes(other, 3)
    assert watch.look(other.bench.ledger) == ["worker"]
