"""Foreign or free text, made harmless: it can't break a line, a header or a terminal."""

import unicodedata

_CONTROLS = ("Cc", "Cs")
_BREAKS = (*_CONTROLS, "Zl", "Zp")


def render_line(text: str, longest: int | None = None) -> str:
    """On one line, blanks made single, without control characters; cut with an ellipsis if it is too long."""
    visible = "".join(" " if unicodedata.category(letter) in _BREAKS else letter for letter in text)
    line = " ".join(visible.split())
    return line if longest is None or len(line) <= longest else f"{line[: longest - 1]}…"


def render_lines(text: str) -> str:
    """Lines ended by ``\\n`` alone, without control characters other than tabs."""
    lines = "\n".join(text.splitlines())
    return "".join(letter for letter in lines if letter in "\n\t" or unicodedata.category(letter) not in _CONTROLS)
