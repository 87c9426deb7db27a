"""The command line as an operator has it: real processes, a real API, guests with real sockets."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.platform.site import SimulatedSite, find_workers, kill_workers, open_site

pytestmark = pytest.mark.process

LINE = "game-base"


class Terminal:
    """Types commands for one site; output is a pipe, as in a script."""

    def __init__(self, site: SimulatedSite) -> None:
        self.site = site

    def type(self, *words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """``given``: what the command reads from its standard input."""
        command = self._command(words)
        return subprocess.run(command, input=given, capture_output=True, text=True, timeout=120, check=False)

    def begin(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(self._command(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def read(self, *words: str) -> Any:
        done = self.type(*words, "--json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def _command(self, words: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "zlh_hooks", *words, *self.site.options]

    def ask_for_health(self, length: str) -> None:
        """How long a guest must be healthy to be proved."""
        policy = self.site.directory / "policy.toml"
        policy.write_text(policy.read_text().replace('min_healthy_time = "500ms"', f'min_healthy_time = "{length}"'))

    def wait_for(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The latest rollout once it is so."""
        deadline = time.monotonic() + 60
        while not ((rollouts := self.read("rollout", "list")) and condition(rollouts[-1])):
            assert time.monotonic() < deadline, rollouts
        return dict(rollouts[-1])


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    with open_site(tmp_path, guests=2, network=100 + worker) as site:
        yield Terminal(site)
        assert site.pve.foreign == []


def test_a_rollout_in_a_pipe_prints_plain_lines_and_ends_with_success(terminal: Terminal) -> None:
    done = terminal.type("rollout", "start", LINE, "--to", "2", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    assert "SUCCEEDED, 2 of 2 healthy" in done.stdout
    assert terminal.site.versions() == {5001: "2", 5002: "2"}


def test_a_rollout_is_not_started_without_a_yes(terminal: Terminal) -> None:
    done = terminal.type("rollout", "start", LINE, "--to", "2")
    assert done.returncode == 1
    assert terminal.read("rollout", "list") == []


def test_a_started_rollout_answers_with_one_json_document(terminal: Terminal) -> None:
    shown = terminal.read("rollout", "start", LINE, "--to", "2", "--yes")
    assert shown["state"] == "SUCCEEDED"
    assert [row["state"] for row in shown["targets"]] == ["HEALTHY", "HEALTHY"]


def test_a_second_rollout_is_refused_and_told_what_to_do_about_the_first(terminal: Terminal) -> None:
    terminal.ask_for_health("5s")
    terminal.type("rollout", "start", LINE, "--to", "2", "--yes", "--detach")
    refused = terminal.type("rollout", "start", LINE, "--to", "3", "--yes")
    assert refused.returncode == 3
    assert "rollout watch" in refused.stderr
    assert terminal.type("rollout", "watch").returncode == 0


def test_a_paused_rollout_begins_with_nobody_until_it_is_resumed(terminal: Terminal) -> None:
    terminal.ask_for_health("5s")
    terminal.type("rollout", "start", LINE, "--to", "2", "--yes", "--detach")
    assert terminal.type("rollout", "pause", "--reason", "lunch").returncode == 0
    paused = terminal.wait_for(lambda status: status["state"] == "PAUSED")
    assert paused["reason"] == "lunch"
    assert terminal.type("rollout", "resume").returncode == 0
    terminal.wait_for(lambda status: status["state"] == "SUCCEEDED")
    assert terminal.site.versions() == {5001: "2", 5002: "2"}


def test_a_revert_takes_every_guest_back_and_stable_too(terminal: Terminal) -> None:
    terminal.type("rollout", "start", LINE, "--to", "2", "--yes")
    done = terminal.type("rollout", "revert", "--reason", "customers complain")
    assert done.returncode == 0, done.stdout + done.stderr
    assert terminal.site.versions() == {5001: "1", 5002: "1"}
    assert terminal.type("template", "pick", LINE, "--key", "1").stdout.strip() == "8001"


def test_a_bad_version_ends_with_failure_says_why_and_is_never_picked(terminal: Terminal) -> None:
    terminal.ask_for_health("3s")
    done = terminal.type("rollout", "start", LINE, "--to", "3", "--yes")
    assert done.returncode == 1
    assert "answered 503" in done.stdout
    assert terminal.site.versions() == {5001: "1", 5002: "1"}
    assert terminal.type("template", "promote", LINE, "3").returncode == 3


def press_ctrl_c(watching: "subprocess.Popen[str]") -> str:
    """What it says on its error output then. Python loses an interrupt that meets a finalizer: one presses again."""
    for _ in range(3):
        watching.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            return watching.communicate(timeout=5)[1]
    raise AssertionError("Ctrl-C does not end it")


def test_ctrl_c_detaches_and_says_how_to_come_back(terminal: Terminal) -> None:
    terminal.ask_for_health("10s")  # so that it still runs when the signal comes
    watching = terminal.begin("rollout", "start", LINE, "--to", "2", "--yes")
    terminal.wait_for(lambda status: status["state"] == "RUNNING")
    said = press_ctrl_c(watching)
    assert watching.returncode == 130
    assert "zlh-hooks rollout watch" in said
    terminal.wait_for(lambda status: status["state"] == "SUCCEEDED")


def test_a_revoked_version_turns_its_own_rollout_back(terminal: Terminal) -> None:
    terminal.ask_for_health("15s")  # longer than it takes to revoke
    terminal.type("rollout", "start", LINE, "--to", "2", "--yes", "--detach")
    assert terminal.type("template", "revoke", LINE, "2", "--reason", "leaks").returncode == 0
    terminal.wait_for(lambda status: status["state"] == "REVERTED")
    assert terminal.site.versions() == {5001: "1", 5002: "1"}


def test_a_wrong_policy_is_refused_with_file_and_key(terminal: Terminal) -> None:
    policy = terminal.site.directory / "policy.toml"
    policy.write_text(policy.read_text() + "\nmax_failurs = 3\n")
    refused = terminal.type("plan", LINE, "--to", "2")
    assert refused.returncode == 2
    assert "rollout.max_failurs" in refused.stderr
    assert "max_failures" in refused.stderr


def test_what_is_ordered_while_a_dead_workers_lease_stands_is_done_by_itself_when_it_runs_out(
    terminal: Terminal,
) -> None:
    terminal.ask_for_health("10s")
    policy = terminal.site.directory / "policy.toml"
    policy.write_text(policy.read_text().replace('lease = "1s"', 'lease = "6s"'))
    terminal.type("rollout", "start", LINE, "--to", "2", "--yes", "--detach")
    terminal.wait_for(lambda status: status["state"] == "RUNNING")
    kill_workers(terminal.site.settings)
    assert terminal.type("rollout", "abort", "--reason", "power cut").returncode == 0
    terminal.wait_for(lambda status: status["state"] == "ABORTED")


def test_who_is_summoned_beside_a_living_worker_leaves_it_the_work(terminal: Terminal) -> None:
    terminal.ask_for_health("5s")
    terminal.type("rollout", "start", LINE, "--to", "2", "--yes", "--detach")
    (first,) = find_workers(terminal.site.settings)
    assert terminal.type("rollout", "pause").returncode == 0
    terminal.wait_for(lambda status: status["state"] == "PAUSED")
    deadline = time.monotonic() + 30
    while find_workers(terminal.site.settings) != [first]:
        assert time.monotonic() < deadline
    assert terminal.type("rollout", "resume").returncode == 0
    terminal.wait_for(lambda status: status["state"] == "SUCCEEDED")
