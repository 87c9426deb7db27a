"""A real HTTP server on loopback for a folder, which can lie, drip, stall and break off."""

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Trick = Callable[["Handler", bytes], None]
"""Answers in the server's stead; gets the bytes that would have been right."""


@dataclass
class UpdateServer:
    """``tricks``: a part of a path, and what happens to requests for it. ``before``: called before each answer."""

    folder: Path
    tricks: dict[str, Trick] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    sent: int = 0
    before: Callable[[str], None] = lambda path: None
    stop: threading.Event = field(default_factory=threading.Event)
    port: int = 0
    host: str = "127.0.0.1"

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, state: UpdateServer) -> None:
        super().__init__((state.host, 0), Handler)
        self.state = state

    def handle_error(self, request: object, address: object) -> None:
        """A client that left is no news."""


class Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        state = self.server.state
        state.before(self.path)
        state.asked.append(self.path)
        state.ranges.append(self.headers.get("Range", ""))
        path = state.folder / self.path.lstrip("/")
        data = path.read_bytes() if path.is_file() else b""
        trick = next((trick for part, trick in state.tricks.items() if part in self.path), None)
        if trick:
            self.close_connection = True
            trick(self, data)
        elif not path.is_file():
            self.answer(404, b"no such file")
        else:
            self.answer_file(data)

    def answer_file(self, data: bytes) -> None:
        asked = self.headers.get("Range", "")
        if not asked:
            return self.answer(200, data)
        offset = int(asked.removeprefix("bytes=").rstrip("-"))
        rest = data[offset:]
        self.answer(206, rest, {"Content-Range": f"bytes {offset}-{len(data) - 1}/{len(data)}"})

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.begin(status, len(body), headers)
        self.send(body)

    def begin(self, status: int, length: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def send(self, body: bytes) -> None:
        self.server.state.sent += len(body)  # before: who has read the last byte may look at once
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def says(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> Trick:
    """Another answer."""
    return lambda handler, _data: handler.answer(status, body, headers)


def gives(change: Callable[[bytes], bytes]) -> Trick:
    """Other bytes."""
    return lambda handler, data: handler.answer(200, change(data))


def stall(handler: Handler, data: bytes) -> None:
    """Accepts, and says nothing."""
    handler.server.state.stop.wait(30)


def stall_in_headers(handler: Handler, data: bytes) -> None:
    """A header without an end, a byte at a time."""
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Long: ")
    while not handler.server.state.stop.wait(0.02):
        handler.wfile.write(b"x")
        handler.wfile.flush()


def drip(handler: Handler, data: bytes) -> None:
    """The right bytes, one at a time."""
    handler.begin(200, len(data))
    for position in range(len(data)):
        if handler.server.state.stop.wait(0.02):
            return
        handler.send(data[position : position + 1])


def break_off(after: int) -> Trick:
    """Ends in the middle; torn."""

    def trick(handler: Handler, data: bytes) -> None:
        offset = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        rest = data[offset:]
        handler.begin(206 if offset else 200, len(rest))
        handler.send(rest[:after])
        handler.connection.shutdown(socket.SHUT_WR)

    return trick


def reset(handler: Handler, data: bytes) -> None:
    """Tears the connection without a word."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(handler.connection.detach())


@contextmanager
def update_server(folder: Path, host: str = "127.0.0.1") -> Iterator[UpdateServer]:
    state = UpdateServer(folder, host=host)
    server = _Server(state)
    state.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        state.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()
