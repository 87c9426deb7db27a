"""From an empty machine to the launch: the gate says what a person has to do, and the commands that it prints do it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.adapters.mail_bench import Post, mail_server
from tests.adapters.web_bench import Receiver, receiver
from tests.cli.command_line import find_commands
from tests.dead_man_bench import Duty, on_duty
from tests.note_file import write_note
from tests.platform.site import NODES, SimulatedSite, find_free_port, open_site
from tests.stand_in.serving import TOKEN_NAME, USER

pytestmark = pytest.mark.process

LATER = "brought by a later part of the product"
HOOK = "local:snippets/zlh-guest-hook"
ANSWERS = "a hole is used\nCVE-2026-1\n\n\nall is well\nrang her up\nring sooner\n"
"""Reason, reference, Enter twice, how it went, how she was told, and what was learnt."""
PEOPLE = """
[people.first-person]
name = "Ada"
mail = "ada@zlh.example"
[people.second-person]
name = "Grace"
mail = "grace@zlh.example"
[contact]
mail = "help@zlh.example"
status_page = "https://status.zlh.example"
"""


@dataclass
class Machine:
    """A machine with nothing of ours on it but a place for the ledger, and somebody who types."""

    folder: Path
    site: SimulatedSite
    post: Post
    hook: Receiver
    duty: Duty
    points: dict[str, tuple[str, str, str]] = field(default_factory=dict)

    @property
    def options(self) -> list[str]:
        return ["--config", str(self.folder / "zlh-hooks.toml"), "--policy", str(self.folder / "policy.toml")]

    def type(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._run([sys.executable, "-m", "zlh_hooks", *words])

    def type_as_printed(self, command: str) -> subprocess.CompletedProcess[str]:
        """In a shell, as a person would who copies the line, and answers what a drill asks."""
        answers = ANSWERS if " drill " in command else ""
        return self._run(["sh", "-c", command.replace("zlh-hooks", f"{sys.executable} -m zlh_hooks", 1)], answers)

    def _run(self, command: list[str], answers: str = "") -> subprocess.CompletedProcess[str]:
        variables = {**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}
        return subprocess.run(
            command,
            input=answers,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=self.folder,
            env=variables,
        )

    def ask(self) -> int:
        """Read the gate; its exit code."""
        done = self.type("ready", *self.options)
        assert done.stderr == ""
        rows = [line.split("\t") for line in done.stdout.splitlines()[1:-1]]
        self.points = {name: (state, found, way) for name, state, found, way in rows}
        return done.returncode

    def red(self) -> dict[str, str]:
        """Red point to what makes it green."""
        return {name: way for name, (state, _, way) in self.points.items() if state == "red"}

    def commands(self) -> list[str]:
        return list(dict.fromkeys(command for way in self.red().values() for command in find_commands(way)))

    def furnish(self) -> None:
        """What the gate says that a person writes: how to reach things, who is who, and a clock that is kept right."""
        reach = json.dumps(str(self.folder / "customers.json"))
        secret, url = self.folder / "secret", f"http://127.0.0.1:{self.hook.port}/operator/hidden"
        secret.touch(mode=0o600)
        secret.write_text("s3cret")
        token, ca = self.site.directory / "token", self.site.serving.ca_file
        (self.folder / "customers.json").write_text(
            '[{"id": "ann", "name": "Ann", "guests": [5001], "mail": "a@b.net"}]'
        )
        (self.folder / "zlh-hooks.d" / "reach.toml").write_text(
            f'[proxmox]\nhost = "{self.site.pve.host}"\nport = {self.site.pve.port}\nuser = "{USER}"\n'
            f'token_name = "{TOKEN_NAME}"\ntoken_file = "{token}"\nca_file = "{ca}"\n'
            f'[directory]\nfile = {reach}\n[mail]\nhost = "localhost"\nport = {self.post.port}\nsecurity = "none"\n'
            f'sender = "noc@zlh.example"\n[operator]\nmail = "noc@zlh.example"\nwebhook = "{url}"\n'
            f'[webhook]\nsecret_file = "{secret}"\nallow_private = true\n[feed]\ndirectory = "{self.folder}"\n'
        )
        (self.folder / "policy.d" / "who.toml").write_text(PEOPLE)
        (self.folder / "zlh-hooks.d" / "dead-man.toml").write_text(self.duty.settings)

    def install_hooks(self) -> None:
        """What root does on nodes, a restart and a backup on each, and what the path unit does then."""
        pve, spool = self.site.pve, self.folder / "spool"
        for guest in pve.cts:
            self.site.serving.call(lambda vmid=guest.vmid: pve.edit_guest(vmid, hookscript=HOOK))
        spool.mkdir(mode=0o700)
        for guest, node in enumerate(NODES, 5001):
            for phase in ("post-start", "backup-end"):
                write_note(spool, datetime.now(UTC), guest, phase, node=node)
        assert self.type("intake", "--spool", str(spool), *self.options).returncode == 0

    def keep_time(self, answer: str) -> None:
        """A ``timedatectl`` that answers so: what the test's own machine has is its own business."""
        path = self.folder / "bin" / "timedatectl"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\necho {answer}\n")
        path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, worker_id: str) -> Iterator[Machine]:
    network = 170 + int(worker_id.removeprefix("gw") or 0) if worker_id != "master" else 170
    folder, place = tmp_path / "etc with a blank", tmp_path / "site"
    place.mkdir()
    (folder / "zlh-hooks.d").mkdir(parents=True)
    (folder / "zlh-hooks.d" / "ledger.toml").write_text(f'[ledger]\npath = "{folder / "ledger.sqlite"}"\n')
    duty_place = tmp_path / "duty"
    duty_place.mkdir()
    with (
        mail_server() as post,
        receiver() as hook,
        on_duty(duty_place) as duty,
        open_site(place, guests=2, network=network) as site,
    ):
        machine = Machine(folder, site, post, hook, duty)
        machine.keep_time("no")
        yield machine


def test_a_new_site_is_made_green_by_what_the_gate_says_and_by_the_very_commands_that_it_prints(
    machine: Machine,
) -> None:
    assert machine.type("init", "--defaults", *machine.options).returncode == 0
    assert machine.ask() == 1
    acts = {name for name, way in machine.red().items() if not find_commands(way) and not way.endswith(LATER)}
    assert acts == {"directory", "channels", "operator", "status-feed", "clock", "dead-man"}
    assert "token_file" in machine.points["api-token"][1]

    machine.furnish()
    machine.keep_time("yes")
    assert machine.type("dead-man", *machine.options).returncode == 0, "what its timer calls"
    machine.ask()
    assert machine.points["api-token"][0] == machine.points["clock"][0] == "green"
    assert "zlh-hooks hooks install" in machine.red()["guest-hook"]
    assert set(machine.red()) >= {"guest-notes", "backup-hook"}
    machine.install_hooks()
    machine.ask()
    assert re.search(r"notice send --test noc@zlh.example ", machine.red()["channel.mail"])

    while commands := machine.commands():  # a confirmation makes the pages before it stale: twice at most
        for command in commands:
            done = machine.type_as_printed(command)
            assert done.returncode == 0, (command, done.stdout, done.stderr)
        before = machine.red()
        machine.ask()
        assert machine.red() != before, "what was typed made nothing green"

    assert [way for way in machine.red().values() if not way.endswith(LATER)] == []
    assert set(machine.red()) <= {"no-conflict"}
    assert {str(mail["To"]) for mail in machine.post.read_mails()} == {"noc@zlh.example"}
    assert [asked.path for asked in machine.hook.asked] == ["/operator/hidden"]
    assert "hidden" not in machine.type("ready", *machine.options).stdout
    assert "Draft" not in (machine.folder / "pages" / "customer.html").read_text()

    site = machine.folder / "policy.d" / "site.toml"
    site.write_text(site.read_text().replace('time_zone = "', 'time_zone = "Asia/Tokyo"  # was "', 1))
    machine.ask()
    pages = {"customer", "internal", "runbook", "emergency", "first-run", "handover"}
    assert set(machine.red()) >= {"confirmed.time_zone", *(f"page.{page}" for page in pages)}
    assert machine.points["confirmed.contact"][0] == "green"


def test_a_cluster_that_cannot_be_reached_leaves_the_other_lines_as_they_are(machine: Machine) -> None:
    machine.type("init", "--defaults", *machine.options)
    machine.furnish()
    nowhere = f"[proxmox]\nport = {find_free_port()}\n"
    (machine.folder / "zlh-hooks.d" / "z-nowhere.toml").write_text(nowhere)
    assert machine.ask() == 1
    assert (machine.points["api-token"][0], "refused" in machine.points["api-token"][1]) == ("red", True)
    assert machine.points["directory"][:2] == ("green", "readable, 1 customers")
