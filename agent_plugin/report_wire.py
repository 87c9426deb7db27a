"""A signed report, wire format version 1: a status document, for one question, by one guest's key.

::

    {"format": 1, "key": BASE64, "key_id": HEX, "signed": "{...}", "signature": BASE64}

``signed`` is a statement as JSON *text*: its bytes are signed as they stand, so that nobody has to write JSON twice the
same way. The signature (Ed25519) is over :data:`CONTEXT` and those bytes, so that it means nothing anywhere else.
A reader keeps fields that it does not know. Standard library only: who signs and who verifies brings cryptography.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agent_plugin.wire import BadDocument, Status, parse_status, parse_table, render_status, take, take_format

FORMAT = 1
CONTEXT = b"zlh-agent-report 1\n"
MOST_BYTES = 160 * 1024
"""A status document is at most 64 KiB, and JSON in JSON needs more."""
KEY_BYTES, SIGNATURE_BYTES = 32, 64
_NONCE = re.compile(r"(?:[0-9a-f]{2}){0,32}")


@dataclass(frozen=True)
class Statement:
    """What the guest says. ``at``: when it signed, UTC, ISO 8601; ``nonce``: the reader's, in hex, or empty.

    The nonce proves that nobody replays an old report; ``at`` is only as right as the guest's clock.
    """

    at: str
    nonce: str
    status: Status
    unknown: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Envelope:
    """A statement's text and who signed it. ``key``: the public key's 32 bytes; ``signature``: 64 bytes."""

    signed: str
    key: bytes
    signature: bytes
    unknown: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key_id(self) -> str:
        """How people and ledgers call the key."""
        return name_key(self.key)

    @property
    def message(self) -> bytes:
        """The bytes under the signature."""
        return build_message(self.signed)


def name_key(key: bytes) -> str:
    """SHA-256 of the public key, in hex."""
    return hashlib.sha256(key).hexdigest()


def build_message(signed: str) -> bytes:
    """What is signed for a statement's text."""
    return CONTEXT + signed.encode()


def is_nonce(text: str) -> bool:
    """Whether a reader may ask with it: at most 32 bytes as lower-case hex."""
    return _NONCE.fullmatch(text) is not None


def render_statement(statement: Statement) -> str:
    """The text to be signed."""
    status = json.loads(render_status(statement.status))
    return json.dumps({"at": statement.at, "nonce": statement.nonce, "status": status, **statement.unknown})


def parse_statement(text: str) -> Statement:
    """``BadDocument`` says which field is wrong."""
    found = parse_table(text, "the statement", MOST_BYTES)
    at, nonce = take(found, "at", str), take(found, "nonce", str)
    if not _is_instant(at):
        raise BadDocument("at: an instant with its zone is wanted, as 2026-11-23T22:04:05+00:00")
    if not is_nonce(nonce):
        raise BadDocument("nonce: at most 32 bytes in lower-case hex are wanted")
    return Statement(at, nonce, parse_status(json.dumps(found.pop("status", None))), found)


def _is_instant(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def render_envelope(envelope: Envelope) -> str:
    """The document as text."""
    known = {
        "format": FORMAT,
        "key": base64.b64encode(envelope.key).decode(),
        "key_id": envelope.key_id,
        "signed": envelope.signed,
        "signature": base64.b64encode(envelope.signature).decode(),
    }
    return json.dumps({**known, **envelope.unknown}, indent=1) + "\n"


def parse_envelope(text: "str | bytes") -> Envelope:
    """``BadDocument`` for what is not one. The signature is not verified here."""
    found = parse_table(text, "the report", MOST_BYTES)
    take_format(found, "the report", FORMAT)
    key, signature = _take_bytes(found, "key", KEY_BYTES), _take_bytes(found, "signature", SIGNATURE_BYTES)
    signed, key_id = take(found, "signed", str), take(found, "key_id", str)
    if key_id != name_key(key):
        raise BadDocument("key_id: the SHA-256 of key is wanted")
    return Envelope(signed, key, signature, found)


def _take_bytes(found: "dict[str, Any]", name: str, length: int) -> bytes:
    text = take(found, name, str)
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadDocument(f"{name}: {length} bytes in base64 are wanted") from error
    if len(value) != length:
        raise BadDocument(f"{name}: {length} bytes in base64 are wanted")
    return value
