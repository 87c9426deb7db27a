"""Rules of signed links: whoever has one can do what stands in it, and nothing else, until it expires."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_hooks.domain.deferral_link import LinkMaker, Ticket
from zlh_hooks.domain.errors import NotAllowed

NOW = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
TICKET = Ticket("r1125-ab12", "Fox & Sons ü", 1, 0, (5001, 5003), NOW + timedelta(hours=1))
LINKS = LinkMaker("https://portal.example/date", "k" * 32)
TOKEN = LINKS.make_token(TICKET)


def test_a_token_alone_and_the_whole_link_say_the_same() -> None:
    for text in (TOKEN, f" {TOKEN}\n", LINKS.make_link(TICKET)):
        assert LINKS.read_token(text, NOW) == TICKET


def test_a_page_that_has_parameters_of_its_own_keeps_them() -> None:
    link = replace(LINKS, url="https://portal.example/?page=date").make_link(TICKET)
    assert link.startswith("https://portal.example/?page=date&token=")
    assert LINKS.read_token(link, NOW) == TICKET


@given(position=st.integers(0, len(TOKEN) - 1), letter=st.characters(codec="ascii"))
def test_a_token_with_any_other_letter_in_it_is_refused(position: int, letter: str) -> None:
    changed = TOKEN[:position] + letter + TOKEN[position + 1 :]
    if changed.strip() != TOKEN:
        with pytest.raises(NotAllowed, match="not one of ours, or a part of it is missing"):
            LINKS.read_token(changed, NOW)


@given(st.text())
def test_whatever_is_typed_instead_is_refused_in_words(text: str) -> None:
    with pytest.raises(NotAllowed, match="use the whole link of the newest notice"):
        LINKS.read_token(text, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        TOKEN[:-1],
        TOKEN.partition(".")[0],
        f"{TOKEN}.x",
        "https://portal.example/",
        "https://[/?token=x",
        "x" * 99999,
    ],
)
def test_a_link_that_was_cut_is_refused_in_words(text: str) -> None:
    with pytest.raises(NotAllowed, match="use the whole link of the newest notice"):
        LINKS.read_token(text, NOW)


def test_another_key_signs_nothing_for_us() -> None:
    with pytest.raises(NotAllowed, match="not one of ours"):
        LINKS.read_token(replace(LINKS, key="x" * 32).make_token(TICKET), NOW)


def test_a_link_that_has_expired_says_until_when_it_was_good() -> None:
    assert LINKS.read_token(TOKEN, TICKET.expires - timedelta(seconds=1)) == TICKET
    with pytest.raises(NotAllowed, match="was good until 2026-12-01 04:00 UTC"):
        LINKS.read_token(TOKEN, TICKET.expires)


def test_tickets_that_differ_in_anything_have_different_names_and_none_is_the_token() -> None:
    others = [
        replace(TICKET, **change)  # type: ignore[arg-type]
        for change in (
            {"rollout": "r2"},
            {"customer": "eve"},
            {"round": 2},
            {"sequence": 1},
            {"vmids": (5001,)},
            {"expires": NOW},
        )
    ]
    assert len({one.id for one in (TICKET, *others)}) == 7
    assert TICKET.id not in TOKEN


def test_the_key_is_not_shown_when_a_maker_is_printed() -> None:
    assert LINKS.key not in repr(LINKS)
