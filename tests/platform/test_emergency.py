"""An emergency by the real command line and worker, with real mail: a rollout that waits for days goes on at once."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.adapters.mail_bench import mail_server
from tests.platform.site import open_site
from tests.platform.test_command_line import Terminal
from tests.platform.test_notice import CUSTOMERS, Office

pytestmark = pytest.mark.process

RULES = """
[emergency]
[notices]
retry = "1s"
[[notices.ladders]]
leads = ["72h", "24h"]
[[freezes]]
name = "fair"
first = {first}
last = {last}
stops = "all"
"""
TEXTFILE = "zlh-hooks.prom"
WORDS = ("--reason", "a hole is being used", "--reference", "CVE-2026-1")


@pytest.fixture
def office(tmp_path: Path, worker_id: str) -> Iterator[Office]:
    network = 180 + int(worker_id.removeprefix("gw") or 0) if worker_id != "master" else 180
    today = datetime.now(UTC).date()
    rules = RULES.format(first=today - timedelta(days=1), last=today + timedelta(days=2))
    with mail_server() as post, open_site(tmp_path, guests=2, network=network, rules=rules) as site:
        customers, settings = tmp_path / "customers.json", tmp_path / "zlh-hooks.toml"
        customers.write_text(json.dumps(CUSTOMERS))
        mail = f'[mail]\nhost = "localhost"\nport = {post.port}\nsecurity = "none"\nsender = "noc@example.net"\n'
        feed = f'[feed]\ndirectory = "{tmp_path}"\nurl = "https://status.example.net"\n'
        metrics = f'[metrics]\ntextfile = "{tmp_path / TEXTFILE}"\n'
        settings.write_text(f'{settings.read_text()}[directory]\nfile = "{customers}"\n{mail}{feed}{metrics}')
        yield Office(site, post, Terminal(site))


def test_what_waits_for_a_freeze_and_a_promise_goes_on_at_once_and_customers_read_why(office: Office) -> None:
    terminal = office.terminal
    terminal.type("rollout", "start", "game-base", "--to", "2", "--yes", "--detach")
    office.wait_for_mails(2)
    declared = terminal.type("emergency", "declare", "template", *WORDS, "--for", "1h", "--yes")
    assert declared.returncode == 0, declared.stderr
    assert "freeze 'fair'" in declared.stdout and "told 3 days before" in declared.stdout
    watched = terminal.type("rollout", "watch")
    assert watched.returncode == 0, watched.stdout + watched.stderr
    office.wait_for_mails(8)
    for customer, vmid in (("ann", 5001), ("bob", 5002)):
        subjects = office.subjects(f"{customer}@example.com")
        wanted = ("Planned maintenance on", "Emergency maintenance now", "Emergency maintenance has begun", "finished")
        assert [word in subject for word, subject in zip(wanted, subjects, strict=True)] == [True] * 4
        assert office.delivered_at(customer, "moved") <= office.exchanged_at(vmid)
    text = str(office.post.read_mails()[2].get_body(("plain",)).get_content())  # type: ignore[union-attr]
    assert "Why now: a hole is being used" in text
    (shown,) = json.loads((office.site.directory / "status.json").read_text())["bulletins"]
    assert (shown["state"], shown["summary"]) == ("completed", "Emergency maintenance: game-base 2")
    standings = {one["standing"] for one in terminal.read("notice", "list")["customers"]}
    assert all(standing.startswith("told at once: emergency e") for standing in standings)
    assert 'zlh_hooks_rollouts{state="' in (office.site.directory / TEXTFILE).read_text(), "written by the worker"
    assert_it_is_ended_and_paid(office)


def assert_it_is_ended_and_paid(office: Office) -> None:
    terminal = office.terminal
    (known,) = terminal.read("emergency", "list")
    assert 'zlh_hooks_emergency_debts{kind="review"} 1.0' in terminal.type("metrics").stdout
    assert (known["state"], [debt["kind"] for debt in known["debts"]]) == ("open", ["review"])
    assert terminal.type("emergency", "end", "--reason", "all patched").returncode == 0
    assert terminal.type("emergency", "review", known["id"], "--text", "we patch sooner").returncode == 0
    (known,) = terminal.read("emergency", "list")
    assert (known["state"], known["debts"]) == ("reviewed", [])
    assert 'zlh_hooks_emergency_debts{kind="review"} 0.0' in terminal.type("metrics").stdout
    authors = {e.data["author"] for e in office.read_ledger() if e.name.startswith("emergency.")}
    assert authors == {known["author"]}
