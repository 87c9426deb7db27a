"""Rules of foreign text: whatever it holds, a line stays a line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_hooks.domain.plain_text import render_line, render_lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("250 2.0.0 Ok: queued as 4F1", "250 2.0.0 Ok: queued as 4F1"),
        ("  a\r\nBcc: b\tc\x00\x1b[31m ", "a Bcc: b c [31m"),
        ("a\u2028b\u2029c\x85d", "a b c d"),
        ("\ud800", ""),
    ],
)
def test_a_line_holds_neither_breaks_nor_control_characters(text: str, expected: str) -> None:
    assert render_line(text) == expected


def test_a_line_that_is_too_long_ends_with_an_ellipsis() -> None:
    assert render_line("abcdef", 4) == "abc…"
    assert render_line("abcd", 4) == "abcd"


def test_lines_keep_their_breaks_and_tabs_only() -> None:
    assert render_lines("a\r\nb\rc\n\n\td\x00\x1be\u2028f") == "a\nb\nc\n\n\tde\nf"


@given(st.text())
def test_any_text_can_be_printed(text: str) -> None:
    assert len(render_line(text).splitlines()) <= 1
    assert not set(render_lines(text)) & {*map(chr, range(9)), "\r", "\x1b", "\x85", "\u2028"}
