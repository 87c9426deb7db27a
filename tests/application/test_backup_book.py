"""The last good backup of each guest, from what the intake has recorded."""

from datetime import timedelta

from tests.clock import FakeClock
from tests.datacentre import MemoryLedger
from zlh_hooks.application.backup_book import BackupBook
from zlh_hooks.domain.guest_note import GuestKind, GuestNote, GuestPhase
from zlh_hooks.domain.note_book import draft_note

GUEST, HOUR = 5001, timedelta(hours=1)


class Bench:
    """What nodes have noted of backups."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.ledger = MemoryLedger(self.clock)
        self.book = BackupBook(self.ledger)

    def note(self, guest: int, phase: GuestPhase, ago: timedelta) -> None:
        noted = GuestNote(guest, phase, self.clock.now() - ago, "n1", GuestKind.LXC, "backup", "", False)
        self.ledger.append(draft_note(f"{guest}-{phase}-{ago}", noted, ""))


def test_the_latest_end_counts_whenever_it_was_recorded_and_other_phases_do_not() -> None:
    bench = Bench()
    bench.note(GUEST, GuestPhase.POST_STOP, HOUR)
    assert bench.book.find_last(GUEST) is None
    bench.note(GUEST, GuestPhase.BACKUP_END, 2 * HOUR)
    bench.note(GUEST, GuestPhase.BACKUP_END, 9 * HOUR)
    bench.note(GUEST + 1, GuestPhase.BACKUP_END, HOUR)
    assert bench.book.find_last(GUEST) == bench.clock.now() - 2 * HOUR
    bench.note(GUEST, GuestPhase.BACKUP_END, 30 * HOUR)
    assert bench.book.find_last(GUEST) == bench.clock.now() - 2 * HOUR, "a note that comes late"


def test_a_backup_noted_by_a_clock_in_the_future_counts_from_its_record_and_grows_old() -> None:
    bench = Bench()
    recorded = bench.clock.now()
    bench.note(GUEST, GuestPhase.BACKUP_END, timedelta(days=-30_000))
    assert bench.book.find_last(GUEST) == recorded
    bench.clock.sleep(9 * HOUR)
    assert bench.book.find_last(GUEST) == recorded
    bench.note(GUEST, GuestPhase.BACKUP_END, HOUR)
    assert bench.book.find_last(GUEST) == bench.clock.now() - HOUR
