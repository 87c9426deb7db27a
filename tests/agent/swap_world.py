"""A guest in a folder: the plugin's real code and real shell nets, with a service manager that is a few files.

What runs is a file, so that it outlives a plugin that is killed; an HTTP server of the test answers as that file says.
A release's ``FAULT`` says how it fails: ``exit`` at once, ``wrong-version``, or ``sick`` (503).
"""

import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from agent_plugin import swap
from agent_plugin.fault import Interrupted
from agent_plugin.place import Place
from agent_plugin.setting import Settings
from agent_plugin.slot import Slots
from agent_plugin.source import FileSource
from agent_plugin.state import Transaction
from agent_plugin.swap import Hands
from agent_plugin.systemd import AGENT, DEADLINE, UnitLook
from agent_plugin.update import install
from tests.agent.release import Release, pack

NET = Path(__file__).parents[2] / "agent_plugin" / "net"
_PROGRAM = b"#!/bin/sh\n[ ! -e SELFTEST-FAILS ] || { echo 'I am bad' >&2; exit 3; }\n"
OLD_WORDS = "words of the release that failed"


def build(version: str, fault: str = "") -> Release:
    """A release for this world."""
    files = {"zlh-agent": _PROGRAM, "VERSION": version.encode(), "FAULT": fault.encode()}
    return pack(version, {**files, "SELFTEST-FAILS": b""} if fault == "self-test" else files)


@dataclass
class FolderSystemd:
    """:class:`agent_plugin.systemd.Systemd` of a folder; what it remembers itself may lie ``outside``."""

    root: Path
    outside: "Path | None" = None

    @property
    def place(self) -> Place:
        return Place(self.root)

    @property
    def running(self) -> Path:
        return (self.outside or self.root) / "running.json"

    @property
    def deadline(self) -> Path:
        return (self.outside or self.root) / "deadline"

    def read_running(self) -> "dict[str, str]":
        return dict(json.loads(self.running.read_text())) if self.running.exists() else {}

    def look(self, unit: str = AGENT) -> UnitLook:
        if unit == DEADLINE:
            return UnitLook(self.deadline.exists())
        if unit != AGENT:
            return UnitLook(True)
        found = self.read_running()
        return UnitLook(bool(found), found.get("invocation", ""), int(found.get("restarts", 0)))

    def refuse_shutdown(self) -> None:
        if (self.outside or self.root).joinpath("stopping").exists():
            raise Interrupted("the system is going down")

    def restart_agent(self) -> None:
        self.start(0)

    def start(self, restarts: int) -> None:
        """As systemd does: the net before the start, the start, and after a failure the net after it and another start."""
        self.run_net("pre-start")
        release = Slots(self.place).find_current()
        if self.read(release, "FAULT") == "exit":
            self.run_net("post-stop", SERVICE_RESULT="exit-code", EXIT_CODE="exited", EXIT_STATUS="1")
            return self.start(restarts + 1)
        new = self.running.with_suffix(".new")
        new.write_text(json.dumps({"release": release, "invocation": os.urandom(8).hex(), "restarts": restarts}))
        new.replace(self.running)

    def read(self, release: str, name: str) -> str:
        path = self.place.releases / release / name
        return path.read_text() if path.is_file() else ""

    def run_net(self, net: str, *words: str, **environment: str) -> None:
        command = [self.root / "usr/lib/zlh-agent-plugin/net" / net, *words, self.root]
        done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(done.stderr)

    def arm_deadline(self) -> None:
        self.deadline.touch()

    def disarm_deadline(self) -> None:
        self.deadline.unlink(missing_ok=True)

    def revert(self, script: Path) -> None:
        self.go_back("plugin")

    def go_back(self, who: str) -> None:
        """A net goes back, and the service manager restarts the agent if that changed anything."""
        before = Slots(self.place).find_current()
        self.run_net("revert", who)
        if Slots(self.place).find_current() != before:
            self.start(0)

    def read_cursor(self) -> str:
        return "here"

    def read_log(self, cursor: str) -> str:
        return OLD_WORDS if cursor == "here" else ""


class World:
    """One folder with its service manager and the agent's port."""

    def __init__(self, root: Path, outside: "Path | None" = None) -> None:
        self.root, self.outside, self.systemd = root, outside or root, FolderSystemd(root, outside)
        self.place = self.systemd.place
        shutil.copytree(NET, root / "usr/lib/zlh-agent-plugin/net")
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._make_handler())
        server.daemon_threads = True
        self._server, self.port = server, server.server_port
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def hands(self, release: "Release | None" = None, **settings: int) -> Hands:
        """What a swap of this release works with."""
        archive = self.outside / "archive.tar.gz"
        if release is not None:
            archive.write_bytes(release.archive)
        chosen = {"bake_seconds": 0, "deadline_seconds": 20, "reserve_mb": 0, **settings}
        return Hands(
            self.place, self.systemd, Settings(port=self.port, **chosen), FileSource(archive) if release else None
        )

    def install(self, release: Release) -> Transaction:
        return install(self.hands(release), release.wanted)

    def begin(self, *releases: Release) -> None:
        """A guest that has come so far."""
        for release in releases:
            assert self.install(release).outcome == "installed"
            if not self.systemd.read_running():
                self.systemd.start(0)

    def answered(self) -> "tuple[int, str]":
        """Status and version that the port answers now."""
        release = self.systemd.read_running().get("release", "")
        fault = self.systemd.read(release, "FAULT")
        shown = "0" if fault == "wrong-version" else self.systemd.read(release, "VERSION")
        return (503 if fault == "sick" or not release else 200), shown

    def list_leftovers(self) -> "list[str]":
        """What a swap that has ended may not leave."""
        slots = Slots(self.place)
        named = {slots.find_current(), slots.find_previous()}
        found = [f"release {path.name}" for path in self.place.releases.iterdir() if path.name not in named]
        found += [f"not whole: {name}" for name in named - {""} if not slots.is_whole(name)]
        temporary = [*self.place.state.glob(".*"), *self.place.home.glob(".*"), *self.place.state.glob("attempt-*")]
        once = [self.place.pending, self.place.back, *self.place.download.glob("*"), *temporary]
        return found + [str(path) for path in once if path.exists() or path.is_symlink()]

    def _make_handler(self) -> "type[BaseHTTPRequestHandler]":
        world = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, version = world.answered()
                body = json.dumps({"status": "told", "version": version}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        return Handler


def hurry() -> None:
    """No test is kept waiting between two looks."""
    swap.LOOK_SECONDS, swap.REVERT_BAKE_SECONDS = 0.005, 0.0


@contextmanager
def open_folder() -> Iterator[Path]:
    """In memory where that can be had: thousands of syncs to a disk would only wait."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as path:
        yield Path(path)
