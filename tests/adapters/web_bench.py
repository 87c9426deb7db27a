"""A real HTTP(S) server on loopback that remembers what it was asked, and answers well or badly."""

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STALL, RESET, CLOSE, NONSENSE = 0, -1, -2, -3
"""In place of a status: say nothing, tear the connection, end it without an answer, or answer what is no HTTP."""


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Answers with ``statuses`` in turn, the last one for ever."""

    statuses: list[int] = field(default_factory=lambda: [200])
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    stall: threading.Event = field(default_factory=threading.Event)

    def choose_status(self) -> int:
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, receiver: Receiver) -> None:
        super().__init__((host, 0), _Handler)
        self.receiver = receiver

    def handle_error(self, request: object, address: object) -> None:
        """A peer that left is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        receiver.asked.append(Asked(self.command, self.path, dict(self.headers), body))
        status = receiver.choose_status()
        if status > 0:
            self.answer(status)
        else:
            self.misbehave(status)

    def do_POST(self) -> None:
        self.do_GET()

    def answer(self, status: int) -> None:
        receiver = self.server.receiver
        self.send_response(status)
        for name, value in {"Content-Length": str(len(receiver.body)), **receiver.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(receiver.body)

    def misbehave(self, how: int) -> None:
        self.close_connection = True
        if how == STALL:
            self.server.receiver.stall.wait(10)
        if how == RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        if how == NONSENSE:
            self.wfile.write(b"SSH-2.0-OpenSSH\r\n")

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def finish(self) -> None:
        """A connection that was torn can't be flushed."""
        if self.connection.fileno() >= 0:
            super().finish()


@contextmanager
def receiver(certificate: Path | None = None, host: str = "127.0.0.1", **behaviour: object) -> Iterator[Receiver]:
    """Over TLS with a certificate."""
    state = Receiver(**behaviour)  # type: ignore[arg-type]
    server = _Server(host, state)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    state.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        state.stall.set()
        server.shutdown()
        server.server_close()
        thread.join()
