"""The last good backup of each guest, from what the intake has recorded."""

from datetime import timedelta

from tests.clock import FakeClock
from tests.datacentre import MemoryLedger
from zlh_hooks.application.backup_book import BackupBook
from zlh_hooks.domain.guest_note import GuestKind, GuestNote, GuestPhase
from zlh_hooks.domain.note_book import draft_note

GUEST, HOUR = 5001, timedelta(hours=1)


def test_the_latest_end_counts_whenever_it_was_recorded_and_other_phases_do_not() -> None:
    clock = FakeClock()
    ledger = MemoryLedger(clock)

    def note(guest: int, phase: GuestPhase, ago: timedelta) -> None:
        noted = GuestNote(guest, phase, clock.now() - ago, "n1", GuestKind.LXC, "backup", "", False)
        ledger.append(draft_note(f"{guest}-{phase}-{ago}", noted, ""))

    book = BackupBook(ledger)
    note(GUEST, GuestPhase.POST_STOP, HOUR)
    assert book.find_last(GUEST) is None
    note(GUEST, GuestPhase.BACKUP_END, 2 * HOUR)
    note(GUEST, GuestPhase.BACKUP_END, 9 * HOUR)
    note(GUEST + 1, GuestPhase.BACKUP_END, HOUR)
    assert book.find_last(GUEST) == clock.now() - 2 * HOUR
    note(GUEST, GuestPhase.BACKUP_END, 30 * HOUR)
    assert book.find_last(GUEST) == clock.now() - 2 * HOUR, "a note that comes late"
