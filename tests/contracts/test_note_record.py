"""What is found of notes in the ledger in memory, and by indexes in the one on disk, is the same."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.clock import START, FakeClock
from zlh_hooks.adapters.ledger import SqlLedger
from zlh_hooks.adapters.note_record import (
    SqlNoteRecord,
    select_changes,
    select_last_address,
    select_last_note,
    select_note,
)
from zlh_hooks.domain.entry import Draft, Entry, Kind
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.guest_change import draft_address, draft_told, read_changes
from zlh_hooks.domain.guest_note import GuestKind, GuestNote, GuestPhase
from zlh_hooks.domain.note_book import draft_note
from zlh_hooks.simulation.ledger import SimulatedLedger

SECOND = timedelta(seconds=1)
FILE = "20261123t040000.000000z-5012-post-stop-1.json"
AnyRecord = SimulatedLedger | SqlNoteRecord


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["in memory", "on disk"])
def record(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[AnyRecord]:
    if request.param == "in memory":
        yield SimulatedLedger(clock)
        return
    with closing(SqlLedger.open(tmp_path / "ledger.db", clock)) as ledger:
        yield SqlNoteRecord.open(ledger)


def note(record: AnyRecord, at: datetime = START, node: str = "a", guest: int = 5012, file: str = FILE) -> Entry:
    found = GuestNote(guest, GuestPhase.POST_STOP, at, node, GuestKind.LXC, "", "", False)
    return record.append(draft_note(file, found, ""))


def test_a_note_is_known_by_its_node_and_its_file_together(record: AnyRecord) -> None:
    assert not record.has_note("a", FILE)
    note(record)
    assert record.has_note("a", FILE)
    assert not record.has_note("b", FILE) and not record.has_note("a", f"{FILE}x")


def test_what_is_no_note_is_none_whatever_it_says(record: AnyRecord) -> None:
    record.append(Draft(Kind.NOTE, "said", target=5012, data={"node": "a", "file": FILE, "at": START.isoformat()}))
    assert not record.has_note("a", FILE)
    assert record.find_last_note(5012) is None


def test_the_last_note_is_the_guests_own_latest_in_whatever_order_they_came(record: AnyRecord) -> None:
    at = [START - seconds * SECOND for seconds in (30, 10, 20)]
    _, latest, _ = [note(record, one) for one in at]
    note(record, START, guest=5011)
    assert record.find_last_note(5012) == latest


def test_of_notes_of_one_moment_the_last_is_the_one_that_was_recorded_last(record: AnyRecord) -> None:
    assert [note(record), note(record)][-1] == record.find_last_note(5012)


def test_a_note_that_does_not_know_its_node_is_not_the_last(record: AnyRecord) -> None:
    first = note(record)
    note(record, START, node="")
    assert record.find_last_note(5012) == first


def test_a_note_from_the_future_is_as_old_as_its_record(record: AnyRecord, clock: FakeClock) -> None:
    note(record, START + timedelta(days=9000))
    clock.advance(SECOND)
    later = note(record, clock.now())
    assert record.find_last_note(5012) == later


def test_the_last_address_is_the_guests_own_and_the_one_that_was_recorded_last(record: AnyRecord) -> None:
    assert record.find_last_address(5012) is None
    guests = ((5012, "10.0.0.9"), (5012, "10.0.0.1"), (5011, "10.0.0.2"))
    _, latest, _ = [record.append(draft_address(GuestRef(vmid, "a"), address, "")) for vmid, address in guests]
    assert record.find_last_address(5012) == latest


def test_changes_are_moves_and_other_addresses_and_who_was_told_of_them_since_then(
    record: AnyRecord, clock: FakeClock
) -> None:
    def change() -> list[Entry]:
        moved = record.append(
            draft_note(FILE, GuestNote(5012, GuestPhase.POST_START, START, "a", GuestKind.LXC, "", "", False), "b")
        )
        changed = record.append(draft_address(GuestRef(5012, "a"), "10.0.0.2", "10.0.0.1"))
        record.append(draft_address(GuestRef(5012, "a"), "10.0.0.1", ""))
        record.append(Draft(Kind.NOTE, "said", target=5012, data={"moved_from": "b", "was": "c"}))
        return [moved, changed, record.append(draft_told("mail", list(read_changes([moved, changed])), "250"))]

    old = change()
    assert list(record.read_changes(START)) == old
    clock.advance(SECOND)
    since = clock.now()
    assert record.read_changes(since) == ()
    new = change()
    assert list(record.read_changes(since)) == new


def test_a_ledger_from_before_gets_its_indexes_and_answers_by_them_alone(tmp_path: Path, clock: FakeClock) -> None:
    with closing(SqlLedger.open(tmp_path / "ledger.db", clock)) as ledger:
        ledger.append(Draft(Kind.NOTE, "said"))
        recorded = ledger.append(
            draft_note(FILE, GuestNote(5012, GuestPhase.POST_STOP, START, "a", GuestKind.LXC, "", "", False), "")
        )
        for _ in range(2):
            opened = SqlNoteRecord.open(ledger)
        assert opened.has_note("a", FILE) and opened.find_last_note(5012) == recorded
        queries = {
            "ledger_entry_of_note": select_note("a", FILE),
            "ledger_entry_of_noted_guest": select_last_note(5012),
            "ledger_entry_of_address": select_last_address(5012),
            "ledger_entry_of_guest_change": select_changes(START),
        }
        for index, query in queries.items():
            words = query.compile(ledger.database.engine)
            values = tuple(words.params[name] for name in words.positiontup or ())
            with ledger.database.reading() as connection:
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {words}", values).all()
            assert [step.detail.partition(" (")[0] for step in plan] == [f"SEARCH ledger_entry USING INDEX {index}"]
