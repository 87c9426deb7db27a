"""``zlh-hooks agent reports`` as an operator has it: real processes, a real API, guests that sign on real sockets."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from agent_plugin.wire import Check, Patched
from tests.agent.report_bench import STATUS_NOW, ReportGuest
from tests.platform.site import find_free_port, open_site
from tests.platform.test_command_line import Terminal
from zlh_hooks.settings import load_settings
from zlh_hooks.wiring import open_ledger

pytestmark = pytest.mark.process
IDS = {5001: "a" * 32, 5002: "b" * 32}


class Guests:
    """Two guests that answer on one port, each at its own address, until the block ends."""

    def __init__(self, terminal: Terminal, home: Path) -> None:
        self.terminal, self._stack = terminal, ExitStack()
        self.port = find_free_port()
        self.guests = {vmid: ReportGuest(home / str(vmid), machine) for vmid, machine in IDS.items()}
        for guest in self.guests.values():
            guest.key()
        settings = terminal.site.settings
        settings.write_text(f"{settings.read_text()}[agents]\nreport_port = {self.port}\n")

    def __enter__(self) -> "Guests":
        for vmid, guest in self.guests.items():
            address = self.terminal.site.runtime.address(vmid)
            self._stack.enter_context(guest.port(str(address), self.port))
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def standings(self) -> "dict[int, str]":
        return {row["vmid"]: row["standing"] for row in self.terminal.read("agent", "reports")}


PATCHED = Patched("5d1f0c2ab94e", "END", "installed", impact="restart", waits=("zlh-game.service",))


@pytest.fixture
def guests(tmp_path: Path) -> Iterator[Guests]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    with open_site(tmp_path, guests=2, network=120 + worker) as site, Guests(Terminal(site), tmp_path / "in") as inside:
        yield inside


def test_an_operator_reads_who_runs_what_and_which_swap_failed(guests: Guests) -> None:
    guests.guests[5002].tell(
        replace(
            STATUS_NOW, wanted="1.5.0-deadbeef", outcome="reverted", reason="WATCH: it\x1b[31m is sick", patch=PATCHED
        )
    )
    done = guests.terminal.type("agent", "reports")
    assert done.returncode == 0, done.stderr
    names, *rows = (line.split("\t") for line in done.stdout.splitlines())
    first, second = (dict(zip(names, row, strict=True)) for row in rows)
    assert [*first.values()][:4] == ["5001", "game-5001", "first", "1.4.0-0a1b2c3d"]
    assert first["key"] == guests.guests[5001].key().key_id[:12]
    assert (second["last swap"], second["what is wrong"]) == ("1.5.0-deadbeef reverted", "WATCH: it [31m is sick")
    assert second["last patch"] == "installed, restart, 1 to restart"
    (row,) = guests.terminal.read("agent", "reports", "5001")
    assert (row["standing"], row["report"]["key"]) == ("known", guests.guests[5001].key().key_id)
    assert row["report"]["current"] == "1.4.0-0a1b2c3d"


def test_a_guest_that_was_served_what_it_does_not_believe_is_an_alarm(guests: Guests) -> None:
    check = Check("2026-11-23T22:04:05+00:00", "replayed", "replayed at timestamp", suspicious=True)
    guests.guests[5002].tell(replace(STATUS_NOW, check=check))
    done = guests.terminal.type("agent", "reports")
    assert (done.returncode, "replayed at timestamp" in done.stdout) == (1, True)


def test_a_changed_key_is_refused_until_a_person_accepts_it(guests: Guests) -> None:
    assert guests.standings() == {5001: "first", 5002: "first"}
    changed = guests.guests[5001]
    changed.place.report_key.unlink()
    key = changed.key().key_id
    done = guests.terminal.type("agent", "reports")
    assert done.returncode == 1
    assert f"zlh-hooks agent accept-key 5001 {key}" in done.stdout
    accepted = guests.terminal.type("agent", "accept-key", "5001", key, "--reason", "disk was exchanged")
    assert accepted.returncode == 0, accepted.stderr
    assert guests.standings() == {5001: "known", 5002: "known"}
    recorded = [entry.name for entry in open_ledger(load_settings(guests.terminal.site.settings)).read()]
    assert recorded == ["agent.key-seen", "agent.key-seen", "agent.key-accepted"]


def test_a_copy_that_signs_with_another_guests_key_is_refused(guests: Guests) -> None:
    original, copy = guests.guests[5001].place, guests.guests[5002].place
    for path, other in ((original.report_key, copy.report_key), (original.machine_id, copy.machine_id)):
        other.write_bytes(path.read_bytes())
    assert guests.standings() == {5001: "first", 5002: "refused"}


def test_guests_that_do_not_answer_are_listed_and_are_no_alarm(guests: Guests) -> None:
    guests.__exit__()
    done = guests.terminal.type("agent", "reports")
    assert done.returncode == 0
    assert [line.split("\t")[2] for line in done.stdout.splitlines()[1:]] == ["silent", "silent"]
