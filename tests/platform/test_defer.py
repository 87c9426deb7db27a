"""A customer's own link, from a real mail, moves the date; a real worker tells of it and keeps it."""

import json
import re
import subprocess
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.adapters.mail_bench import mail_server
from tests.platform.site import open_site
from tests.platform.test_command_line import Terminal
from tests.platform.test_notice import CUSTOMERS, Office

pytestmark = pytest.mark.process

RULES = """
[emergency]
[contact]
name = "Site"
mail = "help@example.net"
status_page = "https://status.example.net"
[deferral]
[notices]
retry = "1s"
[[notices.ladders]]
leads = ["72h", "24h"]
"""


@pytest.fixture
def office(tmp_path: Path, worker_id: str) -> Iterator[Office]:
    network = 200 + int(worker_id.removeprefix("gw") or 0) if worker_id != "master" else 200
    with mail_server() as post, open_site(tmp_path, guests=2, network=network, rules=RULES) as site:
        customers, settings, key = (tmp_path / name for name in ("customers.json", "zlh-hooks.toml", "key"))
        customers.write_text(json.dumps(CUSTOMERS))
        key.touch(mode=0o600)
        key.write_text("k" * 64)
        mail = f'[mail]\nhost = "localhost"\nport = {post.port}\nsecurity = "none"\nsender = "noc@example.net"\n'
        links = f'[deferral]\nurl = "https://portal.example/date"\nkey_file = "{key}"\n'
        settings.write_text(f'{settings.read_text()}[directory]\nfile = "{customers}"\n{mail}{links}')
        yield Office(site, post, Terminal(site))


def click(office: Office, link: str, *words: str) -> subprocess.CompletedProcess[str]:
    """What a page behind a web server does: the token goes in by standard input, never by an argument."""
    return office.terminal.type("defer", "--link", "-", *words, given=link)


def mails_to(office: Office, customer: str) -> list[EmailMessage]:
    return [mail for mail in office.post.read_mails() if mail["To"] == f"{customer}@example.com"]


def read_text(mail: EmailMessage) -> str:
    return str(mail.get_body(("plain",)).get_content())  # type: ignore[union-attr]


def read_event(mail: EmailMessage) -> tuple[str, int]:
    """Its UID and SEQUENCE."""
    (part,) = mail.iter_attachments()
    lines = dict(line.partition(":")[::2] for line in part.get_content().splitlines())
    return lines["UID"], int(lines["SEQUENCE"])


def find_link(mail: EmailMessage) -> str:
    found = re.search(r"https://portal\.example/date\?token=\S+", read_text(mail))
    assert found is not None, read_text(mail)
    return found[0]


def test_a_link_from_the_mail_moves_the_date_the_move_is_told_and_only_an_emergency_passes_over_it(
    office: Office,
) -> None:
    terminal = office.terminal
    terminal.type("rollout", "start", "game-base", "--to", "2", "--yes", "--detach")
    office.wait_for_mails(2)
    (first,) = mails_to(office, "bob")
    assert "mailto:help@example.net?subject=Another%20date%20for%20r" in read_text(first)
    link = find_link(first)

    offered = json.loads(click(office, link, "--json").stdout)
    assert (offered["guests"], len(offered["dates"]) > 10) == ([{"vmid": 5002, "name": "game-5002"}], True)
    chosen = offered["dates"][3]
    for _ in range(2):
        taken = click(office, link, "--until", chosen["until"])
        assert taken.returncode == 0, taken.stderr
        assert "game-5002 (5002) is not changed before" in taken.stdout
    office.wait_for_mails(3)
    _, moved = mails_to(office, "bob")
    assert "Maintenance moved to" in str(moved["Subject"]) and len(mails_to(office, "ann")) == 1
    assert read_event(moved) == (read_event(first)[0], 1)

    assert click(office, link, "--until", offered["dates"][5]["until"]).returncode == 3
    tampered = click(office, link[:-2], "--json")
    assert (tampered.returncode, tampered.stdout) == (3, "")
    (row,) = terminal.read("defer")
    assert (row["vmid"], row["author"], row["until"]) == (5002, "customer bob", chosen["start"])

    declared = ("--reason", "a hole is being used", "--reference", "CVE-2026-1", "--for", "1h", "--yes")
    assert terminal.type("rollout", "pause").returncode == 0  # or it may be over before the customer clicks
    terminal.wait_for(lambda status: status["state"] == "PAUSED")
    assert terminal.type("emergency", "declare", "template", *declared).returncode == 0
    refused = click(office, find_link(moved), "--json")
    assert refused.returncode == 3
    assert "this is an emergency and cannot wait: a hole is being used" in refused.stderr
    assert terminal.type("rollout", "resume").returncode == 0
    assert terminal.type("rollout", "watch").returncode == 0
    assert office.site.versions() == {5001: "2", 5002: "2"}


def test_an_operator_moves_one_guest_and_the_rest_of_the_rollout_waits_for_its_own_date_only(office: Office) -> None:
    terminal = office.terminal
    terminal.type("rollout", "start", "game-base", "--to", "2", "--yes", "--detach")
    office.wait_for_mails(2)
    last = terminal.read("defer", "5001")["dates"][-1]["until"]
    done = terminal.type("defer", "5001", "--until", last, "--reason", "a tournament")
    assert done.returncode == 0, done.stderr
    office.wait_for_mails(3)
    standings = {one["customer"]: one["start"] for one in terminal.read("notice", "list")["customers"]}
    assert standings["ann"].startswith(last[:10]) and standings["bob"] < standings["ann"]
    assert terminal.type("rollout", "abort").returncode == 0
    terminal.wait_for(lambda status: status["state"] == "ABORTED")
    assert "no rollout runs" in terminal.type("defer", "5001").stderr
