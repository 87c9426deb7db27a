"""The right to execute what one ledger holds: one row whose number grows with every take-over."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, Row, select, update

from zlh_hooks.adapters.database import LEASE_TABLE, WORKER, Database, parse_time, render_time
from zlh_hooks.application.ports import Clock, LeaseHolder
from zlh_hooks.domain.errors import LeaseLost, NotAllowed

_ROW = LEASE_TABLE.c.name == WORKER


@dataclass(frozen=True, slots=True)
class SqlLease:
    """The WorkerLease port. Who holds it is decided in one transaction; time is the clock's alone."""

    database: Database
    clock: Clock

    def take(self, holder: str, length: timedelta) -> LeaseHolder:
        """Take a free or expired lease; ``NotAllowed`` names the holder and until when."""
        with self.database.writing() as connection:
            now, current = self.clock.now(), _read_holder(connection)
            if current is not None and now < current.until:
                raise NotAllowed(f"{current.holder} executes what {self.database.path} holds", current.until)
            number = connection.execute(select(LEASE_TABLE.c.number).where(_ROW)).scalar_one() + 1
            lease = LeaseHolder(holder, number, now + length)
            connection.execute(
                update(LEASE_TABLE).where(_ROW).values(holder=holder, number=number, until=_until(lease))
            )
            return lease

    def renew(self, lease: LeaseHolder, length: timedelta) -> LeaseHolder:
        """Extend, also when it expired and nobody took it; ``LeaseLost`` if somebody else did or it was given back."""
        with self.database.writing() as connection:
            check_fence(connection, lease)
            renewed = LeaseHolder(lease.holder, lease.number, self.clock.now() + length)
            connection.execute(update(LEASE_TABLE).where(_ROW).values(until=_until(renewed)))
            return renewed

    def release(self, lease: LeaseHolder) -> None:
        """Give it back; nothing happens if it is lost already."""
        mine = LEASE_TABLE.c.number == lease.number
        with self.database.writing() as connection:
            connection.execute(update(LEASE_TABLE).where(_ROW, mine).values(holder=None, until=None))

    def read(self) -> LeaseHolder | None:
        """The holder, also an expired one; None if the lease was never taken or was given back."""
        with self.database.reading() as connection:
            return _read_holder(connection)


def check_fence(connection: Connection, lease: LeaseHolder) -> None:
    """``LeaseLost`` unless the lease is still the one of the table, within the caller's transaction."""
    current = _read_holder(connection)
    if current is None or current.number != lease.number:
        now = "nobody" if current is None else f"{current.holder} (number {current.number})"
        raise LeaseLost(f"the lease number {lease.number} of {lease.holder} is lost; it is held by {now}")


def _read_holder(connection: Connection) -> LeaseHolder | None:
    row = connection.execute(select(LEASE_TABLE).where(_ROW)).one()
    return _parse_holder(row) if row.holder is not None else None


def _parse_holder(row: Row[tuple[str, int, str, str]]) -> LeaseHolder:
    return LeaseHolder(row.holder, row.number, parse_time(row.until))


def _until(lease: LeaseHolder) -> str:
    return render_time(lease.until)
