"""What counts as the guest's failure and what as ours; TCP; and what never leaves the agent's answers."""

import errno
import json
import os
import resource
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.adapters.probes.stand_in import drips, free_port, http_server, measure, silent, tcp_server
from zlh_hooks.adapters.probes.answer import is_guests_fault
from zlh_hooks.domain.evidence import Verdict
from zlh_hooks.domain.probe import AgentProbe, HttpProbe, MinecraftProbe, Probe, PrometheusProbe, SourceProbe, TcpProbe

SHORT = timedelta(milliseconds=300)
SECRET = "hunter2"


def tcp(port: int) -> TcpProbe:
    return TcpProbe(kind="tcp", port=port, timeout=SHORT, name="game")


def agent(port: int, version_path: str = "version") -> AgentProbe:
    return AgentProbe(kind="agent", port=port, timeout=SHORT, version_path=version_path)


EVERY_KIND: list[Probe] = [
    HttpProbe(kind="http", port=1),
    tcp(1),
    agent(1),
    MinecraftProbe(kind="minecraft"),
    SourceProbe(kind="source"),
    PrometheusProbe(kind="prometheus", url="http://127.0.0.1:1", query="up"),
]


@pytest.mark.parametrize("probe", EVERY_KIND, ids=lambda probe: probe.kind)
def test_a_guest_without_an_address_is_unhealthy(probe: Probe) -> None:
    found = measure(probe, None)
    assert (found.verdict, found.detail) == (Verdict.UNHEALTHY, "the guest has no address yet")
    assert found.probe == probe.label


@pytest.mark.parametrize("probe", EVERY_KIND, ids=lambda probe: probe.kind)
def test_an_address_that_is_none_is_an_error_of_ours_and_never_looked_up(probe: Probe) -> None:
    found = measure(probe, "game.example")
    assert (found.verdict, found.detail) == (Verdict.ERROR, "'game.example' is not an IP address")


def test_a_port_that_accepts_is_healthy_and_one_that_does_not_is_not() -> None:
    with tcp_server(silent) as port:
        assert measure(tcp(port)).verdict is Verdict.HEALTHY
    found = measure(tcp(free_port()))
    assert (found.probe, found.verdict, found.detail) == ("game", Verdict.UNHEALTHY, "127.0.0.1: Connection refused")


def test_a_guest_is_reached_by_ipv6_too() -> None:
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6 on loopback")
    with server:
        assert measure(tcp(server.getsockname()[1]), "::1").verdict is Verdict.HEALTHY


@pytest.mark.parametrize(
    ("error", "guilty"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, ""), True),
        (ConnectionResetError(errno.ECONNRESET, ""), True),
        (BrokenPipeError(errno.EPIPE, ""), True),
        (TimeoutError(errno.ETIMEDOUT, ""), True),
        (OSError(errno.EHOSTUNREACH, ""), True),
        (ssl.SSLError(errno.EPERM, "a TLS error whose number looks like a system's"), True),
        (OSError(errno.ENETUNREACH, ""), False),
        (OSError(errno.ENETDOWN, ""), False),
        (OSError(errno.EADDRNOTAVAIL, ""), False),
        (OSError(errno.EAFNOSUPPORT, ""), False),
        (PermissionError(errno.EPERM, ""), False),
        (OSError(errno.ENOBUFS, ""), False),
    ],
    ids=lambda value: errno.errorcode.get(value.errno, "") if isinstance(value, OSError) else "",
)
def test_the_guest_is_blamed_for_its_silence_and_not_for_our_network(error: OSError, guilty: bool) -> None:
    assert is_guests_fault(error) is guilty


@contextmanager
def no_more_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Path(os.devnull).open() as lowest:
        free = lowest.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("probe", EVERY_KIND, ids=lambda probe: probe.kind)
def test_running_out_of_sockets_is_an_error_of_ours(probe: Probe) -> None:
    with no_more_files():
        found = measure(probe, "127.0.0.1")
    assert found.verdict is Verdict.ERROR
    assert "Too many open files" in found.detail


# ----------------------------------------------------------------------------------------------------------- agent


def answers(status: object, health: bytes = b"ok") -> dict[str, tuple[int, bytes]]:
    return {"/health": (200, health), "/status": (200, json.dumps(status).encode())}


@pytest.mark.parametrize("state", ["idle", "installing", "running", "crashed", "error"])
def test_an_agent_that_names_any_state_is_healthy_because_judging_it_needs_the_state_before(state: str) -> None:
    with http_server(answers({"state": state})) as port:
        found = measure(agent(port))
    assert (found.verdict, found.facts) == (Verdict.HEALTHY, {"state": state})


@pytest.mark.parametrize(
    ("status", "health", "path", "version"),
    [
        ({"version": "1.2.0"}, b'{"version": "0.9"}', "version", "1.2.0"),
        ({}, b'{"version": "0.9"}', "version", "0.9"),
        ({"agent": {"build": 41}}, b"ok", "agent.build", "41"),
        ({"version": {"password": SECRET}}, b"", "version", None),
        ({"version": SECRET * 100}, b"[", "version", None),
        ({"version": None}, b"null", "version", None),
    ],
)
def test_the_version_comes_from_status_or_else_from_health(
    status: dict[str, object], health: bytes, path: str, version: str | None
) -> None:
    with http_server(answers({"state": "running", **status}, health)) as port:
        found = measure(agent(port, path))
    assert (found.verdict, found.facts.get("version")) == (Verdict.HEALTHY, version)


@pytest.mark.parametrize(
    ("routes", "detail"),
    [
        ({"/health": (500, b""), "/status": (200, b'{"state": "running"}')}, "/health answered 500"),
        ({"/health": (204, b"")}, "/status answered 404"),
        ({"/health": (200, b""), "/status": (301, b"")}, "/status answered 301"),
        (answers({}), "the answer has no state"),
        (answers({"state": 7}), "state in /status is not a word of at most 64 characters"),
        (answers({"state": ""}), "state in /status is not a word of at most 64 characters"),
        ({"/health": (200, b""), "/status": (200, b"<html>")}, "the answer is not JSON"),
    ],
)
def test_an_agent_that_is_not_well_is_unhealthy(routes: dict[str, tuple[int, bytes]], detail: str) -> None:
    with http_server(routes) as port:
        found = measure(agent(port))
    assert (found.verdict, found.detail) == (Verdict.UNHEALTHY, detail)


@pytest.mark.parametrize(
    "status",
    [
        {"state": "running", "payload": {"admin_pass": SECRET}},
        {"state": {"admin_pass": SECRET}},
        {"state": SECRET * 20},
        {"payload": {"admin_pass": SECRET}},
        [SECRET],
        SECRET,
    ],
)
def test_nothing_but_state_and_version_ever_leaves_an_agents_answer(status: object) -> None:
    with http_server(answers(status, json.dumps({"admin_pass": SECRET}).encode())) as port:
        found = measure(agent(port))
    assert SECRET not in repr(found)


def test_a_broken_answer_is_not_quoted() -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(f"{SECRET}\r\n".encode())

    with tcp_server(talk) as port:
        found = measure(agent(port))
    assert found.verdict is Verdict.UNHEALTHY
    assert SECRET not in repr(found)


def test_both_requests_to_an_agent_share_one_deadline() -> None:
    with tcp_server(drips(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b" ")) as port:
        found = measure(agent(port))
    assert found.verdict is Verdict.UNHEALTHY
    assert found.took < SHORT * 2
