"""The signed report on the wire: the golden sample, unknown fields, and what is no report."""

import json
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent_plugin.guest_key import GuestKey
from agent_plugin.report_wire import (
    MOST_BYTES,
    Envelope,
    Statement,
    is_nonce,
    parse_envelope,
    parse_statement,
    render_envelope,
    render_statement,
)
from agent_plugin.wire import BadDocument, Failure, Status, parse_status

SAMPLES = Path(__file__).parents[1] / "samples" / "wire"
SAMPLE = SAMPLES / "report-1.json"
SAID = Statement(
    "2026-11-23T22:05:00+00:00",
    "00112233445566778899aabbccddeeff",
    Status(
        written="2026-11-23T22:04:05+00:00",
        current="1.4.0-0a1b2c3d",
        previous="1.3.9-99aabbcc",
        txn="08b0aa37858a",
        wanted="1.5.0-deadbeef",
        step="END",
        outcome="reverted",
        reason="WATCH: a net went back: on-failure",
        blocked={"1.5.0-deadbeef": "WATCH: a net went back: on-failure"},
        failure=Failure("1.5.0-deadbeef", "WATCH: a net went back: on-failure", "on-failure", "exit-code exited 1"),
    ),
)
KEY = GuestKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))), "")


def _without_new_fields(written: "dict[str, object]", known: "dict[str, object]") -> "dict[str, object]":
    """A later writer may say more; what the sample says it must still say."""
    status = {name: value for name, value in written["status"].items() if name in known["status"]}  # type: ignore[attr-defined, operator]
    return {**written, "status": status}


def is_signed(envelope: Envelope) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(envelope.key).verify(envelope.signature, envelope.message)
    except InvalidSignature:
        return False
    return True


def test_the_golden_sample_is_written_signed_and_read_as_ever() -> None:
    envelope = parse_envelope(SAMPLE.read_bytes())
    assert render_envelope(KEY.sign(envelope.signed)) == SAMPLE.read_text()
    assert parse_statement(envelope.signed) == SAID
    written = json.loads(render_statement(SAID))
    assert _without_new_fields(written, json.loads(envelope.signed)) == json.loads(envelope.signed)
    assert (envelope.key_id, is_signed(envelope)) == (KEY.key_id, True)


def test_a_signature_counts_for_these_bytes_and_for_no_other_purpose() -> None:
    envelope = parse_envelope(SAMPLE.read_bytes())
    assert not is_signed(Envelope(envelope.signed.replace("1.4.0", "1.4.1"), envelope.key, envelope.signature))
    plain = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).sign(envelope.signed.encode())
    assert not is_signed(Envelope(envelope.signed, envelope.key, plain))


def test_what_a_newer_guest_says_passes_an_older_reader_unharmed() -> None:
    newer = json.loads(SAMPLE.read_text()) | {"colour": "kept"}
    said = json.loads(newer["signed"]) | {"uptime": 5}
    said["status"]["players"] = 3
    newer["signed"] = json.dumps(said)
    envelope = parse_envelope(json.dumps(newer))
    assert json.loads(render_envelope(envelope)) == newer
    statement = parse_statement(envelope.signed)
    assert (statement.unknown, statement.status.unknown) == ({"uptime": 5}, {"players": 3})
    assert _without_new_fields(json.loads(render_statement(statement)), said) == said


def test_a_status_document_of_the_greatest_size_still_fits() -> None:
    padded = json.loads((SAMPLES / "status-1.json").read_text())
    padded["padding"] = ""
    padded["padding"] = '"' * ((64 * 1024 - len(json.dumps(padded))) // 2)
    status = parse_status(json.dumps(padded))
    report = render_envelope(KEY.sign(render_statement(Statement(SAID.at, "", status))))
    assert parse_statement(parse_envelope(report).signed).status == status


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "not of format 1"),
        ({"key": "AAAA"}, "key: 32 bytes in base64"),
        ({"key": "?"}, "key: 32 bytes in base64"),
        ({"key": 5}, "key: str is wanted"),
        ({"signature": "AAAA"}, "signature: 64 bytes in base64"),
        ({"signed": None}, "signed: str is wanted"),
        ({"signed": "\ud800"}, "signed: str is wanted"),
        ({"key_id": "0" * 64}, "key_id: the SHA-256 of key"),
    ],
)
def test_what_is_no_envelope_is_refused_by_the_field(change: "dict[str, object]", words: str) -> None:
    with pytest.raises(BadDocument, match=words):
        parse_envelope(json.dumps(json.loads(SAMPLE.read_text()) | change))


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "not JSON"), ("[]", "not a table"), ("[" * 60000, "not JSON"), (" " * (MOST_BYTES + 1), "longer than")],
)
def test_what_is_no_report_at_all_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadDocument, match=words):
        parse_envelope(text)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"at": "yesterday"}, "at: an instant"),
        ({"at": "2026-11-23T22:05:00"}, "at: an instant with its zone"),
        ({"nonce": "0"}, "nonce: at most 32 bytes"),
        ({"nonce": None}, "nonce: str"),
        ({"status": None}, "not a table"),
        ({"status": {"format": 1}}, "written is missing"),
    ],
)
def test_what_is_no_statement_is_refused_by_the_field(change: "dict[str, object]", words: str) -> None:
    with pytest.raises(BadDocument, match=words):
        parse_statement(json.dumps(json.loads(render_statement(SAID)) | change))


@pytest.mark.parametrize(("text", "right"), [("", True), ("0a", True), ("0A", False), ("0", False), ("00" * 33, False)])
def test_a_nonce_is_a_short_lower_case_hex(text: str, right: bool) -> None:
    assert is_nonce(text) is right
