"""One answer on the report's port: ``GET /report?nonce=HEX`` gives the signed status document. Then the process ends.

systemd listens, accepts, and starts this once per connection, as a user that owns nothing: key and document come as
credentials. There is nothing else to ask and nothing to change. The log of a release that failed and what programs said
are left out: they may hold secrets, and everybody who reaches the port may read.
"""

import os
import re
import socket
import time
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from agent_plugin import words
from agent_plugin.fault import NotNow
from agent_plugin.guest_key import GuestKey, read_key, read_machine
from agent_plugin.place import Place
from agent_plugin.report_wire import Statement, is_nonce, render_envelope, render_statement
from agent_plugin.wire import BadDocument, Status, parse_status

PATH = "/report"
SECONDS = 5.0
"""For the whole exchange."""
LONGEST_HEAD = 8 * 1024
KEY, STATUS = "key", "status"
"""Credentials, as zlh-agent-report@.service names them."""
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}
_REQUEST = re.compile(r"(?P<method>[A-Z]+) (?P<path>[!-~]+) HTTP/1\.[01]")


class BadRequest(ValueError):
    """``status``: what is answered."""

    def __init__(self, status: int, words: str) -> None:
        self.status = status
        super().__init__(words)


@dataclass(frozen=True)
class Desk:
    """Who answers: a folder with both credentials, and the place that names this machine."""

    credentials: Path
    place: Place

    def sign(self, nonce: str) -> str:
        """The report of this moment; ``NotNow`` says what is missing in this guest."""
        key: GuestKey = read_key(self.credentials / KEY, read_machine(self.place))
        status = choose_public(self._read_status())
        at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return render_envelope(key.sign(render_statement(Statement(at, nonce, status))))

    def _read_status(self) -> Status:
        try:
            return parse_status((self.credentials / STATUS).read_bytes())
        except (OSError, BadDocument) as error:
            raise NotNow(f"no status document: {error}") from error


def choose_public(status: Status) -> Status:
    """What of it is for everybody who reaches the port."""
    failure, patch, wish = status.failure, status.patch, status.wish
    reason = words.leave_out_words
    return replace(
        status,
        reason=reason(status.reason),
        blocked={release: reason(why) for release, why in status.blocked.items()},
        failure=replace(failure, reason=reason(failure.reason), log="") if failure else None,
        patch=replace(patch, reason=reason(patch.reason)) if patch else None,
        wish=replace(wish, reason=reason(wish.reason)) if wish else None,
    )


def open_desk(place: Place) -> Desk:
    """With the credentials that systemd gave; ``NotNow`` if this was not started by it."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise NotNow("no credentials: zlh-agent-report.socket starts this, one process for each connection")
    return Desk(Path(folder), place)


def answer(connection: socket.socket, desk: Desk, seconds: float = SECONDS) -> None:
    """Read one request, answer it, end. A peer that is slow, silent or gone gets nothing."""
    end = time.monotonic() + seconds
    try:
        status, kind, body = _decide(_read_head(connection, end), desk)
        _bound(connection, end)
        connection.sendall(_render(status, kind, body))
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        return


def _decide(head: bytes, desk: Desk) -> "tuple[int, str, str]":
    try:
        return 200, "application/json", desk.sign(parse_nonce(head))
    except BadRequest as error:
        return error.status, "text/plain", f"{error}\n"
    except NotNow as error:
        return 503, "text/plain", f"{error}\n"


def parse_nonce(head: bytes) -> str:
    """The reader's nonce, empty if it gave none; ``BadRequest`` for all other questions."""
    line = head.partition(b"\r\n")[0].decode("ascii", errors="replace")
    found = _REQUEST.fullmatch(line)
    if found is None:
        raise BadRequest(400, f"GET {PATH} in HTTP/1.1 is wanted")
    if found["method"] != "GET":
        raise BadRequest(405, "only GET is answered: nothing can be changed here")
    path, _, query = found["path"].partition("?")
    if path != PATH:
        raise BadRequest(404, f"only {PATH} is here")
    name, _, nonce = query.partition("=")
    if query and (name != "nonce" or not is_nonce(nonce)):
        raise BadRequest(400, "nonce=HEX is wanted: at most 32 bytes in lower-case hex")
    return nonce


def _read_head(connection: socket.socket, end: float) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        _bound(connection, end)
        more = connection.recv(LONGEST_HEAD)
        if not more or len(head) + len(more) > LONGEST_HEAD:
            raise ConnectionError("no request of a size that is read")
        head += more
    return head


def _bound(connection: socket.socket, end: float) -> None:
    """Each wait gets only what is left of the whole; ``TimeoutError`` when nothing is."""
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    connection.settimeout(left)


def _render(status: int, kind: str, body: str) -> bytes:
    content = body.encode()
    lines = (
        f"HTTP/1.1 {status} {_REASONS[status]}",
        f"Content-Type: {kind}; charset=utf-8",
        f"Content-Length: {len(content)}",
        "Cache-Control: no-store",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode() + content
