"""Minecraft Server List Ping against answers good, broken and hostile; mcstatus and a real server as peers."""

import io
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcstatus import JavaServer

from tests.adapters.probes.minecraft_server import STATUS, framed, status_packet, tells, varint
from tests.adapters.probes.stand_in import drips, floods, free_port, measure, sends, tcp_server
from zlh_hooks.adapters.probes.answer import BadAnswer
from zlh_hooks.adapters.probes.minecraft import read_status, read_varint, render_request, render_varint
from zlh_hooks.domain.evidence import Measurement, Verdict
from zlh_hooks.domain.probe import MinecraftProbe

SHORT = timedelta(milliseconds=300)
PACKAGE = "minecraft-protocol@1.68.0"


def minecraft(port: int, timeout: timedelta = SHORT) -> MinecraftProbe:
    return MinecraftProbe(kind="minecraft", port=port, timeout=timeout)


def ask(*pieces: bytes) -> Measurement:
    with tcp_server(sends(*pieces)) as port:
        return measure(minecraft(port))


def changed(**parts: object) -> bytes:
    return status_packet({**STATUS, **parts})


def test_a_server_that_tells_its_list_is_healthy_and_its_counts_are_facts() -> None:
    found = ask(status_packet())
    assert (found.verdict, found.detail) == (Verdict.HEALTHY, "3 of 20 players, 1.20.4")
    assert found.facts == {"players": "3", "max_players": "20", "server_version": "1.20.4"}


def test_an_answer_in_many_small_pieces_is_the_same_answer() -> None:
    packet = status_packet()
    assert ask(*(packet[i : i + 1] for i in range(len(packet)))).verdict is Verdict.HEALTHY


def test_the_client_says_what_a_real_client_says() -> None:
    heard = bytearray()

    def talk(connection: object) -> None:
        heard.extend(connection.recv(4096))  # type: ignore[attr-defined]

    with tcp_server(talk) as port:
        measure(minecraft(port))
    host = b"127.0.0.1"
    handshake = varint(0) + varint(47) + varint(len(host)) + host + port.to_bytes(2, "big") + varint(1)
    assert bytes(heard) == framed(handshake) + framed(varint(0)) == render_request("127.0.0.1", port)


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (b"", "the Minecraft answer ends too early"),
        (status_packet()[:-1], "the Minecraft answer ends too early"),
        (b"\x80\x80\x80\x80\x01", "not a Minecraft answer: a number of more than 3 bytes"),
        (b"\xff" * 64, "not a Minecraft answer: a number of more than 3 bytes"),
        (framed(b"\xff" * 8), "not a Minecraft answer: a number of more than 5 bytes"),
        (framed(b""), "the Minecraft answer ends too early"),
        (status_packet(packet_id=27), "not a Minecraft status: packet 27"),
        (framed(varint(0) + varint(10_000) + b"{}"), "the Minecraft answer ends too early"),
        (framed(varint(0) + varint(-1) + b"{}"), "not a Minecraft answer: a number of more than 3 bytes"),
        (framed(varint(0) + varint(2) + b"{]"), "the answer is not JSON"),
        (framed(varint(0) + varint(2) + b"\xff\xff"), "the answer is not JSON"),
        (status_packet([]), "the answer has no version"),
        (changed(version={"name": 7}), "version.name is not text"),
        (changed(players=None), "the answer has no players.online"),
        (changed(players={"online": "3", "max": 20}), "players.online is not a count"),
        (changed(players={"online": True, "max": 20}), "players.online is not a count"),
        (changed(players={"online": 3, "max": 2**31}), "players.max is not a count"),
        (changed(players={"online": 3, "max": 2.5}), "players.max is not a count"),
    ],
)
def test_a_malformed_answer_is_unhealthy_and_says_how(answer: bytes, detail: str) -> None:
    found = ask(answer)
    assert (found.verdict, found.detail) == (Verdict.UNHEALTHY, detail)


def test_a_web_server_on_the_port_is_unhealthy() -> None:
    assert ask(b"HTTP/1.1 400 Bad Request\r\n\r\n").verdict is Verdict.UNHEALTHY


def test_a_closed_port_is_unhealthy() -> None:
    assert measure(minecraft(free_port())).detail == "127.0.0.1: Connection refused"


@pytest.mark.parametrize("start", [b"", b"\xff\xff\x7f", status_packet()[:-40]])
def test_a_server_that_drips_is_left_at_the_deadline(start: bytes) -> None:
    with tcp_server(drips(start, b"\x01" if start else b"\x80")) as port:
        found = measure(minecraft(port))
    assert found.verdict is Verdict.UNHEALTHY
    assert found.took < SHORT * 2


def test_a_flood_is_cut_at_the_longest_packet() -> None:
    with tcp_server(floods(b"\xff\xff\x7f", b"\x00" * 65536)) as port:
        found = measure(minecraft(port, timedelta(seconds=5)))
    assert found.verdict is Verdict.UNHEALTHY
    assert found.took < timedelta(seconds=5)


@settings(deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_every_number_survives_writing_and_reading(value: int) -> None:
    assert read_varint(io.BytesIO(render_varint(value)), 5) == value
    assert render_varint(value) == varint(value)


MUTATED = st.tuples(st.binary(max_size=6), st.integers(0, 60), st.integers(0, 6)).map(
    lambda cut: status_packet()[: cut[1]] + cut[0] + status_packet()[cut[1] + cut[2] :]
)


@settings(deadline=None)
@given(st.binary(max_size=300) | MUTATED | st.binary(max_size=100).map(framed))
def test_any_bytes_are_a_status_or_a_bad_answer(answer: bytes) -> None:
    try:
        status = read_status(io.BytesIO(answer))
    except BadAnswer as error:
        assert str(error)
    else:
        assert isinstance(status.players, int)


def test_mcstatus_reads_the_same_from_any_well_formed_answer() -> None:
    said = [b""]
    counts = st.integers(-(2**31), 2**31 - 1)
    text = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=30)

    with tcp_server(tells(lambda: said[0])) as port:

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        @given(counts, counts, text)
        def check(online: int, most: int, version: str) -> None:
            said[0] = changed(players={"online": online, "max": most}, version={"name": version, "protocol": 1})
            theirs = JavaServer("127.0.0.1", port, timeout=5).status(tries=1)
            ours = measure(minecraft(port, timedelta(seconds=5)))
            assert ours.verdict is Verdict.HEALTHY
            assert ours.facts == {
                "players": str(theirs.players.online),
                "max_players": str(theirs.players.max),
                "server_version": theirs.version.name,
            }

        check()


# ---------------------------------------------------------------------------------------- a real server from npm

SCRIPT = """
const protocol = require('minecraft-protocol')
const server = protocol.createServer({
  'online-mode': false, host: '127.0.0.1', port: 0, version: '1.20.4', maxPlayers: 17, motd: 'peer'
})
const say = (what) => process.stdout.write(JSON.stringify(what) + '\\n')
server.on('listening', () => say({ port: server.socketServer.address().port }))
server.on('playerJoin', () => say({ joined: server.playerCount }))
process.stdin.on('data', () => {
  const { port } = server.socketServer.address()
  protocol.createClient({ host: '127.0.0.1', port, username: 'bot', version: '1.20.4', auth: 'offline' })
})
process.stdin.on('end', () => process.exit(0))
"""


@pytest.fixture(scope="session")
def npm_modules() -> Path:
    """The package, installed once into a folder that outlives the test run."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("needs node and npm (Debian packages nodejs and npm)")
    folder = Path(__file__).parents[3] / ".lab" / "npm"
    modules = folder / "node_modules"
    if not (modules / "minecraft-protocol").is_dir():
        scratch = folder.with_name(f"npm.{os.getpid()}")
        scratch.mkdir(parents=True)
        install = [npm, "install", "--prefix", str(scratch), "--ignore-scripts", "--no-audit", "--no-fund", PACKAGE]
        if subprocess.run(install, timeout=240).returncode != 0:
            shutil.rmtree(scratch)
            pytest.skip(f"npm could not install {PACKAGE}")
        if folder.exists():
            shutil.rmtree(scratch)
        else:
            scratch.rename(folder)
    return modules


@contextmanager
def npm_server(modules: Path) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    node = subprocess.Popen(
        ["node", "-e", SCRIPT],
        env={**os.environ, "NODE_PATH": str(modules)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert node.stdin
    assert node.stdout
    try:
        yield json.loads(node.stdout.readline())["port"], node
    finally:
        node.stdin.close()
        node.wait(30)
        node.stdout.close()


@pytest.mark.peer
@pytest.mark.timeout(300)
def test_a_real_server_tells_us_what_it_tells_mcstatus_with_and_without_a_player(npm_modules: Path) -> None:
    with npm_server(npm_modules) as (port, node):
        for players in (0, 1):
            if players:
                assert node.stdin
                assert node.stdout
                node.stdin.write("join\n")
                node.stdin.flush()
                assert json.loads(node.stdout.readline()) == {"joined": 1}
            theirs = JavaServer("127.0.0.1", port, timeout=10).status()
            ours = measure(minecraft(port, timedelta(seconds=10)))
            assert (ours.verdict, theirs.players.online) == (Verdict.HEALTHY, players)
            assert ours.facts == {
                "players": str(players),
                "max_players": str(theirs.players.max),
                "server_version": theirs.version.name,
            }
            assert ours.facts["max_players"] == "17"


@pytest.mark.peer
@pytest.mark.timeout(300)
def test_a_real_server_that_was_killed_is_unhealthy_at_once(npm_modules: Path) -> None:
    with npm_server(npm_modules) as (port, node):
        assert measure(minecraft(port, timedelta(seconds=10))).verdict is Verdict.HEALTHY
        node.kill()
        node.wait(30)
        began = time.monotonic()
        assert measure(minecraft(port, timedelta(seconds=10))).verdict is Verdict.UNHEALTHY
        assert time.monotonic() - began < 5
