"""HTTP with an end: a request that hangs, drips, points elsewhere or breaks off is told apart, and none lasts for ever.

One connection a request, without proxies, redirects and compression: the server is the site's own static one.
"""

import http.client
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from agent_plugin.refusal import Refusal, Refused

_CHUNK = 65_536
_GONE = (403, 404, 410)
_LATER = (429, 503)


@dataclass(frozen=True)
class Limits:
    """Seconds, and bytes a second. ``grace_seconds``: from when on the rate of a transfer is judged."""

    silence_seconds: float = 10
    check_seconds: float = 120
    download_seconds: float = 3600
    grace_seconds: float = 10
    least_rate: int = 1024


class NotThere(Exception):
    """The server says that there is no such file."""


class NoRange(Exception):
    """The server gives the file from its beginning only, or has less of it than we do."""


class Road:
    """The way to one server. ``received`` and ``requests`` count bodies and questions, for the report."""

    def __init__(self, url: str, limits: Limits, ca_file: Path | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise ValueError(f"found {url!r}; expected such as https://updates.example.net/agents")
        self._parts, self._limits = parts, limits
        self._trust = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        self.requests = self.received = 0

    def deadline(self, seconds: float) -> float:
        """The monotonic time by which something must be over."""
        return time.monotonic() + seconds

    def read(self, path: str, most: int, deadline: float) -> bytes:
        """A small file; ``NotThere``, ``Refused``."""
        data = b""
        for chunk in self.stream(path, deadline):
            data += chunk
            if len(data) > most:
                raise Refused(Refusal.TOO_LONG, path, f"more than {most} bytes")
        return data

    def stream(self, path: str, deadline: float, offset: int = 0) -> Iterator[bytes]:
        """The file's bytes from ``offset`` on; ``NotThere``, ``NoRange``, ``Refused``."""
        with self._translated(path, deadline), self._connected(deadline) as connection:
            headers = {"Accept-Encoding": "identity", "Connection": "close", "User-Agent": "zlh-agent-plugin"}
            if offset:
                headers["Range"] = f"bytes={offset}-"
            self.requests += 1
            connection.request("GET", f"{self._parts.path.rstrip('/')}/{path}", headers=headers)
            response = connection.getresponse()
            _refuse_status(response, path, offset)
            yield from self._receive(response, path, deadline)

    def _receive(self, response: http.client.HTTPResponse, path: str, deadline: float) -> Iterator[bytes]:
        began, received = time.monotonic(), 0
        while chunk := response.read1(_CHUNK):
            received += len(chunk)
            self.received += len(chunk)
            self._refuse_slow(path, received, time.monotonic() - began, deadline)
            yield chunk
        self._refuse_slow(path, received, time.monotonic() - began, deadline)
        if response.length:
            raise Refused(Refusal.BROKEN_OFF, path, f"{response.length} bytes are missing")

    def _refuse_slow(self, path: str, received: int, seconds: float, deadline: float) -> None:
        if time.monotonic() >= deadline:
            raise Refused(Refusal.TOO_SLOW, path, f"not done in time; {received} bytes in {seconds:.0f} s")
        if seconds > self._limits.grace_seconds and received < self._limits.least_rate * seconds:
            raise Refused(Refusal.TOO_SLOW, path, f"{received} bytes in {seconds:.0f} s")

    @contextmanager
    def _connected(self, deadline: float) -> Iterator[http.client.HTTPConnection]:
        """A connection that somebody cuts when its time is over, wherever it hangs."""
        left = max(0.001, deadline - time.monotonic())
        timeout = min(self._limits.silence_seconds, left)
        host, port = str(self._parts.hostname), self._parts.port
        connection = (
            http.client.HTTPSConnection(host, port, timeout=timeout, context=self._trust)
            if self._trust
            else http.client.HTTPConnection(host, port, timeout=timeout)
        )
        watch = threading.Timer(left, _cut, (connection,))
        watch.daemon = True
        try:
            watch.start()
            yield connection
        finally:
            watch.cancel()
            connection.close()

    @contextmanager
    def _translated(self, path: str, deadline: float) -> Iterator[None]:
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            cause = Refusal.TOO_SLOW if time.monotonic() >= deadline else _name_error(error)
            raise Refused(cause, path, str(error) or type(error).__name__) from error


def _cut(connection: http.client.HTTPConnection) -> None:
    """End what another thread waits for; it may have ended meanwhile."""
    try:
        if connection.sock:
            connection.sock.shutdown(2)
    except OSError:
        return


def _name_error(error: Exception) -> Refusal:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Refusal.UNTRUSTED_TLS
    if isinstance(error, TimeoutError):
        return Refusal.STALLED
    if isinstance(error, ConnectionResetError | BrokenPipeError | http.client.HTTPException | ssl.SSLError):
        return Refusal.BROKEN_OFF
    return Refusal.UNREACHABLE


def _refuse_status(response: http.client.HTTPResponse, path: str, offset: int) -> None:
    status = response.status
    if status == (206 if offset else 200):
        return
    if offset and status in (200, 416):
        raise NoRange(path)
    if status in _GONE:
        raise NotThere(path)
    if status in _LATER:
        later = response.headers.get("Retry-After", "a while")
        raise Refused(Refusal.SERVER_BUSY, path, f"{status}, retry after {later}")
    if 300 <= status < 400:
        raise Refused(Refusal.REDIRECTED, path, f"{status} to {response.headers.get('Location', 'nowhere')!r}")
    raise Refused(Refusal.SERVER_ERROR, path, f"{status} {response.reason}")
