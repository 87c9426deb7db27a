"""The report's port, over real sockets and by the real command: one question, one signed answer, and nothing else."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent_plugin.report_port import LONGEST_HEAD, answer
from agent_plugin.report_wire import parse_envelope, parse_statement
from agent_plugin.wire import Failure, Patched, Wished
from tests.agent.report_bench import STATUS_NOW, ReportGuest, command_environment
from tests.agent.test_report_wire import is_signed

NONCE = "00ff" * 16


@pytest.fixture
def guest(tmp_path: Path) -> ReportGuest:
    made = ReportGuest(tmp_path / "guest")
    made.key()
    return made


@pytest.fixture
def port(guest: ReportGuest) -> "Iterator[int]":
    with guest.port() as number:
        yield number


def ask(port: int, request: str) -> "tuple[int, bytes]":
    """Status and body of what is answered; status 0 if nothing is."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request.encode())
        connection.shutdown(socket.SHUT_WR)
        got = connection.makefile("rb").read()
    head, _, body = got.partition(b"\r\n\r\n")
    return (int(head.split()[1]), body) if got else (0, b"")


def get(port: int, path: str) -> "tuple[int, bytes]":
    return ask(port, f"GET {path} HTTP/1.1\r\nHost: guest\r\n\r\n")


def test_a_question_is_answered_with_the_readers_nonce_under_the_guests_key(guest: ReportGuest, port: int) -> None:
    status, body = get(port, f"/report?nonce={NONCE}")
    envelope = parse_envelope(body)
    statement = parse_statement(envelope.signed)
    assert (status, envelope.key_id, is_signed(envelope)) == (200, guest.key().key_id, True)
    assert (statement.nonce, statement.status) == (NONCE, STATUS_NOW)


def test_without_a_nonce_only_the_guests_clock_says_when(port: int) -> None:
    assert parse_statement(parse_envelope(get(port, "/report")[1]).signed).nonce == ""


def test_each_answer_tells_of_now(guest: ReportGuest, port: int) -> None:
    guest.tell(replace(STATUS_NOW, current="1.5.0-deadbeef"))
    assert parse_statement(parse_envelope(get(port, "/report")[1]).signed).status.current == "1.5.0-deadbeef"


def test_the_log_of_a_failed_release_stays_in_the_guest(guest: ReportGuest, port: int) -> None:
    guest.tell(replace(STATUS_NOW, failure=Failure("1.5.0-deadbeef", "WATCH: sick", log="password=hunter2")))
    body = get(port, "/report")[1]
    told = parse_statement(parse_envelope(body).signed).status.failure
    assert told is not None
    assert (told.release, told.reason, told.log) == ("1.5.0-deadbeef", "WATCH: sick", "")
    assert b"hunter2" not in body


def test_what_programs_said_stays_in_the_guest(guest: ReportGuest, port: int) -> None:
    """A probe or a package's script may print what it likes; how it ended is told."""
    words = "PROVE: /root/probe ended with 1: password=hunter2\nand more"
    patch = Patched("5d1f0c2ab94e", "END", "reverted", reason=words)
    wish = Wished(3, "ab" * 32, "security fixes", "bring", "wish 3", state="failed", reason=words)
    guest.tell(replace(STATUS_NOW, reason=words, blocked={"1.5.0-deadbeef": words}, patch=patch, wish=wish))
    body = get(port, "/report")[1]
    told = parse_statement(parse_envelope(body).signed).status
    assert told.patch is not None and told.wish is not None
    reasons = {told.reason, told.patch.reason, told.wish.reason, *told.blocked.values()}
    assert reasons == {"PROVE: /root/probe ended with 1"}
    assert b"hunter2" not in body


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("POST /report HTTP/1.1", 405),
        ("DELETE /report HTTP/1.1", 405),
        ("GET / HTTP/1.1", 404),
        ("GET /../etc/passwd HTTP/1.1", 404),
        ("GET http://elsewhere/report HTTP/1.1", 404),
        ("GET /report?nonce=XYZ HTTP/1.1", 400),
        (f"GET /report?nonce={'00' * 33} HTTP/1.1", 400),
        ("GET /report?other=00 HTTP/1.1", 400),
        ("GET /report", 400),
        ("\x16\x03\x01", 400),
    ],
)
def test_other_questions_are_refused_by_their_kind(port: int, request_line: str, status: int) -> None:
    assert ask(port, f"{request_line}\r\n\r\n")[0] == status


def test_a_peer_that_leaves_early_or_never_ends_gets_nothing_and_the_next_is_answered(port: int) -> None:
    assert ask(port, "GET /report")[0] == 0
    assert ask(port, "GET /report HTTP/1.1\r\n" + "X" * LONGEST_HEAD)[0] == 0
    assert get(port, "/report")[0] == 200


@pytest.mark.parametrize("drip", [False, True])
def test_a_silent_or_dripping_peer_is_left_when_the_time_is_over(guest: ReportGuest, drip: bool) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        if drip:
            theirs.sendall(b"GET ")
        began = time.monotonic()
        answer(ours, guest.desk(), seconds=0.2)
        assert 0.2 <= time.monotonic() - began < 2


def test_a_peer_that_does_not_read_is_left_as_well(guest: ReportGuest) -> None:
    guest.tell(replace(STATUS_NOW, unknown={"padding": "x" * 60000}))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        theirs.sendall(b"GET /report HTTP/1.1\r\n\r\n")
        began = time.monotonic()
        answer(ours, guest.desk(), seconds=0.3)
        assert 0.3 <= time.monotonic() - began < 2


@pytest.mark.parametrize("missing", ["key", "status"])
def test_a_guest_that_cannot_tell_says_what_is_missing(guest: ReportGuest, port: int, missing: str) -> None:
    (guest.place.report_key if missing == "key" else guest.place.status).unlink()
    status, body = get(port, "/report")
    assert status == 503
    assert (b"zlh-agent-plugin key makes one" if missing == "key" else b"no status document") in body


def test_a_damaged_document_is_not_signed(guest: ReportGuest, port: int) -> None:
    guest.place.status.write_text('{"format": 1')
    assert get(port, "/report")[0] == 503


def run_command(guest: ReportGuest, connection: socket.socket, folder: Path) -> "subprocess.Popen[str]":
    """The command as systemd starts it, with the connection as its input."""
    code = (
        "import sys; from pathlib import Path; import agent_plugin.__main__ as m; from agent_plugin.place import Place\n"
        f"m.Place = lambda: Place(Path({str(guest.place.root)!r})); sys.exit(m.main(['answer']))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=connection,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=command_environment(folder),
    )


def test_the_command_answers_the_connection_it_was_given_and_ends(guest: ReportGuest) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        started = run_command(guest, ours, guest.desk().credentials)
        ours.close()
        theirs.sendall(f"GET /report?nonce={NONCE} HTTP/1.1\r\n\r\n".encode())
        body = theirs.makefile("rb").read().partition(b"\r\n\r\n")[2]
        out, err = started.communicate(timeout=30)
    assert (started.returncode, out, err) == (0, "", "")
    assert parse_statement(parse_envelope(body).signed).nonce == NONCE
    assert json.loads(body)["key_id"] == guest.key().key_id


def test_by_hand_the_command_says_who_starts_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agent_plugin", "answer"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "zlh-agent-report.socket" in done.stderr
