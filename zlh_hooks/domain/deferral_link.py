"""Signed links by which customers choose another date. What a link may do stands in it, and nobody can change it. Pure.

A token is the ticket in JSON and its HMAC-SHA256, each in base64 that may stand in a URL, apart by a dot.
"""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from zlh_hooks.domain.errors import NotAllowed

KIND = "zlh-hooks deferral 1"
"""The first word of each ticket: what else the key may ever sign is no ticket."""
PARAMETER = "token"
SHORTEST_KEY = 32
_LONGEST = 16 * 1024
_UNKNOWN = "this link is not one of ours, or a part of it is missing: use the whole link of the newest notice"


@dataclass(frozen=True, slots=True)
class Ticket:
    """Whose guests a link may defer, in which round as it stood, and until when (aware UTC, whole seconds)."""

    rollout: str
    customer: str
    round: int
    sequence: int
    vmids: tuple[int, ...]
    expires: datetime

    @property
    def version(self) -> tuple[int, int]:
        """Which round, and which date of it."""
        return self.round, self.sequence

    @property
    def id(self) -> str:
        """For the ledger, which holds no token: a token is good for whoever has it."""
        return hashlib.sha256(_render(self)).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class LinkMaker:
    """Makes links to ``url``, which passes their token on, and reads tokens. ``key`` is a secret of ours alone."""

    url: str
    key: str = field(repr=False)

    def make_link(self, ticket: Ticket) -> str:
        """The link to print in a notice."""
        return f"{self.url}{'&' if '?' in self.url else '?'}{PARAMETER}={self.make_token(ticket)}"

    def make_token(self, ticket: Ticket) -> str:
        """The ticket, signed."""
        body = _encode(_render(ticket))
        return f"{body}.{_encode(self._sign(body))}"

    def read_token(self, text: str, now: datetime) -> Ticket:
        """The ticket of a token, or of a whole link; ``NotAllowed`` in words for whoever clicked on it."""
        body, _, seal = _find_token(text).partition(".")
        if not hmac.compare_digest(_encode(self._sign(body)).encode(), seal.encode("utf-8", "replace")):
            raise NotAllowed(_UNKNOWN)
        ticket = _parse(_decode(body))
        if now >= ticket.expires:
            when = f"{ticket.expires:%Y-%m-%d %H:%M} UTC"
            raise NotAllowed(f"this link was good until {when}, when the maintenance was about to begin")
        return ticket

    def _sign(self, body: str) -> bytes:
        return hmac.new(self.key.encode(), body.encode("utf-8", "replace"), hashlib.sha256).digest()


def _find_token(text: str) -> str:
    text = text.strip()
    if len(text) > _LONGEST:
        raise NotAllowed(_UNKNOWN)
    if "://" not in text:
        return text
    try:
        return parse_qs(urlsplit(text).query).get(PARAMETER, [""])[0]
    except ValueError as error:
        raise NotAllowed(_UNKNOWN) from error


def _render(ticket: Ticket) -> bytes:
    expires = int(ticket.expires.timestamp())
    values = [KIND, ticket.rollout, ticket.customer, ticket.round, ticket.sequence, list(ticket.vmids), expires]
    return json.dumps(values, separators=(",", ":")).encode()


def _parse(body: bytes) -> Ticket:
    """Only what we signed comes here; a ticket of another kind is none."""
    values = json.loads(body)
    if values[0] != KIND:
        raise NotAllowed(_UNKNOWN)
    _, rollout, customer, number, sequence, vmids, expires = values
    return Ticket(rollout, customer, number, sequence, tuple(vmids), datetime.fromtimestamp(expires, UTC))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise NotAllowed(_UNKNOWN) from error
