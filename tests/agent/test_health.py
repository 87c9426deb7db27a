"""Asking an agent that answers in every way it should not: always within two seconds, always with a reason."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from agent_plugin import health
from agent_plugin.health import Health
from agent_plugin.setting import Settings
from agent_plugin.state import Before
from agent_plugin.systemd import SystemdPrograms, UnitLook

GOOD = b'HTTP/1.0 200 OK\r\n\r\n{"version": "1.0"}'


class Up(SystemdPrograms):
    """A unit that is always there."""

    def look(self, unit: str = "") -> UnitLook:
        return UnitLook(True, "one")


def drip(connection: socket.socket) -> None:
    try:
        for letter in GOOD * 1000:
            connection.sendall(bytes([letter]))
            time.sleep(0.05)  # the drip is what is tested
    except OSError:
        pass


def flood(connection: socket.socket) -> None:
    try:
        while True:
            connection.sendall(bytes(1 << 16))
    except OSError:
        pass


def say(answer: bytes) -> "Callable[[socket.socket], None]":
    return lambda connection: connection.sendall(answer)


@contextmanager
def serving(behave: "Callable[[socket.socket], None]") -> "Iterator[Health]":
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(1000)
                behave(connection)

    threading.Thread(target=serve, daemon=True).start()
    yield Health(Up(), Settings(port=listener.getsockname()[1]))
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.mark.parametrize(
    ("behave", "fault"),
    [
        (say(GOOD), ""),
        (say(GOOD.replace(b'"1.0"', b'"2.0"')), "the socket is answered by '2.0'"),
        (say(b'HTTP/1.1 200 OK\r\n\r\n{"version": 1}'), "answered by ''"),
        (say(b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 50000), "answered by ''"),
        (say(b"HTTP/1.1 503 No\r\n\r\n"), "503"),
        (say(b"HTTP/1.1 302 Go\r\nLocation: http://10.0.0.1/\r\n\r\n"), "302"),
        (say(b"hello"), "hello"),
        (say(b""), "answered b''"),
        (flood, "answered more than 65536 bytes"),
    ],
)
def test_only_the_right_version_on_the_socket_is_well(behave: "Callable[[socket.socket], None]", fault: str) -> None:
    with serving(behave) as asked:
        seen = asked.look("1.0", Before()).fault
    assert fault in seen if fault else seen == ""


def test_an_answer_that_drips_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "ANSWER_SECONDS", 0.3)
    began = time.monotonic()
    with serving(drip) as asked:
        fault = asked.look("1.0", Before()).fault
    assert "no whole answer within" in fault or "timed out" in fault
    assert time.monotonic() - began < 2


def test_nobody_there_is_a_fault() -> None:
    with serving(say(GOOD)) as asked:
        pass
    assert "Connection refused" in asked.look("1.0", Before()).fault
    assert asked.read_version() == ""


def test_an_agent_that_names_no_version_may_be_gone_back_to() -> None:
    with serving(say(b"HTTP/1.0 200 OK\r\n\r\nok")) as asked:
        assert (asked.look("", Before()).fault, asked.read_version()) == ("", "")


def test_what_was_answered_and_reached_before_must_be_so_afterwards() -> None:
    with serving(lambda connection: connection.sendall(GOOD)) as other:
        address = f"127.0.0.1:{other._settings.port}"
        with serving(say(GOOD)) as asked:
            asked._settings = Settings(
                port=asked._settings.port, operations=("/status",), reach=(address, "127.0.0.1:1")
            )
            before = Before(answered=asked.list_answered(), reached=asked.list_reached())
            assert (before.answered, before.reached) == (("/status",), (address,))
            assert asked.look("1.0", before).fault == ""
            gone = Before(reached=("127.0.0.1:1",))
            assert asked.look("1.0", gone).fault == "127.0.0.1:1 is not reached any more"
