#!/usr/bin/python3 -IS
"""The reference agent: what a ZLH agent must do to be swapped without a lost request. A release's ``zlh-agent``.

``GET /health`` and ``/status``; ``POST /config`` (kept for root alone), ``/start`` and ``/stop`` (the game's own unit).
It serves on a socket passed by systemd, or binds ``ZLH_AGENT_PORT`` itself; says READY only after it has answered itself
with its own version; feeds the watchdog; on SIGTERM it stops accepting, answers what was asked, and ends.

``VERSION`` beside it names its version; ``FAULT``, if there is one, what is wrong with it (see ``FAULTS``).
"""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
PORT = int(os.environ.get("ZLH_AGENT_PORT", "18888"))
GAME_PORT = 25577
PAYLOAD = Path("/opt/zlh-agent/config/payload.json")
LONGEST_BODY = 1 << 20
IDLE_SECONDS = 1.0
DRAIN_SECONDS = 10.0
FAULTS = ("exit", "exit-later", "hang", "freeze", "wrong-version", "sick", "garbage", "no-python", "unreadable")


def read_beside(name: str) -> str:
    """A word from a file of the release; empty if there is none."""
    path = HERE / name
    return path.read_text().strip() if path.exists() else ""


VERSION = read_beside("VERSION")
FAULT = read_beside("FAULT")
Answer = tuple[int, dict[str, object]]


def take_socket() -> socket.socket:
    """The socket that systemd holds for us, or one of our own; never shut down, because others may hold it too."""
    passed = os.environ.pop("LISTEN_FDS", ""), os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDNAMES", "")
    if passed[1] == str(os.getpid()) and int(passed[0] or 0) >= 1:
        os.set_inheritable(3, False)
        return socket.socket(fileno=3)
    return socket.create_server(("", PORT), backlog=4096)


def notify(text: str) -> None:
    """Tell systemd, if it listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram:
            datagram.sendto(text.encode(), f"\0{address[1:]}" if address.startswith("@") else address)


async def health(_body: bytes) -> Answer:
    """Also the watchdog's own question."""
    shown = "0.0.0" if FAULT == "wrong-version" else VERSION
    return (503, {"status": "failing"}) if FAULT == "sick" else (200, {"status": "ok", "version": shown})


async def status(_body: bytes) -> Answer:
    """``state`` in the words of the ZLH platform."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", GAME_PORT), 0.5)
        writer.close()
    except (TimeoutError, OSError):
        return 200, {"state": "stopped", "version": VERSION}
    return 200, {"state": "running", "version": VERSION}


async def configure(body: bytes) -> Answer:
    """Keep the payload: it holds a password."""
    try:
        json.loads(body)
    except ValueError:
        return 400, {"error": "JSON is wanted"}
    PAYLOAD.parent.mkdir(mode=0o700, exist_ok=True)
    PAYLOAD.touch(mode=0o600)
    PAYLOAD.write_bytes(body)
    return 200, {"status": "kept"}


def game(verb: str) -> Callable[[bytes], Awaitable[Answer]]:
    """Start or stop the game in its own unit, so that it outlives the agent."""

    async def act(_body: bytes) -> Answer:
        done = await asyncio.create_subprocess_exec("systemctl", verb, "zlh-game.service")
        return (200, {"status": "done"}) if await done.wait() == 0 else (500, {"error": f"{verb} failed"})

    return act


ROUTES: dict[str, Callable[[bytes], Awaitable[Answer]]] = {
    "GET /health": health,
    "GET /status": status,
    "POST /config": configure,
    "POST /start": game("start"),
    "POST /stop": game("stop"),
}


class Agent:
    """The server and its connections."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.connections: set[asyncio.Task[None]] = set()
        self.draining = asyncio.Event()

    async def serve(self) -> None:
        """Until SIGTERM, and then until the last answer."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.draining.set)
        self.listener.setblocking(False)
        loop.add_reader(self.listener, self.accept)
        await self.answer_myself()
        notify("READY=1")
        feeding = asyncio.ensure_future(feed_watchdog())
        await self.draining.wait()
        feeding.cancel()
        notify("STOPPING=1")
        loop.remove_reader(self.listener)  # who waits in the queue waits for the next agent
        if self.connections:
            await asyncio.wait(self.connections, timeout=DRAIN_SECONDS)

    async def answer_myself(self) -> None:
        """READY is a promise: the socket answers, with this version."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.getsockname()[1])
        writer.write(b"GET /health HTTP/1.0\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        if FAULT not in ("sick", "wrong-version") and VERSION.encode() not in answer:
            sys.exit(f"my own /health answers {answer!r}")

    def accept(self) -> None:
        """Whoever is taken from the queue is counted at once: asyncio's own server forgets, on closing, those not begun."""
        try:
            connection, _ = self.listener.accept()
        except OSError:  # it left again
            return
        task = asyncio.ensure_future(self.talk(connection))
        self.connections.add(task)
        task.add_done_callback(self.connections.discard)

    async def talk(self, connection: socket.socket) -> None:
        """One connection."""
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            while await self.answer(reader, writer):
                pass
            writer.close()
            await writer.wait_closed()
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.close()  # the client's own trouble

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether another one may follow on this connection."""
        head = await self.read_head(reader)
        if not head:
            return False
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(min(int(headers.get("content-length", "0")), LONGEST_BODY))
        method, path, protocol = first.split(" ")
        route = ROUTES.get(f"{method} {path}")
        code, told = await route(body) if route else (404, {"error": "unknown path"})
        keep = protocol == "HTTP/1.1" and headers.get("connection", "") != "close" and not self.draining.is_set()
        text = json.dumps(told).encode()
        writer.write(
            f"HTTP/1.1 {code} .\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n"
            f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n".encode()
            + text
        )
        await writer.drain()
        return keep

    async def read_head(self, reader: asyncio.StreamReader) -> bytes:
        """The next request's head; empty if the client leaves, or stays silent while we want to end."""
        reading = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
        ending = asyncio.ensure_future(self.draining.wait())
        await asyncio.wait((reading, ending), return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if not reading.done():
            await asyncio.wait((reading,), timeout=IDLE_SECONDS)
        if not reading.done():
            reading.cancel()
            return b""
        try:
            return reading.result()
        except asyncio.IncompleteReadError:
            return b""


async def feed_watchdog() -> None:
    """Twice as often as systemd asks for. A loop that hangs feeds nobody."""
    interval = int(os.environ.get("WATCHDOG_USEC", "0")) / 2_000_000
    while interval:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval)


def spoil(name: str) -> None:
    """A self-test that passes and leaves something behind that cannot be started."""
    program = HERE / "zlh-agent"
    if name == "garbage":
        program.write_bytes(b"\x7fELF" + os.urandom(4096))
    elif name == "no-python":
        program.write_text("#!/usr/bin/no-such-python\n")
    elif name == "unreadable":
        program.chmod(0)


def main() -> None:
    """Serve, or test myself."""
    if sys.argv[1:] == ["--self-test"]:
        if not VERSION or FAULT == "self-test":
            sys.exit("VERSION is missing" if not VERSION else "this release knows that it is bad")
        return spoil(FAULT)
    print(f"agent {VERSION} starts", flush=True)
    if FAULT == "exit":
        sys.exit("this release cannot start: secret-free last words")
    if FAULT == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(3600)
    agent = Agent(take_socket())
    if FAULT in ("exit-later", "freeze"):
        signal.signal(signal.SIGALRM, lambda *_: os._exit(7) if FAULT == "exit-later" else time.sleep(3600))
        signal.alarm(2)
    asyncio.run(agent.serve())


if __name__ == "__main__":
    main()
