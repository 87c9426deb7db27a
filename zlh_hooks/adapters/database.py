"""Where the ledger's rows lie, and all that is SQLite's own; another database would enter by :func:`open_engine`.

SQLite in WAL mode lets any number of processes read while one writes; with ``synchronous=FULL`` a commit is on disk
when it returns (https://sqlite.org/pragma.html#pragma_synchronous).
"""

import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    insert,
    inspect,
    select,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from zlh_hooks.adapters.file import give_to_owner
from zlh_hooks.domain.errors import LedgerBroken, RoadError, SettingsError, ZlhError

SCHEMA = 1
BUSY = timedelta(seconds=30)
"""How long a writer waits for another process's transaction; each of ours takes milliseconds."""

_metadata = MetaData()
SCHEMA_TABLE = Table("ledger_schema", _metadata, Column("version", Integer, primary_key=True, autoincrement=False))
ENTRY_TABLE = Table(
    "ledger_entry",
    _metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("at", String(32), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("name", String(255), nullable=False),
    Column("rollout", String(255), nullable=False),
    Column("target", Integer),
    Column("data", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Index("ledger_entry_of_rollout", "rollout", "sequence"),
)
LEASE_TABLE = Table(
    "worker_lease",
    _metadata,
    Column("name", String(64), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("holder", String(255)),
    Column("until", String(32)),
)
WORKER, WATCHER = "worker", "watcher"
"""The rows of the lease table: who executes, and who watches from outside."""

_HINTS = {
    sqlite3.SQLITE_BUSY: f" for {BUSY.total_seconds():.0f} s by a process that is slow or stopped (see who: fuser -v)",
    sqlite3.SQLITE_READONLY: "; this user may not write there: be root, or the user whose ledger it is",
    sqlite3.SQLITE_CANTOPEN: "; this user may not open it, or it is no file: be root, or the user whose ledger it is",
}
"""What its reader may do. Who is stopped in the middle of a commit keeps all others out until it goes on or ends."""
_SIDE_FILES = ("", "-wal", "-shm", "-journal")


def open_engine(path: Path) -> Engine:
    """Connections to an existing file; it is not created. No limit but the callers' threads."""
    address = URL.create("sqlite", database=path.absolute().as_uri(), query={"mode": "rw", "uri": "true"})
    seconds = BUSY.total_seconds()
    engine = create_engine(address, connect_args={"timeout": seconds}, max_overflow=-1, hide_parameters=True)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # else Python's sqlite3 begins transactions by itself, and deferred
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin(connection: Connection) -> None:
    """A transaction that reads first cannot wait for its turn to write, it fails: writers say so at once."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


class Database:
    """One ledger file, for all threads of a process.

    Errors of the file or the disk become ``RoadError``; a file that is damaged is ``LedgerBroken``.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or create it (0600, in a directory of 0700 if there is none); ``SettingsError`` if foreign."""
        self.path = path
        with guarded(path):
            if not path.exists():
                _create(path)
            self._inode = _identify(path)
        self.engine = open_engine(path)
        self._writer = self.engine.execution_options(writes=True)
        self._turn = threading.Lock()  # SQLite's own waiting is by sleeping and unfair
        try:
            self._check_schema()
        except ZlhError:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view, however many writers there are."""
        with guarded(self.path), self.engine.begin() as connection:
            self._check_place()
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction, the only writing one of all processes; on disk when the block is left."""
        with guarded(self.path), self._turn, self._writer.begin() as connection:
            self._check_place()
            yield connection

    def check_pages(self) -> None:
        """``LedgerBroken`` if pages or indexes are damaged: what is read may be whole, and no write succeed."""
        with self.reading() as connection:
            found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one()
        if found != "ok":
            raise _break(self.path, " ".join(found.split()))

    def back_up(self, path: Path) -> None:
        """Copy one consistent view into the file ``path`` by SQLite's backup API; writers go on meanwhile."""
        with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)

    def close(self) -> None:
        """Close every connection; the last one of all processes folds the write-ahead log into the file."""
        self.engine.dispose()

    def _check_place(self) -> None:
        """An open file that was removed or replaced takes entries which nobody else will ever read."""
        if _identify(self.path) != self._inode:
            raise RoadError(f"{self.path}: another file was put in its place while it was in use")

    def _check_schema(self) -> None:
        version = self._read_schema()
        if version is None:
            raise SettingsError(str(self.path), "content", "something else", "a ledger, or no file at all")
        if version > SCHEMA:
            expected = f"version {SCHEMA} or older; use the newer zlh-hooks that wrote it"
            raise SettingsError(str(self.path), "schema", f"version {version}", expected)

    def _read_schema(self) -> int | None:
        try:
            with self.reading() as connection:
                if not inspect(connection).has_table(SCHEMA_TABLE.name):
                    return None
                return connection.execute(select(SCHEMA_TABLE.c.version)).scalar()
        except RoadError as error:
            if _is_no_database(error.__cause__):
                return None
            raise


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Translate what the disk or SQLite says of the file into ``RoadError``, or ``LedgerBroken`` if it is damaged."""
    try:
        yield
    except DBAPIError as error:
        raise _translate(path, error.orig) from error
    except sqlite3.Error as error:
        raise _translate(path, error) from error
    except OSError as error:
        raise RoadError(f"{error.filename or path}: {error.strerror}") from error


def _translate(path: Path, error: BaseException | None) -> ZlhError:
    code = _read_code(error)
    if code == sqlite3.SQLITE_CORRUPT:
        return _break(path, str(error))
    return RoadError(f"{path}: {error}{_HINTS.get(code, '')}")


def _read_code(error: BaseException | None) -> int:
    """SQLite's primary code: the last byte of each extended one (https://sqlite.org/rescode.html); 0 if it is none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _break(path: Path, found: str) -> LedgerBroken:
    return LedgerBroken(
        f"{path}: damaged: {found}; put a copy in its place (zlh-hooks ledger copy --help says how), "
        "then look what is in work still: zlh-hooks recover"
    )


def _identify(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _is_no_database(error: BaseException | None) -> bool:
    cause = error.orig if isinstance(error, DBAPIError) else None
    return isinstance(cause, sqlite3.Error) and cause.sqlite_errorcode == sqlite3.SQLITE_NOTADB


def _create(path: Path) -> None:
    _make_directory(path.parent)
    try:
        write_whole(path, _lay_out)
    except FileExistsError:
        return  # another process was faster, and its file is complete


def _make_directory(directory: Path) -> None:
    if not directory.exists():
        _make_directory(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)


def _lay_out(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")  # kept in the file, and in its copies
    engine = open_engine(path)
    with engine.execution_options(writes=True).begin() as connection:
        _metadata.create_all(connection)
        connection.execute(insert(SCHEMA_TABLE).values(version=SCHEMA))
        connection.execute(insert(LEASE_TABLE).values(name=WORKER, number=0))
    engine.dispose()


def write_whole(path: Path, fill: Callable[[Path], None]) -> None:
    """Let ``fill`` write a file beside ``path``; it appears there complete, 0600 and in one step, or not at all.

    It belongs to whom the folder belongs to: root's command line makes a ledger that the worker goes on with.
    ``FileExistsError`` if something is there already. The file system must know hard links.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    give_to_owner(descriptor, path.parent)
    os.close(descriptor)
    try:
        fill(Path(name))
        path.hardlink_to(name)
    finally:
        for suffix in _SIDE_FILES:
            Path(name + suffix).unlink(missing_ok=True)
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def render_time(instant: datetime) -> str:
    """An aware instant as stored: UTC, microseconds, sortable as text."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds")


def parse_time(text: str) -> datetime:
    """The aware UTC instant; ``ValueError`` for any other spelling than :func:`render_time`'s."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None or render_time(instant) != text:
        raise ValueError(f"{text!r} is not a time in UTC with microseconds")
    return instant
