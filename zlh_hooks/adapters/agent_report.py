"""The report's port of a guest: asked over HTTP with a nonce, and believed only by its signature."""

import secrets
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent_plugin.report_wire import Envelope, Statement, parse_envelope, parse_statement
from agent_plugin.wire import REVERTS_WISHES, BadDocument, Patched, Wished
from zlh_hooks.adapters.web import Reply, Request, Web
from zlh_hooks.domain.agent_report import AgentCheck, AgentPatch, AgentReport, AgentWish
from zlh_hooks.domain.errors import RoadError, TargetError

_NONCE_BYTES = 16
_OK = 200


@dataclass(frozen=True, slots=True)
class GuestReports:
    """Port ``AgentReports``. ``web`` bounds the time and the size of every answer; safe to share between threads."""

    web: Web
    port: int

    def read_report(self, address: str) -> AgentReport:
        """Ask with a fresh nonce: an old answer, or one for somebody else, carries another."""
        host = f"[{address}]" if ":" in address else address
        nonce = secrets.token_hex(_NONCE_BYTES)
        reply = self.web.ask(Request("GET", f"http://{host}:{self.port}/report?nonce={nonce}"))
        envelope = parse_envelope_of(reply, address)
        _verify(envelope, address)
        return _describe(envelope, _parse_signed(envelope, nonce, address), address)


def parse_envelope_of(reply: Reply, address: str) -> Envelope:
    """The report that was answered; ``RoadError`` if it is not whole, ``TargetError`` if it is none."""
    if reply.broken:
        raise RoadError(f"{address}: the report is not whole ({reply.broken})")
    if reply.status != _OK:
        raise TargetError(f"{address}: no report: the port answered {reply.status}")
    try:
        return parse_envelope(reply.body)
    except BadDocument as error:
        raise TargetError(f"{address}: {error}") from error


def _verify(envelope: Envelope, address: str) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(envelope.key).verify(envelope.signature, envelope.message)
    except InvalidSignature as error:
        raise TargetError(f"{address}: the report's signature is not by the key that it names") from error


def _parse_signed(envelope: Envelope, nonce: str, address: str) -> Statement:
    try:
        statement = parse_statement(envelope.signed)
    except BadDocument as error:
        raise TargetError(f"{address}: {error}") from error
    if statement.nonce != nonce:
        raise TargetError(f"{address}: the report answers another question than ours: it is replayed")
    return statement


def _describe(envelope: Envelope, statement: Statement, address: str) -> AgentReport:
    status = statement.status
    failure, check, patch, wish = status.failure, status.check, status.patch, status.wish
    return AgentReport(
        key=envelope.key_id,
        at=_parse_instant(statement.at, "at", address),
        written=_parse_instant(status.written, "written", address),
        current=status.current,
        previous=status.previous,
        on_trial=status.on_trial,
        wanted=status.wanted,
        step=status.step,
        outcome=status.outcome,
        reason=status.reason,
        failed=failure.release if failure else "",
        failure=failure.reason if failure else "",
        check=AgentCheck(check.outcome, check.said, check.suspicious, check.pin) if check else None,
        patch=_describe_patch(patch) if patch else None,
        wish=_describe_wish(wish) if wish else None,
        swap=status.txn,
        blocked=frozenset(status.blocked),
        takes_back=REVERTS_WISHES in status.abilities,
    )


def _describe_wish(wish: Wished) -> AgentWish:
    became = wish.state, wish.reason, wish.tries, wish.id, wish.txn, wish.outcome
    return AgentWish(wish.number, wish.words, wish.said, *became)


def _describe_patch(patch: Patched) -> AgentPatch:
    brought = patch.packages, patch.previous, patch.restarted
    return AgentPatch(patch.step, patch.outcome, patch.impact, patch.reason, patch.waits, patch.txn, *brought)


def _parse_instant(text: str, name: str, address: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise TargetError(f"{address}: {name}: an instant with its zone is wanted, as 2026-11-23T22:04:05+00:00")
    return found
