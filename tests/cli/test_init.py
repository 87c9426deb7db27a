"""Rules of ``zlh-hooks init``: asks what differs, touches nothing that is there, and says what comes next."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.cli.command_line import parse
from tests.clock import FakeClock
from tests.datacentre.ledger import MemoryLedger
from zlh_hooks import wiring
from zlh_hooks.adapters.machine_zone import read_time_zone
from zlh_hooks.cli.app import app
from zlh_hooks.domain.attestation import drop_confirmed, read_attestations
from zlh_hooks.domain.errors import NotAllowed, RoadError, SettingsError
from zlh_hooks.domain.policy import Policy
from zlh_hooks.settings import SHIPPED_POLICY, Settings, load_policy, load_settings

ANSWERS = ["Europe/Vienna", "Nightfall", "help@nightfall.example", "https://status.nightfall.example", "Ada Lovelace"]
ANSWERS += ["ada@nightfall.example", "+43 1 234", "Grace", "grace@nightfall.example", "", "pve1.nightfall.example"]
ANSWERS += ["zlh@pve", "hooks", "/run/token"]


@pytest.fixture(autouse=True)
def ledger(monkeypatch: pytest.MonkeyPatch) -> MemoryLedger:
    """The machine's ledger, which these tests keep in memory."""
    ledger = MemoryLedger(FakeClock())
    monkeypatch.setattr(wiring, "read_time_zone", lambda: "Asia/Tokyo")
    monkeypatch.setattr(wiring, "open_ledger", lambda settings: ledger)
    return ledger


def init(folder: Path, *options: str, answers: list[str] | None = None) -> Result:
    typed = "\n".join([*(answers or []), ""])
    return CliRunner().invoke(app, ["init", *options, *name_places(folder)], input=typed)


def name_places(folder: Path) -> list[str]:
    return ["--config", str(folder / "zlh-hooks.toml"), "--policy", str(folder / "policy.toml")]


def load(folder: Path) -> Policy:
    return load_policy(folder / "policy.toml")


def list_unconfirmed(folder: Path, ledger: MemoryLedger) -> tuple[str, ...]:
    return drop_confirmed(load(folder), read_attestations(ledger.read())).to_confirm


def test_by_defaults_nothing_is_asked_and_all_of_it_is_to_be_confirmed(tmp_path: Path, ledger: MemoryLedger) -> None:
    result = init(tmp_path, "--defaults")
    assert result.exit_code == 0, result.output
    policy = load(tmp_path)
    assert policy.time_zone == "Asia/Tokyo"
    assert list_unconfirmed(tmp_path, ledger) == ("time_zone", "contact", "people", "kinds", "lines", "availability")
    assert ledger.read() == ()
    assert "The time zone is this machine's: Asia/Tokyo" in result.stdout


def test_where_nobody_answers_nothing_is_written_and_the_way_without_questions_is_named(tmp_path: Path) -> None:
    """A real process: Click 8.1's runner takes the end of its input for an empty line."""
    command = [sys.executable, "-m", "zlh_hooks", "init", *name_places(tmp_path)]
    typed = "".join(f"{line}\n" for line in ANSWERS[:3])
    done = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "nothing was written: --defaults asks nothing" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_was_asked_is_confirmed_and_stands_in_the_policy(tmp_path: Path, ledger: MemoryLedger) -> None:
    assert init(tmp_path, answers=ANSWERS).exit_code == 0
    policy = load(tmp_path)
    assert policy.contact is not None
    assert (policy.time_zone, policy.contact.mail) == ("Europe/Vienna", "help@nightfall.example")
    assert list_unconfirmed(tmp_path, ledger) == ("kinds", "lines", "availability")
    people = {key: (one.name, one.roles, one.phone) for key, one in policy.people.items()}
    assert people == {
        "ada-lovelace": ("Ada Lovelace", ("platform", "on-call"), "+43 1 234"),
        "grace": ("Grace", ("service", "on-call"), ""),
    }
    reach = load_settings(tmp_path / "zlh-hooks.toml").proxmox
    assert (reach.host, str(reach.token_file)) == ("pve1.nightfall.example", "/run/token")


def test_what_was_asked_is_confirmed_by_nobody_where_that_cannot_be_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(settings: Settings) -> MemoryLedger:
        raise RoadError("/var/lib/zlh-hooks: Permission denied")

    monkeypatch.setattr(wiring, "open_ledger", fail)
    result = init(tmp_path, answers=ANSWERS)
    assert result.exit_code == 0
    assert "cannot be recorded: /var/lib/zlh-hooks: Permission denied" in result.output
    assert "the time zone, addresses, who is on duty, which numbers servers have" in result.output
    assert load(tmp_path).to_confirm == ("time_zone", "contact", "people", "kinds", "lines", "availability")


def test_a_wrong_answer_is_asked_again_and_says_what_would_be_right(tmp_path: Path) -> None:
    result = init(tmp_path, answers=["Europe/Viena", *ANSWERS])
    assert 'an IANA time zone such as Europe/Berlin; did you mean "Europe/Vienna"?' in result.output
    assert load(tmp_path).time_zone == "Europe/Vienna"


def test_who_does_everything_alone_is_one_person(tmp_path: Path) -> None:
    init(tmp_path, answers=[*ANSWERS[:7], "Ada Lovelace", *ANSWERS[8:]])
    assert load(tmp_path).people["ada-lovelace"].roles == ("platform", "service", "on-call")


def test_a_name_that_no_key_can_be_made_of_is_a_person_too(tmp_path: Path) -> None:
    assert init(tmp_path, answers=[*ANSWERS[:4], 'Ада "\\"', *ANSWERS[5:]]).exit_code == 0
    assert load(tmp_path).people["first"].name == 'Ада "\\"'


def test_the_policy_is_the_shipped_one_to_the_letter_and_settings_are_not_for_all(tmp_path: Path) -> None:
    init(tmp_path, "--defaults")
    assert (tmp_path / "policy.toml").read_bytes() == SHIPPED_POLICY.read_bytes()
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*.toml")}
    assert modes == {"policy.toml": 0o644, "site.toml": 0o640, "zlh-hooks.toml": 0o640}


@pytest.mark.parametrize("there", ["policy.toml", "policy.d/site.toml", "zlh-hooks.toml"])
def test_a_file_that_is_there_stays_and_nothing_else_is_made(tmp_path: Path, there: str) -> None:
    path = tmp_path / there
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    result = init(tmp_path, "--defaults")
    assert isinstance(result.exception, NotAllowed)
    assert f"{path} exists and is left alone" in str(result.exception)
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == [path]
    assert path.read_text() == "mine"


def test_where_one_file_cannot_be_written_none_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    places = ["--config", str(tmp_path / "file" / "zlh-hooks.toml"), "--policy", str(tmp_path / "policy.toml")]
    result = CliRunner().invoke(app, ["init", "--defaults", *places])
    assert isinstance(result.exception, SettingsError)
    assert [one.name for one in tmp_path.rglob("*") if one.is_file()] == ["file"]


def test_it_writes_where_the_variables_point(tmp_path: Path) -> None:
    variables = {"ZLH_HOOKS_CONFIG": str(tmp_path / "a.toml"), "ZLH_HOOKS_POLICY": str(tmp_path / "new" / "b.toml")}
    assert CliRunner().invoke(app, ["init", "--defaults"], env=variables).exit_code == 0
    assert load_policy(tmp_path / "new" / "b.toml").to_confirm
    assert tomllib.loads((tmp_path / "a.toml").read_text())["proxmox"]["token_file"] == str(tmp_path / "token")


def test_the_commands_that_it_names_next_are_commands_and_find_the_files(tmp_path: Path) -> None:
    told = init(tmp_path, "--defaults").stdout
    commands = re.findall(r"zlh-hooks (?:policy|ready) ?[a-z]* --.*", told)
    assert len(commands) == 4
    for command in commands:
        parse(command)
        assert str(tmp_path / "policy.toml") in command


@pytest.mark.parametrize(
    ("link", "text", "zone"),
    [
        ("/usr/share/zoneinfo/Europe/Berlin", "Asia/Tokyo", "Europe/Berlin"),
        ("../usr/share/zoneinfo/Etc/UTC", None, "Etc/UTC"),
        (None, "Asia/Tokyo\n", "Asia/Tokyo"),
        ("/usr/share/zoneinfo/Mars/Base", "nowhere", "UTC"),
        (None, None, "UTC"),
    ],
)
def test_the_machines_zone_is_read_from_where_systems_keep_it(
    tmp_path: Path, link: str | None, text: str | None, zone: str
) -> None:
    if link:
        (tmp_path / "localtime").symlink_to(link)
    if text:
        (tmp_path / "timezone").write_text(text)
    assert read_time_zone(tmp_path) == zone
