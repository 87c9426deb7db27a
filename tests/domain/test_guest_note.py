"""A hook's note is read whole or refused with the reason: it may come from another machine."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_hooks.domain.guest_note import NAME, GuestKind, GuestNote, GuestPhase, Occasion, parse_guest_note

NOTE: dict[str, Any] = {
    "format": 1,
    "event": "guest",
    "guest": 5012,
    "phase": "post-stop",
    "at": "2026-11-27T02:49:35.123456Z",
    "node": "pve-2",
    "kind": "lxc",
    "lock": "snapshot-delete",
    "migrated_from": "",
    "vetoed": False,
}


def parse(**changed: Any) -> GuestNote:
    return parse_guest_note(json.dumps({**NOTE, **changed}))


def test_every_key_becomes_a_typed_value() -> None:
    at = datetime(2026, 11, 27, 2, 49, 35, 123456, UTC)
    assert parse() == GuestNote(5012, GuestPhase.POST_STOP, at, "pve-2", GuestKind.LXC, "snapshot-delete", "", False)
    assert parse(vetoed=True).vetoed is True


def test_keys_of_a_later_hook_are_passed_over() -> None:
    assert parse(uptime=5) == parse()


@pytest.mark.parametrize(
    ("lock", "source", "occasion"),
    [
        ("", "", Occasion.ORDINARY),
        ("rollback", "", Occasion.ORDINARY),
        ("backup", "", Occasion.BACKUP),
        ("migrate", "", Occasion.MIGRATION),
        ("", "pve-1", Occasion.MIGRATION),
        ("backup", "pve-1", Occasion.MIGRATION),
    ],
)
def test_backups_and_migrations_are_told_apart_from_what_people_do(lock: str, source: str, occasion: Occasion) -> None:
    assert parse(lock=lock, migrated_from=source).occasion is occasion


@pytest.mark.parametrize(
    ("key", "wrong", "expected"),
    [
        ("format", 2, "format: found 2; expected 1; a later one is from a newer hook"),
        ("event", "backup", "event: found 'backup'; expected \"guest\""),
        ("guest", "5012", "guest: found '5012'; expected a number from 100 to 999999999"),
        ("guest", 99, "guest: found 99; expected a number"),
        ("guest", 1_000_000_000, "guest: found 1000000000; expected a number"),
        ("guest", True, "guest: found True; expected a number"),
        (
            "phase",
            "pre-flight",
            "phase: found 'pre-flight'; expected one of pre-start, post-start, pre-stop, post-stop, backup-end",
        ),
        ("phase", ["pre-stop"], "phase: found"),
        (
            "at",
            "2026-02-30T02:49:35.123456Z",
            "at: found '2026-02-30T02:49:35.123456Z'; expected a UTC instant such as",
        ),
        ("at", "2026-11-27T02:49:35.123456+01:00", "at: found"),
        ("at", 5, "at: found 5; expected"),
        ("node", "a/../b", "node: found 'a/../b'; expected a node's name or nothing"),
        ("node", "pve\n", "node: found 'pve\\\\n'; expected"),
        ("node", None, "node: found None; expected"),
        ("kind", "openvz", "kind: found 'openvz'; expected one of lxc, qemu, unknown"),
        ("lock", "Backup", "lock: found 'Backup'; expected a config lock such as backup, or nothing"),
        ("migrated_from", "\u001b[2J", "migrated_from: found '\\\\x1b.2J'; expected a node's name or nothing"),
        ("vetoed", 1, "vetoed: found 1; expected true or false"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key_and_what_would_be_right(key: str, wrong: object, expected: str) -> None:
    with pytest.raises(ValueError, match=expected.replace("[", ".")):
        parse(**{key: wrong})


@pytest.mark.parametrize("key", NOTE)
def test_a_missing_value_is_refused(key: str) -> None:
    rest = {name: value for name, value in NOTE.items() if name != key}
    with pytest.raises(ValueError, match=f"^{key}: found nothing; expected "):
        parse_guest_note(json.dumps(rest))


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"format":1', "[" * 1000, "\0"])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected one object on one line"):
        parse_guest_note(text)


def test_a_file_that_no_hook_writes_so_long_is_not_even_read() -> None:
    with pytest.raises(ValueError, match="more than 1024 bytes"):
        parse(more="x" * 1024)


@given(
    st.text() | st.dictionaries(st.sampled_from(sorted(NOTE)), st.none() | st.integers() | st.text()).map(json.dumps)
)
def test_whatever_the_text_nothing_but_a_value_error_comes_out(text: str) -> None:
    try:
        assert isinstance(parse_guest_note(text), GuestNote)
    except ValueError as error:
        assert "expected" in str(error)


@pytest.mark.parametrize(
    ("name", "is_note"),
    [
        ("20261127t024935.123456z-5012-post-stop-4711.json", True),
        ("20261127t024935.123456z-5012-backup-end-4711.json", True),
        ("20261127t024935.123456z-5012-pre-backup-end-4711.json", False),
        (".20261127t024935.123456z-5012-post-stop-4711.json", False),
        ("20261127t024935.123456z-5012-post-stop-4711.json~", False),
        ("20261127t024935.123456z-5012-pre-flight-4711.json", False),
        ("../20261127t024935.123456z-5012-post-stop-4711.json", False),
        ("2026112\u0667t024935.123456z-5012-post-stop-4711.json", False),
    ],
)
def test_only_finished_notes_have_the_name_of_one(name: str, is_note: bool) -> None:
    assert (NAME.fullmatch(name) is not None) is is_note
