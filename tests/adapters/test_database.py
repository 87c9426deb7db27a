"""The ledger's file: who may read it, what is refused, and what a full disk leaves behind."""

import json
import os
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from tests.clock import FakeClock
from zlh_hooks.adapters import database
from zlh_hooks.adapters.ledger import SqlLedger
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.errors import RoadError, SettingsError

REPOSITORY = Path(__file__).parents[2]
SAID = Draft(Kind.NOTE, "said")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def loose_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


# --- who may read it


@pytest.mark.usefixtures("loose_umask")
def test_under_a_loose_umask_file_log_and_made_directories_are_for_their_owner_only(tmp_path: Path) -> None:
    with closing(SqlLedger.open(tmp_path / "var" / "lib" / "ledger.db", FakeClock())) as ledger:
        ledger.append(SAID)
        modes = {path.name: mode(path) for path in tmp_path.rglob("*")}
    assert modes == {
        "var": 0o700,
        "lib": 0o700,
        "ledger.db": 0o600,
        "ledger.db-wal": 0o600,
        "ledger.db-shm": 0o600,
    }


@pytest.mark.usefixtures("loose_umask")
def test_the_rights_of_a_directory_that_was_there_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir(mode=0o750)
    SqlLedger.open(tmp_path / "shared" / "ledger.db", FakeClock()).close()
    assert mode(tmp_path / "shared") == 0o750


def test_a_commit_is_synchronised_to_the_disk_and_readers_never_wait(ledger: SqlLedger) -> None:
    with ledger.database.reading() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


# --- what is refused


def test_a_ledger_of_a_newer_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    SqlLedger.open(path, FakeClock()).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE ledger_schema SET version = 2")
    with pytest.raises(SettingsError, match=r"ledger\.db: schema: found version 2; expected version 1 or older"):
        SqlLedger.open(path, FakeClock())


@pytest.mark.parametrize("content", [b"", b"# notes of somebody\n" * 300])
def test_a_file_that_is_no_ledger_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "notes").write_bytes(content)
    with pytest.raises(SettingsError, match=r"notes: content: found something else; expected a ledger"):
        SqlLedger.open(tmp_path / "notes", FakeClock())
    assert (tmp_path / "notes").read_bytes() == content


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE song (title)")
    content = (tmp_path / "other.db").read_bytes()
    with pytest.raises(SettingsError, match="expected a ledger"):
        SqlLedger.open(tmp_path / "other.db", FakeClock())
    assert (tmp_path / "other.db").read_bytes() == content


@pytest.mark.parametrize(("place", "cause"), [("here", "unable to open"), ("file/ledger.db", "Not a directory")])
def test_a_place_that_cannot_hold_a_ledger_is_named_with_the_cause(tmp_path: Path, place: str, cause: str) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(RoadError, match=rf"{place.partition('/')[0]}.*{cause}"):
        SqlLedger.open(tmp_path / place, FakeClock())


def test_who_may_not_write_to_a_ledger_is_told_as_whom_to_come_back(ledger: SqlLedger) -> None:
    with (
        ledger.database.reading() as connection,
        pytest.raises(RoadError, match=r"readonly.*be root, or the user whose"),
    ):
        connection.exec_driver_sql("PRAGMA query_only=ON")
        with database.guarded(ledger.database.path):
            connection.exec_driver_sql("DELETE FROM ledger_entry")


def test_a_ledger_removed_under_a_running_worker_is_an_error_and_not_a_new_ledger(ledger: SqlLedger) -> None:
    ledger.append(SAID)
    ledger.database.path.unlink()
    for use in (lambda: ledger.append(SAID), ledger.read, ledger.lease.read):
        with pytest.raises(RoadError, match="No such file"):
            use()
    assert not ledger.database.path.exists()


def test_a_ledger_replaced_under_a_running_worker_is_an_error_and_the_new_one_is_left_alone(
    ledger: SqlLedger, tmp_path: Path
) -> None:
    ledger.append(SAID)
    ledger.copy_to(tmp_path / "restored.db")
    content = (tmp_path / "restored.db").read_bytes()
    (tmp_path / "restored.db").rename(ledger.database.path)
    with pytest.raises(RoadError, match=r"ledger\.db: another file was put in its place"):
        ledger.append(SAID)
    assert ledger.database.path.read_bytes() == content


def test_a_ledger_that_somebody_keeps_locked_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY", timedelta(milliseconds=50))
    with closing(SqlLedger.open(tmp_path / "ledger.db", FakeClock())) as ledger:
        other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        with closing(other):
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(RoadError, match=r"ledger\.db: database is locked"):
                ledger.append(SAID)
        assert ledger.append(SAID).sequence == 1


def test_an_error_never_shows_the_data_that_was_to_be_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(SqlLedger.open(tmp_path / "ledger.db", FakeClock())) as ledger:
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as other, other:
            other.execute("DROP TABLE ledger_entry")
        with pytest.raises(RoadError) as failed:
            ledger.append(Draft(Kind.NOTE, "said", data={"word": "confidential"}))
    assert "no such table" in str(failed.value)
    assert "confidential" not in f"{failed.value} {failed.value.__cause__}"


# --- a full disk


def run_out(path: Path, within: str, limit: int = resource.RLIM_INFINITY) -> dict[str, object]:
    """What a process met that appended until nothing fitted any more; ``within`` is a shell line that runs ``"$@"``."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    done = subprocess.run(
        ["sh", "-ec", within, "sh", sys.executable, "-m", "tests.adapters.ledger_writer", "exhaust", str(path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard)),
    )
    assert done.returncode == 0, done.stderr
    met: dict[str, object] = json.loads(done.stdout)
    return met


def assert_nothing_half_written(met: dict[str, object]) -> None:
    acknowledged = met["acknowledged"]
    assert isinstance(acknowledged, int)
    assert acknowledged > 5
    assert met["recorded"] == acknowledged
    assert met["first_with_room"] == acknowledged + 1
    assert met["broken"] is None


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare to mount a small disk"
)
def test_on_a_full_disk_an_append_fails_whole_and_the_next_one_with_room_goes_on(tmp_path: Path) -> None:
    mount = f"mount -t tmpfs -o size=1m tmpfs {tmp_path}; head -c 400000 /dev/zero > {tmp_path}/ballast"
    met = run_out(tmp_path / "ledger.db", f'exec unshare -m sh -ec \'{mount}; exec "$@"\' sh "$@"')
    assert met["error"] == f"{tmp_path}/ledger.db: database or disk is full"
    assert_nothing_half_written(met)
    assert list(tmp_path.iterdir()) == [], "the disk was mounted for that process alone"


def test_at_a_limit_of_file_size_an_append_fails_whole_and_the_next_one_with_room_goes_on(tmp_path: Path) -> None:
    met = run_out(tmp_path / "ledger.db", 'exec "$@"', limit=400_000)
    assert str(met["error"]).startswith(f"{tmp_path}/ledger.db: dis")
    assert_nothing_half_written(met)


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare to mount a small disk"
)
def test_a_copy_onto_a_full_disk_names_the_copy_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    mount = f"mount -t tmpfs -o size=64k tmpfs {tmp_path}/small"
    script = (
        "import sys; from pathlib import Path; from tests.clock import FakeClock\n"
        "from zlh_hooks.adapters.ledger import SqlLedger; from zlh_hooks.domain.entry import Draft, Kind\n"
        "place = Path(sys.argv[1]); ledger = SqlLedger.open(place / 'ledger.db', FakeClock())\n"
        "for _ in range(30): ledger.append(Draft(Kind.NOTE, 'said', data={'filler': 'x' * 5000}))\n"
        "try: ledger.copy_to(place / 'small' / 'copy.db')\n"
        "except Exception as error: print(repr(error), list((place / 'small').iterdir()))\n"
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-ec", f'{mount}; exec "$@"', "sh", sys.executable, "-c", script, str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == f"RoadError('{tmp_path}/small/copy.db: database or disk is full') []\n", done.stderr


def test_a_ledger_that_finds_no_room_to_begin_leaves_no_file(tmp_path: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    done = subprocess.run(
        [sys.executable, "-m", "tests.adapters.ledger_writer", "append", str(tmp_path / "ledger.db"), "1"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard)),
    )
    assert "RoadError" in done.stderr
    assert list(tmp_path.iterdir()) == []
