"""What of a program's words may be told. Pure."""

import re

_SECRET = re.compile(r"://[^/\s@]+@")
_SAID = re.compile(r"( (?:ended with -?\d+|did not end in time)): .*", re.DOTALL)


def leave_out_words(text: str) -> str:
    """Without what programs said, which may be anything: how they ended is left."""
    return _SAID.sub(r"\1", text)


def make_printable(text: str) -> str:
    """Without what a terminal would obey: programs say names that strangers gave to files and processes."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def hide_secrets(text: str) -> str:
    """Addresses of package sources may carry a name and a password."""
    return _SECRET.sub("://", text)
