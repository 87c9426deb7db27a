"""What asking a guest can come to: an ``Answer``, ``BadAnswer`` (the guest's fault) or ``Unmeasured`` (ours)."""

import errno
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

from zlh_hooks.adapters.probes.wire import Deadline
from zlh_hooks.domain.duration import render_duration
from zlh_hooks.domain.guest import GuestRef

_LONGEST_TEXT = 200
_GUEST_ERRNOS = frozenset({errno.EHOSTUNREACH, errno.EHOSTDOWN})


class BadAnswer(Exception):
    """The guest answered wrongly or not at all; the message is for people and holds no payload."""


class Unmeasured(Exception):
    """The question could not be put; the message says why and blames nobody."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A healthy answer: one line for people and what it told."""

    detail: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Question:
    """Whom to ask, at which IP address, and until when."""

    guest: GuestRef
    address: str
    deadline: Deadline


def is_guests_fault(error: OSError) -> bool:
    """Refused, reset, silent, wrong TLS, no such neighbour: the guest's; anything else (sockets, routes) is ours."""
    return isinstance(error, (TimeoutError, ConnectionError, ssl.SSLError)) or error.errno in _GUEST_ERRNOS


def describe_error(error: OSError, deadline: Deadline) -> str:
    """An operating system's or TLS error in a few words."""
    if isinstance(error, TimeoutError):
        return f"no full answer within {render_duration(deadline.length)}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    return error.strerror or str(error) or type(error).__name__


def clean_text(text: str) -> str:
    """Foreign text fit for a terminal, a ledger and a table: printable, one line, at most 200 characters."""
    kept = "".join(letter if letter.isprintable() else "?" for letter in text[: _LONGEST_TEXT + 1])
    return kept if len(kept) <= _LONGEST_TEXT else kept[: _LONGEST_TEXT - 1] + "…"
