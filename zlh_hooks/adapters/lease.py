"""The right to execute what one ledger holds, and to watch for it: a row each, its number grows with each take-over."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, Connection, Row, insert, select, update

from zlh_hooks.adapters.database import LEASE_TABLE, WATCHER, WORKER, Database, parse_time, render_time
from zlh_hooks.application.ports import Clock, LeaseHolder
from zlh_hooks.domain.errors import LeaseLost, NotAllowed

_DOES = {WORKER: "executes what", WATCHER: "watches for what"}


@dataclass(frozen=True, slots=True)
class SqlLease:
    """The WorkerLease port. Who holds it is decided in one transaction; time is the clock's alone.

    ``name``: WORKER or WATCHER. Ledgers of older versions have no row of the latter until it is first taken.
    """

    database: Database
    clock: Clock
    name: str = WORKER

    def take(self, holder: str, length: timedelta) -> LeaseHolder:
        """Take a free or expired lease; ``NotAllowed`` names the holder and until when."""
        with self.database.writing() as connection:
            now, current = self.clock.now(), _read_holder(connection, self.name)
            if current is not None and now < current.until:
                does = f"{current.holder} {_DOES[self.name]} {self.database.path} holds"
                raise NotAllowed(does, current.until)
            lease = LeaseHolder(holder, _read_number(connection, self.name) + 1, now + length)
            values = {"holder": holder, "number": lease.number, "until": _until(lease)}
            connection.execute(update(LEASE_TABLE).where(_row(self.name)).values(**values))
            return lease

    def renew(self, lease: LeaseHolder, length: timedelta) -> LeaseHolder:
        """Extend, also when it expired and nobody took it; ``LeaseLost`` if somebody else did or it was given back."""
        with self.database.writing() as connection:
            check_fence(connection, lease, self.name)
            renewed = LeaseHolder(lease.holder, lease.number, self.clock.now() + length)
            connection.execute(update(LEASE_TABLE).where(_row(self.name)).values(until=_until(renewed)))
            return renewed

    def release(self, lease: LeaseHolder) -> None:
        """Give it back; nothing happens if it is lost already."""
        mine = LEASE_TABLE.c.number == lease.number
        with self.database.writing() as connection:
            connection.execute(update(LEASE_TABLE).where(_row(self.name), mine).values(holder=None, until=None))

    def read(self) -> LeaseHolder | None:
        """The holder, also an expired one; None if the lease was never taken or was given back."""
        with self.database.reading() as connection:
            return _read_holder(connection, self.name)


def _row(name: str) -> ColumnElement[bool]:
    return LEASE_TABLE.c.name == name


def check_fence(connection: Connection, lease: LeaseHolder, name: str = WORKER) -> None:
    """``LeaseLost`` unless the lease is still the one of the table, within the caller's transaction."""
    current = _read_holder(connection, name)
    if current is None or current.number != lease.number:
        now = "nobody" if current is None else f"{current.holder} (number {current.number})"
        raise LeaseLost(f"the lease number {lease.number} of {lease.holder} is lost; it is held by {now}")


def _read_holder(connection: Connection, name: str) -> LeaseHolder | None:
    row = connection.execute(select(LEASE_TABLE).where(_row(name))).one_or_none()
    return _parse_holder(row) if row is not None and row.holder is not None else None


def _read_number(connection: Connection, name: str) -> int:
    """The number of the last take-over; the row is made if there is none."""
    number = connection.execute(select(LEASE_TABLE.c.number).where(_row(name))).scalar_one_or_none()
    if number is None:
        connection.execute(insert(LEASE_TABLE).values(name=name, number=0))
    return number or 0


def _parse_holder(row: Row[tuple[str, int, str, str]]) -> LeaseHolder:
    return LeaseHolder(row.holder, row.number, parse_time(row.until))


def _until(lease: LeaseHolder) -> str:
    return render_time(lease.until)
