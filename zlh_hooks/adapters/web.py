"""One HTTP request: within one deadline, without redirects and proxies, and with the moments of failure kept apart.

``http.client`` and not ``requests``: the latter's time-out is per read, it looks names up by itself, and of a broken
connection it does not say whether the request was already on its way.
"""

import http.client
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import cast
from urllib.parse import SplitResult, urlsplit

from zlh_hooks.adapters.probes.wire import Deadline, TooLong, Wire, open_wire
from zlh_hooks.application.ports import Clock
from zlh_hooks.domain.address import render_host
from zlh_hooks.domain.errors import RoadError, Unanswered

_PIECE_BYTES = 64 * 1024
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent, to a URL that ``parse_url`` has passed. Nothing of it is shown: each part may hold a secret."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)

    @property
    def parts(self) -> SplitResult:
        """The URL taken apart."""
        return urlsplit(self.url)

    @property
    def host(self) -> str:
        """The host's name or address."""
        return str(self.parts.hostname)

    @property
    def port(self) -> int:
        """The port, or the scheme's own."""
        return self.parts.port or _PORTS[self.parts.scheme]


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. ``broken`` says why the body is not whole, if it is not: the status counts all the same."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes = b""
    broken: str = ""


@dataclass(frozen=True, slots=True)
class Web:
    """How requests are made. ``limit_bytes`` bounds the whole answer, ``timeout`` all of the exchange."""

    clock: Clock
    trust: ssl.SSLContext
    timeout: timedelta
    limit_bytes: int

    def ask(self, request: Request, addresses: Sequence[str] = ()) -> Reply:
        """Send once, to one of ``addresses`` if they are given, under the URL's own name.

        ``RoadError`` if it cannot have arrived whole, ``Unanswered`` if it was sent and no answer came.
        """
        deadline = Deadline(self.clock, self.timeout)
        with self._connect(request, addresses or (request.host,), deadline) as wire:
            connection = http.client.HTTPConnection(request.host, request.port)
            connection.sock, connection.auto_open = cast(socket.socket, wire), 0
            _send(connection, request)
            return _read(connection, request)

    def _connect(self, request: Request, addresses: Sequence[str], deadline: Deadline) -> Wire:
        """To the first address that takes the connection."""
        trust = self.trust if request.parts.scheme == "https" else None
        *others, last = addresses
        for address in others:
            try:
                return open_wire(address, request.port, deadline, self.limit_bytes, trust, request.host)
            except OSError:
                continue
        try:
            return open_wire(last, request.port, deadline, self.limit_bytes, trust, request.host)
        except (OSError, UnicodeError) as error:
            raise RoadError(f"{render_host(request.url)}: no connection ({_explain(error)})") from error


def _send(connection: http.client.HTTPConnection, request: Request) -> None:
    parts = request.parts
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"User-Agent": "zlh-hooks", "Connection": "close", "Host": parts.netloc, **request.headers}
    try:
        connection.request(request.method, target, request.body, headers)
    except OSError as error:
        raise RoadError(f"{render_host(request.url)}: the connection broke ({_explain(error)})") from error


def _read(connection: http.client.HTTPConnection, request: Request) -> Reply:
    try:
        answer = connection.getresponse()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unanswered(f"{render_host(request.url)}: sent, and no answer came ({_explain(error)})") from error
    headers = {name.lower(): value for name, value in answer.getheaders()}
    body, broken = _read_body(answer)
    return Reply(answer.status, answer.reason, headers, body, broken)


def _read_body(answer: http.client.HTTPResponse) -> tuple[bytes, str]:
    """In pieces: a false Content-Length must not make us reserve memory. And what is short does not pass for whole."""
    try:
        body = b"".join(iter(lambda: answer.read(_PIECE_BYTES), b""))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return b"", _explain(error)
    return body, "cut short" if answer.length else ""


def _explain(error: Exception) -> str:
    """Without foreign text: what a peer says may be anything."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, TooLong):
        return str(error)
    words = error.strerror if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else None
    return words or type(error).__name__
