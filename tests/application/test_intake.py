"""Notes become entries: each once, in their order, and whatever is broken loses none."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.clock import START, FakeClock
from tests.fuse import Fuse
from tests.note_file import read_note, write_note
from zlh_hooks.adapters.spool import BAD, open_spool
from zlh_hooks.application.intake import Intake, Taken
from zlh_hooks.application.ports import Spool
from zlh_hooks.domain.entry import Draft, Entry
from zlh_hooks.domain.errors import RoadError
from zlh_hooks.domain.note_book import PHASE
from zlh_hooks.simulation.ledger import SimulatedLedger

SECOND = timedelta(seconds=1)
RESTART = ("pre-stop", "post-stop", "pre-start", "post-start")


@dataclass
class Bench:
    """One node's spool and the ledger that its notes come into."""

    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)
    said: list[str] = field(default_factory=list)
    seconds: int = 0

    def __post_init__(self) -> None:
        self.ledger = SimulatedLedger(self.clock)

    def note(self, guest: int, phase: str, **changed: Any) -> str:
        """A second after the one before, which has passed for the controller too."""
        self.seconds += 1
        self.clock.sleep(SECOND)
        return write_note(self.folder, START + self.seconds * SECOND, guest, phase, **changed)

    def take_in(self, ledger: Any = None, around: Callable[[Spool], Spool] = lambda spool: spool) -> Taken:
        with open_spool(self.folder, self.clock) as spool:
            return Intake(around(spool), ledger or self.ledger, self.said.append).run()

    def recorded(self) -> list[tuple[int | None, str]]:
        return [(entry.target, entry.data["phase"]) for entry in self.ledger.read() if entry.name == PHASE]

    def left(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_end_of_a_good_backup_is_recorded_too(bench: Bench) -> None:
    bench.note(5001, "backup-end", lock="backup")
    assert bench.take_in().notes == 1
    assert bench.recorded() == [(5001, "backup-end")]


def test_each_note_becomes_an_entry_in_its_order_and_goes(bench: Bench) -> None:
    expected = [(guest, phase) for phase in RESTART for guest in (5012, 5011)]
    names = [bench.note(guest, phase) for guest, phase in expected]
    assert bench.take_in() == Taken(8, frozenset({5011, 5012}), started=frozenset({5011, 5012}))
    assert bench.recorded() == expected
    assert [entry.data["file"] for entry in bench.ledger.read()] == names
    assert (bench.left(), bench.said) == ([], [])


def test_an_entry_says_all_that_the_note_said(bench: Bench) -> None:
    name = bench.note(5012, "pre-start", lock="migrate", migrated_from="pve-2", kind="qemu")
    bench.take_in()
    (entry,) = bench.ledger.read()
    assert (entry.rollout, entry.target) == ("", 5012)
    assert entry.data == {
        "file": name,
        "phase": "pre-start",
        "at": "2026-11-23T04:00:01.000000+00:00",
        "node": "pve-1",
        "kind": "qemu",
        "lock": "migrate",
        "migrated_from": "pve-2",
        "vetoed": False,
        "moved_from": "",
    }


def test_an_empty_spool_records_nothing(bench: Bench) -> None:
    assert bench.take_in() == Taken(0, frozenset())
    assert bench.ledger.read() == ()


def test_post_stops_that_are_missing_or_come_twice_are_taken_as_they_are(bench: Bench) -> None:
    phases = ["post-start", "post-stop", "post-stop", "post-start", "pre-start", "post-start"]
    for phase in phases:
        bench.note(5012, phase)
    assert bench.take_in().notes == len(phases)
    assert [phase for _, phase in bench.recorded()] == phases


def test_a_file_that_comes_again_is_not_recorded_again_and_goes(bench: Bench) -> None:
    name = bench.note(5012, "post-stop")
    text = read_note(bench.folder / name)
    bench.take_in()
    (bench.folder / name).symlink_to(text)
    assert bench.take_in() == Taken(1, frozenset({5012}))
    assert (len(bench.recorded()), bench.left()) == (1, [])


def test_what_comes_while_it_reads_is_taken_too(bench: Bench) -> None:
    bench.note(5012, "pre-stop")

    class Busy(SimulatedLedger):
        def append(self, draft: Draft) -> Entry:
            if draft.data["phase"] == "pre-stop":
                bench.note(5012, "post-stop")
            return super().append(draft)

    assert bench.take_in(Busy(bench.clock)).notes == 2
    assert bench.left() == []


# --- what is no note


BROKEN = {
    "20261123t040000.000000z-5012-post-stop-1.json": "",
    "20261123t040000.000001z-5012-post-stop-1.json": "{}",
    "20261123t040000.000002z-5012-post-stop-1.json": '{"format":2,"event":"guest"}',
    "20261123t040000.000003z-5012-post-stop-1.json": "[" * 1000,
    "20261123t040000.000004z-5012-post-stop-1.json": "x" * 5000,
    "README\x1b[2J": "hello",
}


def test_what_is_no_note_is_set_aside_with_a_line_and_keeps_no_other_waiting(bench: Bench) -> None:
    for name, text in BROKEN.items():
        (bench.folder / name).write_text(text)
    bench.note(5012, "post-stop")
    assert bench.take_in() == Taken(1, frozenset({5012}))
    assert bench.left() == [BAD]
    assert {path.name: path.read_text() for path in (bench.folder / BAD).iterdir()} == BROKEN
    assert len(bench.said) == len(BROKEN)
    assert all(" is no note and is set aside: " in line and line.isprintable() for line in bench.said)
    assert bench.take_in() == Taken(0, frozenset())
    assert len(bench.said) == len(BROKEN)


def test_where_it_cannot_be_set_aside_the_others_are_taken_all_the_same_and_that_is_told(bench: Bench) -> None:
    (bench.folder / BAD).touch()  # in the way of the folder
    (bench.folder / "0").touch()
    bench.note(5012, "post-stop")
    taken = bench.take_in()
    assert (taken.notes, [str(error) for error in taken.left]) == (1, [f"{bench.folder}: 'bad': Not a directory"])
    assert bench.left() == ["0", BAD]
    assert bench.said == ["'0' is no note and is left: its name is none of a note"]


# --- moves


def test_a_guest_that_moved_is_told_once_and_recorded(bench: Bench) -> None:
    for phase, node in (("pre-stop", "a"), ("post-stop", "a"), ("pre-start", "b"), ("post-start", "b")):
        bench.note(5012, phase, node=node)
    bench.take_in()
    assert bench.said == ["guest 5012 moved from a to b, noted at its pre-start"]
    assert [entry.data["moved_from"] for entry in bench.ledger.read()] == ["", "", "a", ""]


def test_a_move_is_seen_though_the_other_node_was_noted_in_an_earlier_intake(bench: Bench) -> None:
    bench.note(5012, "post-stop", node="a")
    bench.take_in()
    bench.note(5012, "pre-start", node="b", migrated_from="a")
    bench.take_in()
    assert bench.said == ["guest 5012 moved from a to b, noted at its pre-start"]


def test_a_note_by_a_clock_in_the_future_hides_no_later_move(bench: Bench) -> None:
    write_note(bench.folder, START + timedelta(days=9000), 5012, "post-stop", node="a")
    bench.take_in()
    bench.note(5012, "pre-start", node="b")
    bench.note(5012, "post-start", node="b")
    bench.take_in()
    assert bench.said == ["guest 5012 moved from a to b, noted at its pre-start"]


def test_a_note_that_comes_late_or_does_not_know_its_node_tells_of_no_move(bench: Bench) -> None:
    bench.note(5012, "post-start", node="b")
    bench.take_in()
    write_note(bench.folder, START, 5012, "post-stop", node="a")
    bench.note(5012, "pre-stop", node="")
    bench.note(5012, "post-stop", node="b")
    assert (bench.take_in().notes, bench.said) == (3, [])


# --- what is broken


class Killed(BaseException):
    """Nothing of this process runs any more."""


@pytest.mark.parametrize("error", [Killed, RoadError])
def test_wherever_it_ends_the_next_one_has_each_note_once(
    tmp_path: Path, error: type[BaseException], record_property: Callable[[str, object], None]
) -> None:
    def burn() -> None:
        raise error("here")

    for point in count(1):
        fuse = Fuse(point, burn)
        check_taken_in_once(tmp_path / str(point), fuse, error)
        if not fuse.has_blown:
            break
    assert fuse.count > 20
    record_property("points", fuse.count)


def check_taken_in_once(folder: Path, fuse: Fuse, error: type[BaseException]) -> None:
    folder.mkdir()
    bench = Bench(folder)
    (folder / "0").write_text("no note")
    expected = [(guest, phase) for guest in (5012, 5011) for phase in ("post-stop", "post-start")]
    for guest, phase in expected:
        bench.note(guest, phase)
    with suppress(error):
        bench.take_in(fuse.wrap(bench.ledger), fuse.wrap)
    bench.take_in()
    assert bench.recorded() == expected
    assert bench.left() == [BAD]
    assert (folder / BAD / "0").read_text() == "no note"
