"""A guest's key is believed at first sight, and from then on only a new root or a person brings another."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from zlh_hooks.domain.agent_report import (
    KEY_ACCEPTED,
    KEY_SEEN,
    AgentPatch,
    AgentReport,
    AgentWish,
    KeyBook,
    KeyRefused,
)
from zlh_hooks.domain.entry import Entry, Kind

NOW = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)
A, B, C = "a" * 64, "b" * 64, "c" * 64
REPORT = AgentReport(A, NOW, NOW, "1.5.0-0a1b2c3d", "", False, "", "", "installed", "", "", "")
ROOT, NEXT = "local:vm-5001-disk-0", "local:vm-5001-disk-1"


def seen(vmid: int, key: str, root: str = ROOT) -> Entry:
    return Entry(1, NOW, Kind.EVIDENCE, KEY_SEEN, "", vmid, {"key": key, "root": root}, "", "")


def accepted(vmid: int, key: str, root: str = ROOT) -> Entry:
    data: dict[str, Any] = {"key": key, "root": root, "reason": "restored", "author": "ann@desk"}
    return Entry(1, NOW, Kind.COMMAND, KEY_ACCEPTED, "", vmid, data, "", "")


def book(*entries: Entry) -> KeyBook:
    return KeyBook().add(entries)


def test_the_first_key_is_believed_and_recorded_once() -> None:
    assert book().is_new(5001, A, ROOT)
    assert not book(seen(5001, A)).is_new(5001, A, ROOT)


def test_another_key_on_the_same_root_is_refused_with_what_to_do() -> None:
    with pytest.raises(
        KeyRefused, match=r"another key than on 2026-11-26 \(aaaaaaaaaaaa\), and its root is the same"
    ) as no:
        book(seen(5001, A)).is_new(5001, B, ROOT)
    assert f"zlh-hooks agent accept-key 5001 {B} --reason" in str(no.value)
    assert "zlh-agent-plugin key" in str(no.value)


def test_a_root_that_was_exchanged_brings_its_own_key_and_on_the_way_back_the_old_one_counts_again() -> None:
    assert book(seen(5001, A)).is_new(5001, B, NEXT)
    assert book(seen(5001, A), seen(5001, B, NEXT)).is_new(5001, A, ROOT)


def test_a_volumes_name_that_comes_again_says_nothing_of_its_former_key() -> None:
    assert book(seen(5001, A), seen(5001, B, NEXT)).is_new(5001, C, ROOT)


def test_a_root_that_only_moved_to_another_volume_keeps_its_key() -> None:
    moved = book(seen(5001, A))
    assert moved.is_new(5001, A, NEXT)
    moved.add([seen(5001, A, NEXT)])
    with pytest.raises(KeyRefused):
        moved.is_new(5001, B, NEXT)


def test_two_guests_never_share_a_key_and_the_first_one_keeps_it() -> None:
    known = book(seen(5001, A))
    with pytest.raises(KeyRefused, match="guest 5002 signs with the key of guest 5001: one is a copy") as no:
        known.is_new(5002, A, "local:vm-5002-disk-0")
    assert "empty /etc/machine-id and restart it" in str(no.value)
    assert not known.is_new(5001, A, ROOT)


def test_a_key_of_a_former_root_stays_the_guests_for_ever() -> None:
    with pytest.raises(KeyRefused, match="the key of guest 5001"):
        book(seen(5001, A), seen(5001, B, NEXT)).is_new(5002, A, ROOT)


def test_a_persons_word_changes_a_key() -> None:
    known = book(seen(5001, A), accepted(5001, B))
    assert not known.is_new(5001, B, ROOT)
    with pytest.raises(KeyRefused):
        known.is_new(5001, A, ROOT)


def test_a_guest_that_was_restored_under_another_number_takes_its_key_along() -> None:
    known = book(seen(5001, A), accepted(5002, A))
    assert not known.is_new(5002, A, ROOT)
    with pytest.raises(KeyRefused, match="guest 5001 signs with the key of guest 5002"):
        known.is_new(5001, A, ROOT)


def test_entries_of_other_things_are_passed_over() -> None:
    note = Entry(1, NOW, Kind.NOTE, KEY_SEEN, "", 5001, {}, "", "")
    assert book(note).latest == {}


@pytest.mark.parametrize(
    ("state", "tries", "is_wrong"),
    [
        ("", 0, False),
        ("done", 1, False),
        ("waits", 9, False),
        ("again", 1, False),
        ("again", 2, True),
        ("failed", 0, True),
    ],
)
def test_a_wish_calls_a_person_when_it_failed_and_not_when_it_waits_or_stumbled_once(
    state: str, tries: int, is_wrong: bool
) -> None:
    assert AgentWish(3, "security fixes", "wish 3", state, "why", tries).is_wrong == is_wrong


def test_a_guests_words_take_no_more_of_the_ledger_than_is_allowed() -> None:
    many = {f"{number}{'n' * 999}": "v" * 999 for number in range(999)}
    units = tuple("u" * 999 for _ in range(999))
    kept = AgentPatch(*("x" * 9999 for _ in range(4)), units, "x" * 9999, many, many, units).summarize()
    assert len(json.dumps(kept)) < 40 * 1024
    assert json.loads(json.dumps(kept)) == kept


PATCH = AgentPatch("END", "nothing", "", "", (), "by hand")
DONE = AgentWish(3, "security fixes", "wish 3", "done", "", 0, "ab" * 32, "ours", "installed")


@pytest.mark.parametrize(
    ("patch", "wish", "is_own", "outcome"),
    [
        (PATCH, DONE, False, "installed"),
        (replace(PATCH, txn="ours"), DONE, True, "nothing"),
        (replace(PATCH, txn="ours", step="PROVE", outcome=""), replace(DONE, outcome="begun"), True, "begun"),
        (PATCH, replace(DONE, outcome=""), False, ""),
        (replace(PATCH, txn=""), replace(DONE, txn="", outcome=""), False, ""),
        (None, DONE, False, "installed"),
        (PATCH, None, False, ""),
    ],
)
def test_of_a_wish_only_its_own_patch_speaks(
    patch: AgentPatch | None, wish: AgentWish | None, is_own: bool, outcome: str
) -> None:
    report = replace(REPORT, patch=patch, wish=wish)
    assert (report.wished_patch, report.wish_outcome) == (patch if is_own else None, outcome)
