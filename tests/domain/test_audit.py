"""A chain of entries holds, or the first place where it does not is named."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.clock import START
from zlh_hooks.domain.audit import Break, find_break
from zlh_hooks.domain.entry import GENESIS, Draft, Entry, Kind, chain_digest


def chain(length: int) -> list[Entry]:
    entries: list[Entry] = []
    previous = GENESIS
    for sequence in range(1, length + 1):
        at = START + timedelta(seconds=sequence)
        draft = Draft(Kind.EVENT, f"event {sequence}", "r1", 5000 + sequence, {"number": sequence})
        previous_now, previous = previous, chain_digest(sequence, at, draft, previous)
        entries.append(
            Entry(sequence, at, draft.kind, draft.name, draft.rollout, draft.target, draft.data, previous_now, previous)
        )
    return entries


def sealed(entry: Entry) -> Entry:
    """The entry with a digest that fits its content, as a forger would compute it."""
    draft = Draft(entry.kind, entry.name, entry.rollout, entry.target, entry.data)
    return replace(entry, digest=chain_digest(entry.sequence, entry.at, draft, entry.previous))


def sequence_of(found: Break | None) -> int | None:
    return found.sequence if found else None


@pytest.mark.parametrize("length", [0, 1, 2, 50])
def test_a_chain_as_it_was_written_holds(length: int) -> None:
    assert find_break(chain(length)) is None


def test_entries_are_followed_one_by_one_without_holding_them_all() -> None:
    assert find_break(entry for entry in chain(3)) is None


def test_a_missing_first_entry_is_named() -> None:
    assert find_break(chain(3)[1:]) == Break(1, "missing; the next one there is entry 2")


def test_a_gap_is_named_by_the_entry_that_should_be_there() -> None:
    entries = chain(6)
    assert str(find_break([*entries[:2], *entries[4:]])) == "entry 3: missing; the next one there is entry 5"


def test_an_entry_told_twice_is_named() -> None:
    entries = chain(4)
    assert str(find_break([*entries[:3], entries[1]])) == "entry 2: out of order; entry 4 belongs here"


def test_a_changed_content_is_named_by_its_digest() -> None:
    entries = chain(4)
    entries[1] = replace(entries[1], name="forged")
    found = find_break(entries)
    assert sequence_of(found) == 2
    assert f"its digest is {entries[1].digest}" in str(found)


def test_a_forger_who_seals_the_changed_entry_again_is_found_at_the_next_one() -> None:
    entries = chain(4)
    forged = entries[1] = sealed(replace(entries[1], name="forged"))
    found = find_break(entries)
    assert sequence_of(found) == 3
    assert str(found).endswith(f"the entry before it has {forged.digest}")


def test_a_chain_that_does_not_start_from_nothing_is_found() -> None:
    assert sequence_of(find_break([sealed(replace(chain(1)[0], previous="1" * 64))])) == 1


@given(st.lists(st.integers(0, 7), max_size=12))
def test_no_other_sequence_of_true_entries_holds_than_their_beginning(order: Sequence[int]) -> None:
    entries = chain(8)
    assert (find_break(entries[index] for index in order) is None) == (list(order) == list(range(len(order))))
