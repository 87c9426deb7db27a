"""The documents that a webhook gets: our own, signed, or the one that Discord understands."""

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit, urlunsplit

from zlh_hooks.adapters.web import Request
from zlh_hooks.domain.notice import CalendarEvent, Message
from zlh_hooks.domain.plain_text import render_line, render_lines

SCHEMA = 1
CONTENT_UNITS, DESCRIPTION_UNITS = 2000, 4096
"""Discord's limits for a message's text and an embed's; counted in UTF-16, the strictest way to read them."""


class Shape(Protocol):
    """How a message becomes a request."""

    def render(self, url: str, message: Message, now: datetime) -> Request:
        """The request."""


@dataclass(frozen=True, slots=True)
class PlainShape:
    """All that a program needs, signed: who knows the secret can tell that it came from here, unchanged and lately."""

    secret: str = field(repr=False)

    def render(self, url: str, message: Message, now: datetime) -> Request:
        """The signature covers ``timestamp.body``."""
        body = _to_json(render_plain(message))
        stamp = str(int(now.timestamp()))
        headers = {
            "Content-Type": "application/json",
            "X-Zlh-Delivery": render_line(message.id).encode("ascii", "replace").decode(),
            "X-Zlh-Timestamp": stamp,
            "X-Zlh-Signature": f"sha256={sign(self.secret, stamp, body)}",
        }
        return Request("POST", url, headers, body)


def sign(secret: str, stamp: str, body: bytes) -> str:
    """The HMAC in hexadecimal."""
    return hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def render_plain(message: Message) -> dict[str, Any]:
    """The document as JSON values."""
    return {
        "schema": SCHEMA,
        "id": message.id,
        "subject": message.subject,
        "text": message.text,
        "facts": dict(message.facts),
        "event": None if message.event is None else render_times(message.event),
    }


def render_times(event: CalendarEvent) -> dict[str, Any]:
    """An event as JSON values, with times as ISO 8601 in UTC."""
    return {
        "uid": event.uid,
        "sequence": event.sequence,
        "start": event.start.isoformat(),
        "end": event.end.isoformat(),
        "summary": event.summary,
        "description": event.description,
        "cancelled": event.cancelled,
    }


@dataclass(frozen=True, slots=True)
class DiscordShape:
    """Subject and text for people. Discord checks no signature, and has no room for facts: neither is sent."""

    def render(self, url: str, message: Message, now: datetime) -> Request:
        """``wait`` makes Discord answer whether it took the message; nobody is pinged, whatever a text says."""
        document = {
            "content": _fit(render_line(message.subject), CONTENT_UNITS),
            "embeds": [{"description": _fit(render_lines(message.text), DESCRIPTION_UNITS)}],
            "allowed_mentions": {"parse": []},
        }
        return Request("POST", _add(url, wait="true"), {"Content-Type": "application/json"}, _to_json(document))


def _add(url: str, **options: str) -> str:
    parts = urlsplit(url)
    query = "&".join([parts.query, urlencode(options)]) if parts.query else urlencode(options)
    return urlunsplit(parts._replace(query=query))


def _fit(text: str, units: int) -> str:
    """Cut, with an ellipsis, to so many UTF-16 units."""
    encoded = text.encode("utf-16-le", "replace")
    if len(encoded) <= units * 2:
        return text
    return encoded[: (units - 1) * 2].decode("utf-16-le", "ignore") + "…"


def _to_json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
