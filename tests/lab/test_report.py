"""A guest's report through its own systemd: no process waits, none stays, and what answers owns nothing."""

import json
import subprocess
from collections.abc import Iterator
from datetime import timedelta

import pytest

from agent_plugin.report_wire import MOST_BYTES, parse_envelope, parse_statement
from tests.agent.test_report_wire import is_signed
from tests.lab.condition import until
from tests.lab.image import Debian
from tests.lab.lab import Lab
from tests.lab.network import inside
from tests.lab.swap_bench import STATE, SwapGuest, build_release
from zlh_hooks.adapters.agent_report import GuestReports
from zlh_hooks.adapters.clock import SystemClock
from zlh_hooks.adapters.trust import open_trust
from zlh_hooks.adapters.web import Web

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]
PORT = 18889
NONCE = "00ff" * 16
UNITS = "zlh-agent-report@*.service"


@pytest.fixture(scope="module", params=list(Debian))
def guest(request: pytest.FixtureRequest, lab: Lab) -> Iterator[SwapGuest]:
    made = SwapGuest(lab, request.param)
    yield made
    lab.containers.stop(made.vmid)


def ask(guest: SwapGuest, query: str = f"?nonce={NONCE}") -> "subprocess.CompletedProcess[str]":
    url = f"http://{guest.address}:{PORT}/report{query}"
    return guest.lab.run("curl", "--silent", "--show-error", "--fail", "--max-time", "20", url)


def list_processes(guest: SwapGuest) -> str:
    return guest.run("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")


def journal(guest: SwapGuest) -> str:
    return guest.run("journalctl", "--no-pager", "--lines=40", "--unit=zlh-agent-report*")


def test_the_first_question_makes_the_key_and_every_answer_is_signed_with_it(guest: SwapGuest) -> None:
    assert "zlh-agent-plugin" not in list_processes(guest)
    assert guest.run("sh", "-c", f"ls /{STATE}").count("report") == 0
    first = ask(guest)
    assert first.returncode == 0, first.stderr + journal(guest)
    envelope = parse_envelope(first.stdout)
    statement = parse_statement(envelope.signed)
    assert is_signed(envelope)
    assert (statement.nonce, statement.status.current) == (NONCE, guest.first.name)
    assert guest.run("zlh-agent-plugin", "key").strip() == envelope.key_id
    assert guest.run("stat", "--format=%a %U", f"/{STATE}/report/key.json").strip() == "600 root"
    with inside(guest.lab.place):
        web = Web(SystemClock(), open_trust(None, ""), timedelta(seconds=10), MOST_BYTES)
        told = GuestReports(web, PORT).read_report(guest.address)
    assert (told.key, told.current) == (envelope.key_id, guest.first.name)


def test_after_an_answer_nothing_runs_and_nothing_is_left(guest: SwapGuest) -> None:
    assert ask(guest).returncode == 0
    words = ("systemctl", "list-units", "--all", "--no-legend", UNITS)
    until(lambda: guest.run(*words).strip() == "", 10, "end of what answered")
    assert "zlh-agent-plugin" not in list_processes(guest)
    assert guest.run("systemctl", "is-active", "zlh-agent-report.socket").strip() == "active"


def test_many_silent_peers_keep_nobody_else_out_for_long(guest: SwapGuest) -> None:
    hold = f"for i in 1 2 3 4 5 6 7 8; do (exec 3<>/dev/tcp/{guest.address}/{PORT}; read -t 30 line <&3) & done; wait"
    silent = subprocess.Popen(
        guest.lab.command("bash", "-c", hold), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: ask(guest).returncode == 0, 25, "answer beside silent peers")
    finally:
        silent.terminate()
        silent.wait(10)
    assert guest.run("systemctl", "is-active", "zlh-agent-report.socket").strip() == "active"


def test_what_answers_may_do_nothing_else(guest: SwapGuest) -> None:
    """A program in its place, under the same unit, tells what it can."""
    trial = (
        "id -u; cat /var/lib/zlh-agent-plugin/state.json; echo x >/usr/x; echo x >/etc/x; "
        'ls "$CREDENTIALS_DIRECTORY"; grep -E "NoNewPrivs|Seccomp:|CapBnd|CapEff" /proc/self/status; cat /proc/net/dev'
    )
    guest.put("/usr/local/bin/trial", f"#!/bin/sh\n({trial}) 1>&0 2>&0\n".encode())
    guest.run("chmod", "755", "/usr/local/bin/trial")
    guest.drop_in("zlh-agent-report@.service", "[Service]\nExecStart=\nExecStart=/usr/local/bin/trial\n")
    try:
        talk = f"exec 3<>/dev/tcp/{guest.address}/{PORT}; echo go >&3; cat <&3"
        told = guest.lab.run("timeout", "15", "bash", "-c", talk).stdout
    finally:
        guest.drop_in("zlh-agent-report@.service", "")
    lines = told.splitlines()
    assert int(lines[0]) >= 61184, told  # a dynamic user, systemd.exec(5)
    assert told.count("Permission denied") + told.count("Read-only file system") >= 3, told
    assert {"key", "status"} <= set(lines), told
    facts = dict(line.split(":\t") for line in lines if ":\t" in line)
    assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
    assert int(facts["CapBnd"], 16) == int(facts["CapEff"], 16) == 0
    assert "lo:" in told and "eth0" not in told, told


def test_a_clone_has_a_key_of_its_own_and_a_report_tells_of_a_release_that_failed(guest: SwapGuest) -> None:
    before = parse_envelope(ask(guest).stdout).key_id
    bad = build_release("6.6.6", "exit")
    assert guest.install(bad).returncode == 1
    told = parse_statement(parse_envelope(ask(guest).stdout).signed).status
    assert (told.outcome, told.failure and told.failure.release) == ("reverted", bad.name)
    assert told.failure is not None and told.failure.log == ""
    assert json.loads(guest.run("cat", f"/{STATE}/status.json"))["failure"]["log"] != ""
    guest.stop()
    (guest.root / "etc/machine-id").write_text("")  # as Proxmox does in a clone; the boot fills it
    guest.start()
    answered = ask(guest)
    assert answered.returncode == 0, answered.stderr + journal(guest)
    after = parse_envelope(answered.stdout)
    assert is_signed(after) and after.key_id != before
