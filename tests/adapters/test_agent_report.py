"""A guest's report as the controller reads it, over real sockets: from the guest's own port, and from liars."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent_plugin.guest_key import GuestKey
from agent_plugin.report_wire import MOST_BYTES, Statement, render_envelope, render_statement
from agent_plugin.wire import Check, Failure, Patched, Status, Wished
from tests.adapters.probes.stand_in import free_port
from tests.adapters.web_bench import CLOSE, NONSENSE, RESET, STALL, receiver
from tests.agent.report_bench import ReportGuest
from zlh_hooks.adapters.agent_report import GuestReports
from zlh_hooks.adapters.clock import SystemClock
from zlh_hooks.adapters.trust import open_trust
from zlh_hooks.adapters.web import Web
from zlh_hooks.domain.agent_report import AgentCheck, AgentPatch, AgentWish
from zlh_hooks.domain.errors import RoadError, TargetError

HOST = "127.0.0.1"
KEY = GuestKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))), "")
AT = "2026-11-23T22:05:00+00:00"
STATUS = Status("2026-11-23T22:04:05+00:00", current="1.4.0-0a1b2c3d")


TXN, WAITS = "5d1f0c2ab94e", ("zlh-game.service",)
BROUGHT = {"aa": "2"}, {"aa": "1"}, ("cron.service",)
"""Packages, the versions before, and what was restarted for them."""


def open_reports(port: int, seconds: float = 5, limit: int = MOST_BYTES + 4096) -> GuestReports:
    return GuestReports(Web(SystemClock(), open_trust(None, ""), timedelta(seconds=seconds), limit), port)


def test_what_a_guests_own_port_signs_is_believed(tmp_path: Path) -> None:
    guest = ReportGuest(tmp_path / "guest")
    key = guest.key()
    guest.tell(
        Status(
            "2026-11-23T22:04:05+00:00",
            current="1.4.0-0a1b2c3d",
            previous="1.3.9-99aabbcc",
            on_trial=True,
            wanted="1.5.0-deadbeef",
            step="END",
            outcome="reverted",
            reason="WATCH: sick",
            failure=Failure("1.5.0-deadbeef", "WATCH: sick"),
            check=Check(AT, "waits", "pin 7"),
            patch=Patched(TXN, "END", "stuck", "REVERT: no", "reload", *BROUGHT, WAITS),
            wish=Wished(
                *(3, "ab" * 32, "security fixes", "bring", "wish 3"),
                state="failed",
                reason="PROVE: no",
                tries=1,
                txn=TXN,
                outcome="stuck",
            ),
            abilities=("revert-wish", "of a later plugin"),
            unknown={"players": 3},
        )
    )
    with guest.port() as port:
        told = open_reports(port).read_report(HOST)
    assert (told.key, told.current, told.previous, told.on_trial) == (
        key.key_id,
        "1.4.0-0a1b2c3d",
        "1.3.9-99aabbcc",
        True,
    )
    assert (told.wanted, told.step, told.outcome, told.reason) == ("1.5.0-deadbeef", "END", "reverted", "WATCH: sick")
    assert (told.failed, told.failure) == ("1.5.0-deadbeef", "WATCH: sick")
    assert told.check == AgentCheck("waits", "pin 7", suspicious=False)
    assert told.patch == AgentPatch("END", "stuck", "reload", "REVERT: no", WAITS, TXN, *BROUGHT)
    assert told.wish == AgentWish(3, "security fixes", "wish 3", "failed", "PROVE: no", 1, "ab" * 32, TXN, "stuck")
    assert told.takes_back
    assert told.list_wrong() == ("WATCH: sick", "patch: REVERT: no", "wish 3: PROVE: no")
    assert told.written == datetime(2026, 11, 23, 22, 4, 5, tzinfo=UTC)


def test_every_question_has_a_nonce_of_its_own() -> None:
    with receiver(statuses=[404]) as server:
        for _ in range(2):
            with pytest.raises(TargetError):
                open_reports(server.port).read_report(HOST)
    first, second = (asked.path for asked in server.asked)
    assert first.startswith("/report?nonce=") and len(first) == len("/report?nonce=") + 32
    assert first != second


def read_lie(answer: Callable[[str], str | bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Read from a server that knows our nonce and answers as it likes."""
    monkeypatch.setattr("zlh_hooks.adapters.agent_report.secrets.token_hex", lambda _size: "00ff")
    body = answer("00ff")
    with receiver(body=body if isinstance(body, bytes) else body.encode()) as server:
        open_reports(server.port).read_report(HOST)


def sign(nonce: str, status: Status = STATUS, at: str = AT, key: GuestKey = KEY) -> str:
    return render_envelope(key.sign(render_statement(Statement(at, nonce, status))))


def altered(nonce: str) -> str:
    whole = json.loads(sign(nonce))
    return json.dumps(whole | {"signed": whole["signed"].replace("1.4.0", "1.4.1")})


def with_another_key(nonce: str) -> str:
    """Somebody says that the report is by a key that did not sign it."""
    other = json.loads(sign(nonce, key=GuestKey(Ed25519PrivateKey.generate(), "")))
    return json.dumps(json.loads(sign(nonce)) | {"key": other["key"], "key_id": other["key_id"]})


def test_the_liars_server_is_believed_when_it_does_not_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    read_lie(sign, monkeypatch)


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        (altered, "signature is not by the key that it names"),
        (with_another_key, "signature is not by the key that it names"),
        (lambda nonce: sign("aa" + nonce), "answers another question than ours: it is replayed"),
        (lambda nonce: sign(""), "answers another question than ours"),
        (lambda nonce: "{}", "not of format 1"),
        (lambda nonce: b"\xff\xfe", "not JSON"),
        (lambda nonce: render_envelope(KEY.sign("{}")), "at: str is wanted"),
        (lambda nonce: sign(nonce, Status("yesterday")), "written: an instant with its zone"),
        (lambda nonce: sign(nonce, Status("2026-11-23T22:04:05")), "written: an instant with its zone"),
    ],
)
def test_what_is_not_signed_for_this_question_is_no_report(
    lie: Callable[[str], str | bytes], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TargetError, match=words):
        read_lie(lie, monkeypatch)


@pytest.mark.parametrize("status", [301, 404, 500, 503])
def test_another_answer_is_no_report_and_nobody_is_followed_elsewhere(status: int) -> None:
    with receiver(statuses=[status]) as server, pytest.raises(TargetError, match=f"the port answered {status}"):
        open_reports(server.port).read_report(HOST)
    assert len(server.asked) == 1


@pytest.mark.parametrize("how", [STALL, RESET, CLOSE, NONSENSE])
def test_a_connection_that_brings_no_answer_blames_the_road(how: int) -> None:
    with receiver(statuses=[how]) as server, pytest.raises(RoadError):
        open_reports(server.port, seconds=0.5).read_report(HOST)


def test_a_closed_port_blames_the_road() -> None:
    with pytest.raises(RoadError, match="no connection"):
        open_reports(free_port()).read_report(HOST)


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    with receiver(body=b"x" * (1024 * 1024)) as server, pytest.raises(RoadError, match="not whole"):
        open_reports(server.port).read_report(HOST)
