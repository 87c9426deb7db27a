"""Customers told by real mail of a rollout that a real worker carries out."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from tests.adapters.mail_bench import Post, mail_server
from tests.platform.site import SimulatedSite, find_workers, kill_workers, open_site
from tests.platform.test_command_line import Terminal
from zlh_hooks.adapters.clock import SystemClock
from zlh_hooks.adapters.ledger import SqlLedger
from zlh_hooks.domain.entry import Entry
from zlh_hooks.domain.steps import TargetEvent

pytestmark = pytest.mark.process

LADDER = """
[notices]
retry = "1s"
attempts = 3
[[notices.ladders]]
leads = ["4s", "2s"]
"""
CUSTOMERS = [
    {"id": "ann", "name": "Ann", "guests": [5001], "mail": "ann@example.com"},
    {"id": "bob", "name": "Bob", "guests": [5002], "mail": "bob@example.com"},
]


@dataclass
class Office:
    """The site, the mail server, and somebody at a terminal."""

    site: SimulatedSite
    post: Post
    terminal: Terminal

    def subjects(self, address: str) -> list[str]:
        return [str(mail["Subject"]) for mail in self.post.read_mails() if mail["To"] == address]

    def wait_for_mails(self, count: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.post.taken) < count:
            assert time.monotonic() < deadline, self.post.taken
            time.sleep(0.1)

    def wait_for_the_last_mail(self) -> None:
        """Each customer's; a reminder may be missing that a slow machine sent after the begin."""
        deadline = time.monotonic() + 60
        while not all("is finished" in (self.subjects(str(one["mail"])) or [""])[-1] for one in CUSTOMERS):
            assert time.monotonic() < deadline, self.post.taken
            time.sleep(0.1)

    def wait_for_no_worker(self) -> None:
        deadline = time.monotonic() + 60
        while find_workers(self.site.directory / "zlh-hooks.toml"):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def read_ledger(self) -> tuple[Entry, ...]:
        with closing(SqlLedger.open(self.site.directory / "ledger.sqlite", SystemClock())) as ledger:
            return ledger.read()

    def exchanged_at(self, vmid: int) -> datetime:
        begun = (entry for entry in self.read_ledger() if entry.name == TargetEvent.EXCHANGE_BEGAN)
        return next(entry.at for entry in begun if entry.target == vmid)

    def delivered_at(self, customer: str, stage: str) -> datetime:
        found = self.terminal.read("notice", "list")["deliveries"]
        return next(datetime.fromisoformat(d["at"]) for d in found if (d["customer"], d["stage"]) == (customer, stage))


@pytest.fixture
def office(tmp_path: Path, worker_id: str) -> Iterator[Office]:
    network = 140 + int(worker_id.removeprefix("gw") or 0) if worker_id != "master" else 140
    with mail_server() as post, open_site(tmp_path, guests=2, network=network, rules=LADDER) as site:
        customers, settings = tmp_path / "customers.json", tmp_path / "zlh-hooks.toml"
        customers.write_text(json.dumps(CUSTOMERS))
        mail = f'[mail]\nhost = "localhost"\nport = {post.port}\nsecurity = "none"\nsender = "noc@example.net"\n'
        feed = f'[feed]\ndirectory = "{tmp_path}"\nurl = "https://status.example.net"\n'
        settings.write_text(f'{settings.read_text()}[directory]\nfile = "{customers}"\n{mail}{feed}')
        yield Office(site, post, Terminal(site))


def start(office: Office) -> subprocess.CompletedProcess[str]:
    return office.terminal.type("rollout", "start", "game-base", "--to", "2", "--yes")


def test_every_customer_gets_the_mails_and_no_guest_is_touched_before_the_promise(office: Office) -> None:
    done = start(office)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"bob\tmail bob@example.com\t1\t.*\t4 seconds", done.stdout)
    office.wait_for_mails(8)
    for customer, vmid in (("ann", 5001), ("bob", 5002)):
        subjects = office.subjects(f"{customer}@example.com")
        wanted = ("Planned maintenance on", "Reminder", "Maintenance has begun", "Maintenance is finished")
        assert [word in subject for word, subject in zip(wanted, subjects, strict=True)] == [True] * 4
        waited = office.exchanged_at(vmid) - office.delivered_at(customer, "announced")
        assert waited.total_seconds() >= 4
    first = office.post.read_mails()[0]
    text = str(first.get_body(("plain",)).get_content())  # type: ignore[union-attr]
    assert "game-5001" in text and "game-5002" not in text
    status = json.loads((office.site.directory / "status.json").read_text())
    assert [one["state"] for one in status["bulletins"]] == ["completed"]
    assert "ann" not in json.dumps(status).lower()


def test_a_worker_killed_as_the_server_takes_the_mail_is_followed_by_one_that_does_not_repeat_it(
    office: Office,
) -> None:
    office.post.on_taken = lambda: kill_workers(office.site.directory / "zlh-hooks.toml")
    office.terminal.type("rollout", "start", "game-base", "--to", "2", "--yes", "--detach")
    office.wait_for_mails(1)
    office.wait_for_no_worker()
    office.post.on_taken = lambda: None
    watching = office.terminal.begin("rollout", "watch")
    office.wait_for_mails(2)
    listed = office.terminal.read("notice", "list")
    states = {one["customer"]: one["state"] for one in listed["deliveries"] if one["stage"] == "announced"}
    assert states == {"ann": "sending", "bob": "delivered"}
    told = {one["customer"]: one["standing"] for one in listed["customers"]}
    assert told["ann"] == "unreachable: vouch for them, or correct the address"
    vouched = office.terminal.type("notice", "vouch", "ann", "--reason", "rang her up")
    assert vouched.returncode == 0, vouched.stderr
    assert watching.wait(timeout=60) == 0
    office.wait_for_the_last_mail()
    announced = [mail["Message-ID"] for mail in office.post.read_mails() if "Planned" in str(mail["Subject"])]
    assert len(announced) == len(set(announced)) == 2


def test_an_operator_sees_beforehand_who_would_read_what(office: Office) -> None:
    shown = office.terminal.type("notice", "preview", "game-base", "--to", "2")
    assert re.search(r"ann\tmail ann@example.com\t1\t", shown.stdout), shown.stdout + shown.stderr
    text = office.terminal.type("notice", "preview", "game-base", "--to", "2", "--customer", "bob").stdout
    assert "Hello Bob," in text and "game-5002" in text
    refused = office.terminal.type("notice", "preview", "game-base", "--to", "2", "--customer", "eve")
    assert refused.returncode == 3
    assert "it concerns ann, bob" in refused.stderr
    assert office.post.taken == []


def test_a_test_notice_is_sent_and_its_answer_recorded(office: Office) -> None:
    done = office.terminal.type("notice", "send", "--test", "ops@example.net")
    assert done.stdout.startswith("accepted: 250"), done.stderr
    assert office.post.read_mail()["To"] == "ops@example.net"
    assert [entry.kind for entry in office.read_ledger()] == ["intent", "done"]
    refused = office.terminal.type("notice", "send", "--test", "https://example.net/hook")
    assert refused.returncode == 3
    assert "[webhook]" in refused.stderr


def test_a_bounce_is_noted_and_what_never_went_there_is_said(office: Office) -> None:
    start(office)
    done = office.terminal.type("notice", "bounced", "ann@example.com", "--reason", "mailbox full")
    assert done.returncode == 0, done.stderr
    assert {d["state"] for d in office.terminal.read("notice", "list")["deliveries"] if d["customer"] == "ann"} == {
        "bounced"
    }
    again = office.terminal.type("notice", "bounced", "ann@example.com")
    assert again.returncode == 3
    assert "does not count anyway: it is bounced" in again.stderr
    wrong = office.terminal.type("notice", "bounced", "eve@example.com")
    assert wrong.returncode == 3
    assert "ann@example.com, bob@example.com" in wrong.stderr
