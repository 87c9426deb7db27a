"""The append-only record on SQL: every entry chained to the one before, on disk when it is returned."""

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Executable, Row, insert, select

from zlh_hooks.adapters.database import ENTRY_TABLE, WATCHER, Database, guarded, parse_time, render_time, write_whole
from zlh_hooks.adapters.lease import SqlLease, check_fence
from zlh_hooks.application.ports import Clock, LeaseHolder
from zlh_hooks.domain.audit import find_break
from zlh_hooks.domain.entry import GENESIS, Draft, Entry, Kind, chain_digest
from zlh_hooks.domain.errors import LedgerBroken, SettingsError

_STORED = {column.name: column.type.python_type for column in ENTRY_TABLE.columns} | {"target": int | None}
"""The type of each stored value; SQLite itself would take and give any."""


@dataclass(frozen=True, slots=True)
class SqlLedger:
    """The Ledger port; ``lease`` is the WorkerLease port on the same file. For all threads of a process.

    With a ``fence``, appends are those of a worker: they end when its lease does.
    """

    database: Database
    clock: Clock
    fence: LeaseHolder | None = None

    @classmethod
    def open(cls, path: Path, clock: Clock) -> "SqlLedger":
        """Open or create the file. ``SettingsError`` if it is no ledger, or one of a newer zlh-hooks."""
        return cls(Database(path), clock)

    @property
    def lease(self) -> SqlLease:
        """Who executes what this ledger holds."""
        return SqlLease(self.database, self.clock)

    @property
    def watch_lease(self) -> SqlLease:
        """Who watches from outside and records it here."""
        return SqlLease(self.database, self.clock, WATCHER)

    def fenced(self, lease: LeaseHolder) -> "SqlLedger":
        """The same ledger for the holder of ``lease``: appends raise ``LeaseLost`` once it is lost or given back."""
        return replace(self, fence=lease)

    def append(self, draft: Draft) -> Entry:
        """Record as the next of the chain; on disk when it returns. Data that is not JSON raises, as a bug does."""
        plain = replace(draft, data=json.loads(_render_data(draft.data)))
        with self.database.writing() as connection:
            if self.fence is not None:
                check_fence(connection, self.fence)
            entry = _chain(plain, self.clock.now(), _read_last(connection))
            connection.execute(insert(ENTRY_TABLE), _render_row(entry))
        return entry

    def read(self, rollout: str | None = None, after: int = 0) -> tuple[Entry, ...]:
        """Entries with a sequence above ``after``, oldest first; of one rollout, or of all if None.

        ``LedgerBroken`` names the entry that somebody made unreadable.
        """
        query = select(ENTRY_TABLE).where(ENTRY_TABLE.c.sequence > after).order_by(ENTRY_TABLE.c.sequence)
        if rollout is not None:
            query = query.where(ENTRY_TABLE.c.rollout == rollout)
        return self.find(query)

    def find(self, query: Executable) -> tuple[Entry, ...]:
        """What a query for whole entries finds; ``LedgerBroken`` as above."""
        with self.database.reading() as connection:
            rows = connection.execute(query).all()
        return tuple(self._parse(row) for row in rows)

    def verify(self) -> tuple[Entry, ...]:
        """Every entry, once file and chain were found whole; else ``LedgerBroken`` says what is not."""
        entries = self.read()
        found = find_break(entries)
        if found is not None:
            raise LedgerBroken(f"{self.database.path}: {found}")
        self.database.check_pages()
        return entries

    def copy_to(self, destination: Path) -> None:
        """Write a consistent copy (0600) while others append.

        It appears once its chain is verified, else ``LedgerBroken``; ``SettingsError`` if ``destination`` exists.
        """
        with guarded(destination):
            try:
                write_whole(destination, self._write_copy)
            except FileExistsError as error:
                raise SettingsError(str(destination), "DESTINATION", "an existing file", "a new name") from error

    def close(self) -> None:
        """Close every connection of this process."""
        self.database.close()

    def _parse(self, row: Row[Any]) -> Entry:
        try:
            return _parse_row(row)
        except (TypeError, ValueError) as error:
            raise LedgerBroken(
                f"{self.database.path}: entry {row.sequence} is not as it was written: {error}"
            ) from error

    def _write_copy(self, path: Path) -> None:
        self.database.check_pages()
        self.database.back_up(path)
        with closing(SqlLedger.open(path, self.clock)) as copy:
            found = find_break(copy.read())
        if found is not None:
            raise LedgerBroken(f"{self.database.path}: {found}; not copied")


def _chain(draft: Draft, at: datetime, last: tuple[int, str]) -> Entry:
    sequence, previous = last[0] + 1, last[1]
    digest = chain_digest(sequence, at, draft, previous)
    return Entry(sequence, at, draft.kind, draft.name, draft.rollout, draft.target, draft.data, previous, digest)


def _read_last(connection: Connection) -> tuple[int, str]:
    columns = select(ENTRY_TABLE.c.sequence, ENTRY_TABLE.c.digest)
    row = connection.execute(columns.order_by(ENTRY_TABLE.c.sequence.desc()).limit(1)).one_or_none()
    return (row.sequence, row.digest) if row is not None else (0, GENESIS)


def _render_data(data: Mapping[str, Any]) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _render_row(entry: Entry) -> dict[str, object]:
    values = {field.name: getattr(entry, field.name) for field in fields(entry)}
    return values | {"at": render_time(entry.at), "kind": entry.kind.value, "data": _render_data(entry.data)}


def _parse_row(row: Row[Any]) -> Entry:
    for column, kind in _STORED.items():
        if not isinstance(getattr(row, column), kind):
            raise TypeError(f"{column} is {getattr(row, column)!r}")
    values = dict(row._mapping) | {"at": parse_time(row.at), "kind": Kind(row.kind), "data": _parse_data(row.data)}
    return Entry(**values)


def _parse_data(text: str) -> Mapping[str, Any]:
    data = json.loads(text)
    if not isinstance(data, dict) or _render_data(data) != text:
        raise ValueError(f"data is {text!r}")
    return data
