"""``zlh-hooks dead-man`` as an operator and a timer call it: settings from files, people reached by real servers."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import Result

from tests.cli.command_line import make_runner
from tests.cli.site_file import GAMES, write_site
from tests.dead_man_bench import SECRET, Duty, on_duty
from zlh_hooks.cli.app import app

MINUTE = timedelta(minutes=1)


@pytest.fixture
def duty(tmp_path: Path) -> Iterator[Duty]:
    with on_duty(tmp_path) as opened:
        yield opened


@pytest.fixture
def files(tmp_path: Path, duty: Duty) -> list[str]:
    """The options that name a site without any work."""
    return write_site(tmp_path, GAMES, duty.settings)


def run(files: list[str], *words: str) -> Result:
    done = make_runner().invoke(app, [*words, *files])
    assert SECRET not in done.output + done.stderr + str(done.exception)
    return done


def list_points(files: list[str]) -> dict[str, str]:
    return {one["name"]: one["found"] for one in json.loads(run(files, "ready", "--json").output)["points"]}


def test_while_nothing_waits_for_a_worker_the_heartbeat_is_called_and_nobody_is_told(
    files: list[str], duty: Duty
) -> None:
    assert run(files, "dead-man").exit_code == 0
    assert [(asked.method, asked.path) for asked in duty.service.asked] == [("GET", f"/{SECRET}")]
    assert (duty.subjects(), duty.hook.asked) == ([], [])


def test_who_only_looks_makes_no_ledger(files: list[str], tmp_path: Path) -> None:
    run(files, "dead-man")
    assert not (tmp_path / "ledger.sqlite").exists()


def test_a_policy_that_no_worker_could_read_is_told_to_each_person_on_duty(
    files: list[str], duty: Duty, tmp_path: Path
) -> None:
    (tmp_path / "policy.toml").write_text("nonsense = 1\n")
    assert run(files, "dead-man").exit_code == 1
    duty.let_pass(MINUTE)
    assert "policy: no worker can start" in run(files, "dead-man").stderr
    assert duty.subjects() == ["nobody looks after the work"] * 2
    assert duty.recipients() == ["ada@example.com", "bob@example.com"]
    assert (len(duty.hook.asked), duty.service.asked) == (1, [])


OUTSIDE_ITS_TABLE = {
    "a key that nobody knows": ('host = "pve1.example"', 'hosst = "pve1.example"', "proxmox.host"),
    "a line that is no TOML, above": ('host = "pve1.example"', "host = ", "syntax"),
    "a table whose name does not end, below": (
        "allow_private = true",
        "allow_private = true\n[mail\nhost = x",
        "syntax",
    ),
    "a byte that is no text": ("pve1.example", "pve\udcff.example", "syntax"),
    "a table that is missing": ("[proxmox]", "[proxmoxx]", "proxmox"),
}
"""What stands there, what in its place, and what is named."""


@pytest.mark.parametrize("case", OUTSIDE_ITS_TABLE)
def test_whatever_is_wrong_in_the_settings_beside_its_own_table_is_told_to_each_person_on_duty(
    files: list[str], duty: Duty, tmp_path: Path, case: str
) -> None:
    right, wrong, named = OUTSIDE_ITS_TABLE[case]
    config = tmp_path / "zlh-hooks.toml"
    config.write_text(config.read_text().replace(right, wrong), errors="surrogateescape")
    assert run(files, "dead-man").exit_code == 1
    duty.let_pass(MINUTE)
    assert (
        f"settings: no worker can start, for the settings are wrong: {config}: {named}" in run(files, "dead-man").stderr
    )
    assert duty.subjects() == ["nobody looks after the work"] * 2
    assert duty.recipients() == ["ada@example.com", "bob@example.com"]
    assert (len(duty.hook.asked), duty.service.asked) == (1, [])


def test_a_drop_in_that_is_broken_keeps_it_no_more_silent_than_the_file(
    files: list[str], duty: Duty, tmp_path: Path
) -> None:
    (tmp_path / "zlh-hooks.d").mkdir()
    (tmp_path / "zlh-hooks.d/site.toml").write_text("[worker\n")
    run(files, "dead-man")
    duty.let_pass(MINUTE)
    assert "site.toml: syntax" in run(files, "dead-man").stderr
    assert duty.subjects() == ["nobody looks after the work"] * 2


def test_if_its_own_table_cannot_be_read_the_fault_is_named(files: list[str], duty: Duty, tmp_path: Path) -> None:
    config = tmp_path / "zlh-hooks.toml"
    config.write_text(config.read_text().replace("[dead_man.mail]", "[dead_man.mail"))
    done = run(files, "dead-man")
    assert (done.exit_code != 0, f"{config}: syntax" in str(done.exception)) == (True, True)


def test_an_address_that_was_greylisted_is_told_at_the_next_look_and_no_other_hears_it_twice(
    files: list[str], duty: Duty, tmp_path: Path
) -> None:
    (tmp_path / "policy.toml").write_text("nonsense = 1\n")
    duty.post.answers["bob@example.com"] = "450 greylisted"
    run(files, "dead-man")
    duty.let_pass(MINUTE)
    assert "mail to bob@example.com: " in run(files, "dead-man").stderr
    assert duty.recipients() == ["ada@example.com"]
    del duty.post.answers["bob@example.com"]
    for _ in range(3):
        duty.let_pass(MINUTE)
        run(files, "dead-man")
    assert duty.recipients() == ["ada@example.com", "bob@example.com"]
    assert len(duty.hook.asked) == 1


def test_a_webhook_whose_secret_is_unreadable_keeps_no_mail_from_going(
    files: list[str], duty: Duty, tmp_path: Path
) -> None:
    (tmp_path / "alarm-url").chmod(0o644)
    assert run(files, "dead-man").exit_code == 1
    duty.let_pass(MINUTE)
    assert "open to everybody" in run(files, "dead-man").stderr
    assert duty.subjects() == ["something is amiss (webhook)"] * 2
    assert (duty.hook.asked, duty.service.asked) == ([], [])
    assert run(files, "dead-man", "--test").exit_code == 1


def test_who_is_on_duty_is_nobody_elses_business(files: list[str], tmp_path: Path) -> None:
    run(files, "dead-man")
    assert (tmp_path / "memory.json").stat().st_mode & 0o777 == 0o640


def test_a_ledger_that_is_none_is_told(files: list[str], duty: Duty, tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_text("not a ledger")
    assert run(files, "dead-man").exit_code == 1
    duty.let_pass(MINUTE)
    assert "ledger: the ledger cannot be used" in run(files, "dead-man").stderr
    assert duty.subjects() == ["nobody looks after the work"] * 2


def test_an_alarm_is_sorted_as_one_and_comes_from_its_own_address(files: list[str], duty: Duty) -> None:
    run(files, "dead-man", "--test")
    mail = duty.post.read_mails()[0]
    assert (mail["From"], mail["List-Id"]) == ("alarm@example.com", "Alarm notices <alarm.example.com>")


def test_a_test_goes_every_way_and_counts_only_if_all_of_them_worked(files: list[str], duty: Duty) -> None:
    duty.hook.statuses = [500, 200]
    assert run(files, "dead-man", "--test").exit_code == 1
    assert {"dead-man.test", "dead-man.timer"} <= list_points(files).keys()
    done = run(files, "dead-man", "--test")
    assert (done.exit_code, done.stdout) == (0, "every way works, and that is recorded\n")
    assert duty.subjects() == ["this is a test"] * 4


def test_the_gate_is_green_when_it_reaches_people_was_tried_and_looks(files: list[str]) -> None:
    run(files, "dead-man", "--test")
    run(files, "dead-man")
    assert list_points(files)["dead-man"] == "tells by mail, webhook and heartbeat, within 7.5 minutes at worst"


def test_without_its_table_it_says_where_that_is_described(tmp_path: Path) -> None:
    done = make_runner().invoke(app, ["dead-man", *write_site(tmp_path, GAMES)])
    assert done.exit_code != 0
    assert "docs/reference/dead-man.md" in str(done.exception)


@pytest.mark.parametrize("url", ["http://example.com/x", "nonsense", "ftp://example.com/x"])
def test_a_url_that_is_none_is_refused_without_being_shown(files: list[str], tmp_path: Path, url: str) -> None:
    (tmp_path / "heartbeat-url").write_text(url + SECRET)
    done = run(files, "dead-man")
    assert (done.exit_code, "dead_man.heartbeat_url_file" in done.stderr) == (1, True)
