"""Notes of a node, taken in by the command line against a real API."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.adapters.mail_bench import mail_server
from tests.note_file import draft_note, write_note
from tests.platform.site import open_site
from tests.platform.test_command_line import Terminal
from zlh_hooks.adapters.clock import SystemClock
from zlh_hooks.adapters.spool import BAD, open_spool

pytestmark = pytest.mark.process

RULES = "[availability]\ngoal_percent = 99.5\n"


@pytest.fixture
def terminal(tmp_path: Path, worker_id: str) -> Iterator[Terminal]:
    network = 230 + int(worker_id.removeprefix("gw") or 0) if worker_id != "master" else 230
    with open_site(tmp_path, guests=2, network=network) as site:
        policy = tmp_path / "policy.toml"
        policy.write_text(policy.read_text() + RULES)
        (tmp_path / "spool").mkdir(mode=0o700)
        yield Terminal(site)


def spool_of(terminal: Terminal) -> Path:
    return terminal.site.directory / "spool"


def take_in(terminal: Terminal) -> list[str]:
    done = terminal.type("intake", "--spool", str(spool_of(terminal)))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout.splitlines()


def test_notes_become_entries_and_downtime_and_a_clone_loses_its_templates_tags(terminal: Terminal) -> None:
    begin = datetime(2025, 3, 10, 2, tzinfo=UTC)
    for minute, phase in enumerate(("pre-stop", "post-stop", "pre-start", "post-start")):
        write_note(spool_of(terminal), begin + timedelta(minutes=minute), 5001, phase, lock="backup")
    (spool_of(terminal) / "hello").touch()
    assert take_in(terminal) == [
        "'hello' is no note and is set aside: its name is none of a note",
        "guest 5001 on pve1 is no template: taken off zlh-line.game-base",
        "4 notes of 1 guests recorded",
    ]
    assert [path.name for path in spool_of(terminal).iterdir()] == [BAD]
    assert take_in(terminal) == ["0 notes of 0 guests recorded"]
    exported = terminal.read("downtime", "export", "--month", "2025-03")
    seconds = {one["guest"]: one["unplanned_seconds"] for one in exported["accounts"]}
    assert seconds == {5001: 180, 5002: 0}


def test_a_guest_that_moved_or_has_another_address_is_told_to_the_operator_by_mail(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, settings, begin = spool_of(terminal), terminal.site.settings, datetime.now(UTC)
    with mail_server() as post:
        mail = f'[mail]\nhost = "localhost"\nport = {post.port}\nsecurity = "none"\nsender = "noc@example.net"\n'
        settings.write_text(f'{settings.read_text()}{mail}[operator]\nmail = "ops@example.net"\n')
        write_note(spool, begin - timedelta(minutes=2), 5001, "post-stop", node="pve2")
        write_note(spool, begin - timedelta(minutes=1), 5001, "post-start", node="pve1")
        assert take_in(terminal)[0] == "guest 5001 moved from pve2 to pve1, noted at its post-start"
        before = terminal.site.runtime.address(5001)
        monkeypatch.setattr(terminal.site.runtime, "address", lambda vmid: "10.9.8.7")
        post.answers["MAIL"] = "451 try again later"
        write_note(spool, begin, 5001, "post-start", node="pve1")
        failed = terminal.type("intake", "--spool", str(spool))
        assert failed.returncode == 4, failed.stdout
        assert f"guest 5001 has another address: 10.9.8.7, and {before} before" in failed.stdout
        post.answers.clear()
        for _ in range(2):
            assert take_in(terminal) == ["0 notes of 0 guests recorded"]
        subjects = [str(one["Subject"]) for one in post.read_mails() if one["To"] == "ops@example.net"]
    assert subjects == [
        "[zlh-hooks lab] guest 5001 moved from pve2 to pve1",
        f"[zlh-hooks lab] guest 5001 has another address: 10.9.8.7, and {before} before",
    ]


def test_a_node_that_sends_notes_has_them_recorded_though_the_operator_cannot_be_told(terminal: Terminal) -> None:
    settings, begin = terminal.site.settings, datetime.now(UTC)
    mail = '[mail]\nhost = "mail.example.net"\nuser = "noc"\npassword_file = "/none"\nsender = "noc@example.net"\n'
    settings.write_text(f'{settings.read_text()}{mail}[operator]\nmail = "ops@example.net"\n')
    words = ("--receive", "pve1"), ("--receive", "pve2")
    for number, (option, node) in enumerate(words):
        name, text = draft_note(begin + timedelta(seconds=number), 5001, "post-start", node=node)
        done = terminal.type("intake", option, node, given=f"{name} {len(text)}\n{text}\n")
        assert (done.returncode, done.stdout) == (0, f"kept {name}\n"), done.stderr
    assert "guest 5001 moved from pve1 to pve2" in done.stderr
    assert "the operator could not be told: " in done.stderr and "mail.password_file" in done.stderr


def test_a_node_that_sends_nothing_makes_no_ledger_and_nobody_is_told(terminal: Terminal) -> None:
    assert terminal.type("intake", "--receive", "pve1", given="").returncode == 0
    assert not (terminal.site.directory / "ledger.sqlite").exists()


def test_a_cluster_that_cannot_be_reached_keeps_no_note_from_being_recorded(terminal: Terminal) -> None:
    write_note(spool_of(terminal), datetime.now(UTC), 5001, "post-start")
    settings = terminal.site.settings
    settings.write_text(settings.read_text().replace(f"port = {terminal.site.pve.port}", "port = 1"))
    first, second, last = take_in(terminal)
    assert first.startswith("tags of 1 guests were not looked at, until these are noted again: ")
    assert second.startswith("addresses of 1 guests were not read, until these are noted again: ")
    assert last == "1 notes of 1 guests recorded"
    assert list(spool_of(terminal).iterdir()) == []


def test_a_ledger_that_cannot_be_written_keeps_the_notes_where_they_are(terminal: Terminal) -> None:
    name = write_note(spool_of(terminal), datetime.now(UTC), 5001, "post-start")
    settings = terminal.site.settings
    settings.write_text(settings.read_text().replace("ledger.sqlite", "policy.toml/ledger.sqlite"))
    done = terminal.type("intake", "--spool", str(spool_of(terminal)))
    assert done.returncode == 4, done.stdout + done.stderr
    assert [path.name for path in spool_of(terminal).iterdir()] == [name]


def test_a_place_that_others_may_write_is_refused(terminal: Terminal) -> None:
    spool_of(terminal).chmod(0o777)
    done = terminal.type("intake", "--spool", str(spool_of(terminal)))
    assert (done.returncode, "nobody else may write" in done.stderr) == (2, True)


def test_the_second_of_two_waits_until_the_first_has_ended(terminal: Terminal) -> None:
    write_note(spool_of(terminal), datetime.now(UTC), 5001, "post-start")
    with open_spool(spool_of(terminal), SystemClock()):
        second = terminal.begin("intake", "--spool", str(spool_of(terminal)))
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(2)
    assert second.communicate(timeout=60)[0].splitlines()[-1] == "1 notes of 1 guests recorded"
