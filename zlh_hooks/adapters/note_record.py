"""Notes found in the ledger's rows by indexes, which SQLite keeps in the same commit as the rows."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, select, text

from zlh_hooks.adapters.database import ENTRY_TABLE, render_time
from zlh_hooks.adapters.ledger import SqlLedger
from zlh_hooks.domain.entry import Draft, Entry
from zlh_hooks.domain.guest_change import ADDRESS, TOLD
from zlh_hooks.domain.note_book import PHASE

_IS_NOTE = f"name = '{PHASE}'"
_NODE, _FILE = "json_extract(data, '$.node')", "json_extract(data, '$.file')"
_HAS_NODE = f"{_NODE} <> ''"
_PAST = "min(json_extract(data, '$.at'), at)"
"""Both are written by ``isoformat``, in UTC and with microseconds, so that as texts they sort as times do."""
_IS_ADDRESS = f"name = '{ADDRESS}'"
_IS_CHANGE = (
    f"(({_IS_NOTE} AND json_extract(data, '$.moved_from') <> '') "
    f"OR ({_IS_ADDRESS} AND json_extract(data, '$.was') <> '') OR name = '{TOLD}')"
)
INDEXES = {
    "ledger_entry_of_note": f"({_NODE}, {_FILE}) WHERE {_IS_NOTE}",
    "ledger_entry_of_noted_guest": f"(target, {_PAST}, sequence) WHERE {_IS_NOTE} AND {_HAS_NODE}",
    "ledger_entry_of_address": f"(target, sequence) WHERE {_IS_ADDRESS}",
    "ledger_entry_of_guest_change": f"(at) WHERE {_IS_CHANGE}",
}
"""SQLite takes one for a query that has the same conditions in the same words."""


@dataclass(frozen=True, slots=True)
class SqlNoteRecord:
    """The NoteRecord port."""

    ledger: SqlLedger

    @classmethod
    def open(cls, ledger: SqlLedger) -> "SqlNoteRecord":
        """A ledger that has no such indexes gets them once, which takes seconds: see benchmarks/intake.py."""
        with ledger.database.reading() as connection:
            found = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'index'")).scalars().all()
        if not INDEXES.keys() <= set(found):
            with ledger.database.writing() as connection:
                for name, what in INDEXES.items():
                    connection.execute(text(f"CREATE INDEX IF NOT EXISTS {name} ON {ENTRY_TABLE.name} {what}"))
        return cls(ledger)

    def append(self, draft: Draft) -> Entry:
        """Record."""
        return self.ledger.append(draft)

    def has_note(self, node: str, file: str) -> bool:
        """Whether it is recorded."""
        return bool(self.ledger.find(select_note(node, file)))

    def find_last_note(self, guest: int) -> Entry | None:
        """The guest's latest."""
        return next(iter(self.ledger.find(select_last_note(guest))), None)

    def find_last_address(self, guest: int) -> Entry | None:
        """What was recorded last."""
        return next(iter(self.ledger.find(select_last_address(guest))), None)

    def read_changes(self, since: datetime) -> tuple[Entry, ...]:
        """Of guests, and that they were told."""
        return tuple(sorted(self.ledger.find(select_changes(since)), key=lambda one: one.sequence))


def select_note(node: str, file: str) -> Select[tuple[object, ...]]:
    """The entry of that file of that node."""
    is_it = text(f"{_NODE} = :node"), text(f"{_FILE} = :file")
    return select(ENTRY_TABLE).where(text(_IS_NOTE), *is_it).limit(1).params(node=node, file=file)


def select_last_note(guest: int) -> Select[tuple[object, ...]]:
    """The guest's latest that says at which node it was."""
    where = text(_IS_NOTE), text(_HAS_NODE), ENTRY_TABLE.c.target == guest
    return select(ENTRY_TABLE).where(*where).order_by(text(f"{_PAST} DESC"), ENTRY_TABLE.c.sequence.desc()).limit(1)


def select_last_address(guest: int) -> Select[tuple[object, ...]]:
    """What was recorded last of where the guest answers."""
    is_it = text(_IS_ADDRESS), ENTRY_TABLE.c.target == guest
    return select(ENTRY_TABLE).where(*is_it).order_by(ENTRY_TABLE.c.sequence.desc()).limit(1)


def select_changes(since: datetime) -> Select[tuple[object, ...]]:
    """Changes of guests, and that the operator was told."""
    return select(ENTRY_TABLE).where(text(_IS_CHANGE), ENTRY_TABLE.c.at >= render_time(since))
