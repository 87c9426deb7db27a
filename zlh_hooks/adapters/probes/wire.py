"""A TCP or TLS connection on which no peer can hold us: every wait ends at one deadline, and reading at a limit.

Time-outs of sockets (and of HTTP libraries built on them) are per read: a peer that sends a byte a second never meets
them. Here each read gets only what is left of the whole. Looking up a *name* (never needed for a guest) is the
resolver's own time.
"""

import io
import socket
import ssl
from contextlib import ExitStack
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

from zlh_hooks.application.ports import Clock

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class TooLong(ConnectionError):
    """The peer sent more than was allowed."""


class Deadline:
    """One time-out for all that a question needs."""

    def __init__(self, clock: Clock, length: timedelta) -> None:
        self.length = length
        self._clock = clock
        self._end = clock.monotonic() + length.total_seconds()

    def remaining_seconds(self) -> float:
        """What is left; ``TimeoutError`` when nothing is."""
        seconds = self._end - self._clock.monotonic()
        if seconds <= 0:
            raise TimeoutError("timed out")
        return seconds


class Wire:
    """A connection, closed by ``with``. It quacks as much like a socket as ``http.client`` needs."""

    def __init__(self, sock: socket.socket, deadline: Deadline, limit_bytes: int) -> None:
        self._socket = sock
        self._deadline = deadline
        self._limit_bytes = limit_bytes
        self._received_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._socket.close()

    def sendall(self, data: bytes) -> None:
        """Send everything within the deadline."""
        self._socket.settimeout(self._deadline.remaining_seconds())
        self._socket.sendall(data)

    def receive_into(self, buffer: "WriteableBuffer") -> int:
        """Some bytes, 0 at the end; ``TimeoutError`` at the deadline, ``TooLong`` over the limit."""
        self._socket.settimeout(self._deadline.remaining_seconds())
        count = self._socket.recv_into(buffer)
        self._received_bytes += count
        if self._received_bytes > self._limit_bytes:
            raise TooLong(f"answer of more than {self._limit_bytes} bytes")
        return count

    def makefile(self, mode: str = "rb") -> io.BufferedReader:
        """The bytes received, as a file."""
        return io.BufferedReader(_Received(self))

    def close(self) -> None:
        """``http.client`` closes before it has read the body; ``with`` closes for good."""


class _Received(io.RawIOBase):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        return self._wire.receive_into(buffer)


def open_wire(
    host: str,
    port: int,
    deadline: Deadline,
    limit_bytes: int,
    trust: ssl.SSLContext | None = None,
    name: str | None = None,
) -> Wire:
    """Connect; with ``trust``, speak TLS and let the peer prove that it is ``name``. OSError says why not."""
    with ExitStack() as on_error:
        sock = on_error.enter_context(_connect(host, port, deadline))
        if trust is not None:
            sock.settimeout(deadline.remaining_seconds())
            sock = trust.wrap_socket(sock, server_hostname=name)
        on_error.pop_all()
        return Wire(sock, deadline, limit_bytes)


def _connect(host: str, port: int, deadline: Deadline) -> socket.socket:
    refusal: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(deadline.remaining_seconds())
            sock.connect(address)
        except OSError as error:
            sock.close()
            refusal = error
        else:
            return sock
    raise refusal
