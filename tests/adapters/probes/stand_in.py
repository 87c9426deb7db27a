"""Small real servers on loopback that answer well or badly, each in its own thread until its ``with`` ends."""

import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from zlh_hooks.adapters.probes import Probes
from zlh_hooks.domain.evidence import Measurement
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.probe import Probe

GUEST = GuestRef(5001, "pve1")
LOOPBACK = "127.0.0.1"


class SystemClock:
    """Real time: sockets wait in it too."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, length: timedelta) -> None:
        time.sleep(length.total_seconds())


def measure(probe: Probe, address: str | None = LOOPBACK, guest: GuestRef = GUEST) -> Measurement:
    return Probes(SystemClock()).measure(probe, guest, address)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port on which nobody answers."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind((LOOPBACK, 0))
        return int(sock.getsockname()[1])


@contextmanager
def tcp_server(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """Calls ``talk`` with each connection, then closes it; gives the port. ``talk`` may meet a peer that has left."""
    with socket.create_server((LOOPBACK, 0)) as server:
        thread = threading.Thread(target=_accept, args=(server, talk), daemon=True)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            assert not thread.is_alive()


def _accept(server: socket.socket, talk: Callable[[socket.socket], None]) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.settimeout(10)
            try:
                talk(connection)
            except OSError:
                continue


def sends(*pieces: bytes, pause: float = 0.0) -> Callable[[socket.socket], None]:
    """A server that reads a little and then sends the pieces."""

    def talk(connection: socket.socket) -> None:
        connection.recv(4096)
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)

    return talk


def drips(start: bytes, byte: bytes) -> Callable[[socket.socket], None]:
    """A server that sends a byte every 20 ms until the client has had enough."""

    def talk(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(start)
        while True:
            connection.sendall(byte)
            time.sleep(0.02)

    return talk


def floods(start: bytes, block: bytes) -> Callable[[socket.socket], None]:
    """A server that sends as fast as it can until the client hangs up."""

    def talk(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(start)
        while True:
            connection.sendall(block)

    return talk


def silent(connection: socket.socket) -> None:
    """A server that accepts, reads and says nothing until the client leaves."""
    while connection.recv(4096):
        continue


Routes = Mapping[str, tuple[int, bytes]]


@contextmanager
def http_server(routes: Routes, asked: list[str] | None = None) -> Iterator[int]:
    """Status and body by path (without its query); 3xx answers point to ``/``. ``asked`` collects full paths."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if asked is not None:
                asked.append(self.path)
            status, body = routes.get(self.path.partition("?")[0], (404, b""))
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "/")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer((LOOPBACK, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextmanager
def udp_server(reply: Callable[[bytes], list[bytes]], asked: list[bytes] | None = None) -> Iterator[int]:
    """Sends what ``reply`` makes of each datagram; ``asked`` collects the datagrams."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((LOOPBACK, 0))
        server.settimeout(0.05)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    datagram, peer = server.recvfrom(65535)
                except OSError:
                    continue
                if asked is not None:
                    asked.append(datagram)
                for answer in reply(datagram):
                    server.sendto(answer, peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            stop.set()
            thread.join(10)
