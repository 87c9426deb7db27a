"""What an operator sees of the record, and what is said when it is not whole."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.clock import FakeClock
from zlh_hooks.adapters.ledger import SqlLedger
from zlh_hooks.cli.ledger import app
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.errors import LedgerBroken, NotAllowed, SettingsError


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "zlh-hooks.toml"
    proxmox = '[proxmox]\nhost = "pve.example"\nuser = "zlh@pve"\ntoken_name = "hooks"\n'
    file.write_text(f'{proxmox}[ledger]\npath = "{tmp_path}/ledger.db"\n')
    return file


@pytest.fixture
def recorded(tmp_path: Path, config: Path) -> Path:
    """The settings of a ledger with six entries of two rollouts and three guests."""
    with closing(SqlLedger.open(tmp_path / "ledger.db", FakeClock())) as ledger:
        for number in range(1, 7):
            rollout, target = ("r1", 5001) if number % 2 else ("r2", 5000 + number)
            ledger.append(Draft(Kind.DONE, f"step-{number}", rollout, target, {"number": number}))
    return config


def run(config: Path, *arguments: str) -> Any:
    return CliRunner().invoke(app, [*arguments, "--config", str(config)])


def shown(config: Path, *arguments: str) -> list[int]:
    result = run(config, "show", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return [entry["sequence"] for entry in json.loads(result.output)]


def test_show_narrows_to_a_rollout_a_guest_and_the_newest_of_what_is_left(recorded: Path) -> None:
    assert shown(recorded) == [1, 2, 3, 4, 5, 6]
    assert shown(recorded, "--rollout", "r1") == [1, 3, 5]
    assert shown(recorded, "--target", "5004") == [4]
    assert shown(recorded, "--last", "2") == [5, 6]
    assert shown(recorded, "--rollout", "r1", "--target", "5001", "--last", "1") == [5]
    assert shown(recorded, "--rollout", "r1", "--target", "5004") == []


def test_a_rollout_that_is_not_in_it_is_no_empty_answer(recorded: Path) -> None:
    missing = run(recorded, "show", "--rollout", "r9").exception
    assert isinstance(missing, NotAllowed)
    assert "no entry of a rollout r9" in str(missing)


def test_an_entry_is_shown_in_json_with_all_that_its_digest_covers(recorded: Path, tmp_path: Path) -> None:
    with closing(SqlLedger.open(tmp_path / "ledger.db", FakeClock())) as ledger:
        entry = ledger.read()[-1]
    assert json.loads(run(recorded, "show", "--last", "1", "--json").output) == [
        {
            "sequence": 6,
            "at": "2026-11-23T04:00:00+00:00",
            "kind": "done",
            "name": "step-6",
            "rollout": "r2",
            "target": 5006,
            "data": {"number": 6},
            "previous": entry.previous,
            "digest": entry.digest,
        }
    ]


def test_a_line_tells_when_which_rollout_which_guest_and_what(recorded: Path) -> None:
    output = run(recorded, "show", "--last", "1").output
    assert all(part in output for part in ("6", "2026-11-23 04:00:00", "r2", "5006", "done", "step-6", '{"number": 6}'))
    assert "step-5" not in output


def test_verify_says_how_many_entries_hold_and_the_digest_to_keep_elsewhere(recorded: Path, tmp_path: Path) -> None:
    with closing(SqlLedger.open(tmp_path / "ledger.db", FakeClock())) as ledger:
        digest = ledger.read()[-1].digest
    assert json.loads(run(recorded, "verify", "--json").output) == {"entries": 6, "last_digest": digest}
    assert f"6 entries, each as it was written; last digest {digest}" in run(recorded, "verify").output


@pytest.mark.parametrize("change", ["name = 'other'", "data = 'unreadable'"])
def test_verify_fails_and_names_the_entry_that_was_changed(recorded: Path, tmp_path: Path, change: str) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection, connection:
        connection.execute(f"UPDATE ledger_entry SET {change} WHERE sequence = 3")
    result = run(recorded, "verify")
    assert isinstance(result.exception, LedgerBroken)
    assert f"{tmp_path}/ledger.db: entry 3" in str(result.exception)


def test_a_ledger_whose_entries_can_be_read_and_whose_index_is_damaged_is_not_called_whole(
    recorded: Path, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        root = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'ledger_entry_of_rollout'"
        ).fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    with (tmp_path / "ledger.db").open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    assert shown(recorded) == [1, 2, 3, 4, 5, 6]
    for command in (("verify",), ("copy", str(tmp_path / "copy.db")), ("show", "--rollout", "r1")):
        result = run(recorded, *command)
        assert isinstance(result.exception, LedgerBroken), command
        assert "ledger.db: damaged: " in str(result.exception) and "zlh-hooks recover" in str(result.exception)
    assert not (tmp_path / "copy.db").exists()


def test_copy_makes_a_ledger_of_its_own_and_never_replaces_a_file(recorded: Path, tmp_path: Path) -> None:
    result = run(recorded, "copy", str(tmp_path / "copy.db"))
    assert f"{tmp_path}/copy.db: copied and verified" in result.output
    with closing(SqlLedger.open(tmp_path / "copy.db", FakeClock())) as copy:
        assert len(copy.read()) == 6
    assert isinstance(run(recorded, "copy", str(tmp_path / "copy.db")).exception, SettingsError)


@pytest.mark.parametrize("command", [("show",), ("verify",), ("copy", "to.db")])
def test_looking_at_a_ledger_that_is_not_there_says_so_and_makes_none(
    config: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    result = run(config, *command)
    assert isinstance(result.exception, SettingsError)
    assert f"{tmp_path}/ledger.db: ledger.path: found no such file or directory" in str(result.exception)
    assert not (tmp_path / "ledger.db").exists()
