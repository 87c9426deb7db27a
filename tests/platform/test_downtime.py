"""The watch from outside by a real process: a real server that is stopped and started, a watcher that is killed."""

import csv
import io
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.platform.site import find_free_port, open_site
from tests.platform.test_command_line import Terminal

pytestmark = pytest.mark.process

LEASE = timedelta(seconds=1)
"""The site's: a watcher gives a sign of life four times as often."""
SECOND = timedelta(seconds=1)
"""To which times of an export are cut."""

RULES = """
[availability]
goal_percent = 99.5
[availability.watch.reference]
kind = "tcp"
port = {reference}
[availability.watch.points.router]
title = "Router"
component = "opnsense"
behind = {{ all = true }}
probe = {{ kind = "http", port = {router}, interval = "1s", needed_failures = 2 }}
"""
SETTINGS = """
[watch]
reference = "127.0.0.1"
[watch.addresses]
router = "127.0.0.1"
"""


class Answer(BaseHTTPRequestHandler):
    """Well."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@contextmanager
def serving(port: int) -> Iterator[None]:
    """A server that answers until the block ends; afterwards its port refuses."""
    server = ThreadingHTTPServer(("127.0.0.1", port), Answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Street:
    """The site, what there is outside, and somebody at a terminal."""

    terminal: Terminal
    router: int
    reference: int
    watchers: list[subprocess.Popen[str]] = field(default_factory=list)

    def watch(self) -> subprocess.Popen[str]:
        """A watcher that has begun; one that died before is waited for."""
        watcher = self.terminal.begin("downtime", "watch", "--wait", "60")
        self.watchers.append(watcher)
        assert self.hear(watcher) == "watching router"
        return watcher

    def hear(self, watcher: subprocess.Popen[str]) -> str:
        """Its next line."""
        assert watcher.stdout is not None
        return watcher.stdout.readline().strip()

    def export(self) -> list[dict[str, str]]:
        done = self.terminal.type("downtime", "export", "--month", f"{datetime.now(UTC):%Y-%m}")
        assert done.returncode == 0, done.stderr
        return list(csv.DictReader(io.StringIO(done.stdout)))

    def gaps(self) -> list[dict[str, Any]]:
        shown = self.terminal.read("downtime", "export", "--month", f"{datetime.now(UTC):%Y-%m}")
        return list(shown["gaps"])


@pytest.fixture
def street(tmp_path: Path, worker_id: str) -> Iterator[Street]:
    network = 200 + int(worker_id.removeprefix("gw") or 0) if worker_id != "master" else 200
    router, reference = find_free_port(), find_free_port()
    rules = RULES.format(router=router, reference=reference)
    with open_site(tmp_path, guests=2, network=network, rules=rules) as site:
        settings = tmp_path / "zlh-hooks.toml"
        settings.write_text(settings.read_text() + SETTINGS)
        found = Street(Terminal(site), router, reference)
        try:
            yield found
        finally:
            for watcher in found.watchers:
                watcher.kill()
                watcher.communicate()


def test_a_server_that_is_stopped_and_started_is_an_outage_of_every_guest_behind_it(street: Street) -> None:
    with serving(street.reference):
        with serving(street.router):
            watcher = street.watch()
        assert street.hear(watcher).startswith("router: away since ")
        with serving(street.router):
            assert street.hear(watcher).startswith("router: answers again since ")
            watcher.send_signal(signal.SIGTERM)
            assert street.hear(watcher) == "ended: from now on nobody watches"
    assert watcher.wait(timeout=30) == 0
    rows = street.export()
    assert [row["guest"] for row in rows] == ["5001", "5002"]
    seconds = {int(row["unplanned_seconds"]) for row in rows}
    assert len(seconds) == 1 and 1 <= seconds.pop() < 60
    assert {row["planned_seconds"] for row in rows} == {"0"}
    assert not [task for task in street.terminal.site.runtime.running if task not in (5001, 5002)], "none stopped"


def test_a_watcher_that_is_killed_leaves_a_gap_that_its_successor_records_and_the_export_lists(street: Street) -> None:
    with serving(street.reference):
        with serving(street.router):
            first = street.watch()
        assert street.hear(first).startswith("router: away since ")
        first.send_signal(signal.SIGKILL)
        assert first.wait(timeout=30) == -signal.SIGKILL
        killed = datetime.now(UTC)
        with serving(street.router):
            second = street.watch()
            again = datetime.now(UTC)
            second.send_signal(signal.SIGINT)
            assert second.wait(timeout=30) == 0
    gaps = [(datetime.fromisoformat(gap["from"]), datetime.fromisoformat(gap["until"])) for gap in street.gaps()]
    assert any(killed - LEASE - SECOND <= begin <= killed <= end <= again for begin, end in gaps), (gaps, killed, again)
    unplanned = {int(row["unplanned_seconds"]) for row in street.export()}
    assert len(unplanned) == 1 and 1 <= unplanned.pop() <= 10, "as long as it looked, and no longer"


def test_while_the_reference_fails_too_nobody_is_called_away(street: Street) -> None:
    with ExitStack() as outside:
        outside.enter_context(serving(street.reference))
        outside.enter_context(serving(street.router))
        watcher = street.watch()
        outside.close()
        assert street.hear(watcher).startswith("router: cannot be judged since ")
        with serving(street.router):
            assert street.hear(watcher).startswith("router: can be judged again since ")
            watcher.send_signal(signal.SIGTERM)
            assert watcher.wait(timeout=30) == 0
    assert {row["unplanned_seconds"] for row in street.export()} == {"0"}
    assert any("the reference failed as well" in gap["cause"] for gap in street.gaps())


def test_a_second_watcher_is_told_who_watches_and_until_when(street: Street) -> None:
    with serving(street.reference), serving(street.router):
        street.watch()
        refused = street.terminal.type("downtime", "watch")
    assert refused.returncode == 3
    assert "watches for what" in refused.stderr and "allowed from" in refused.stderr
