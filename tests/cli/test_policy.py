"""Rules of `zlh-hooks policy`: what is sound, what is told besides, what editors get."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from zlh_hooks import wiring
from zlh_hooks.adapters.clock import SystemClock
from zlh_hooks.adapters.ledger import SqlLedger
from zlh_hooks.cli.policy import app
from zlh_hooks.domain.attestation import digest_policy
from zlh_hooks.domain.entry import Entry
from zlh_hooks.domain.errors import SettingsError
from zlh_hooks.settings import SHIPPED_POLICY, load_policy

RARE = """
time_zone = "Europe/Berlin"
[[windows]]
name = "rare"
rule = "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"
start = "04:00"
length_minutes = 60
"""


def test_a_sound_policy_is_told_with_what_was_read() -> None:
    result = CliRunner().invoke(app, ["check", "--policy", str(SHIPPED_POLICY)])
    assert result.exit_code == 0
    assert f"{SHIPPED_POLICY}: sound (3 windows, 2 kinds of guests, 2 lines, times in Europe/Berlin)" in result.stdout


def test_what_is_sound_and_hardly_meant_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(RARE)
    result = CliRunner().invoke(app, ["check", "--policy", str(path), "--json"])
    assert json.loads(result.stdout)["hints"] == ["window 'rare' has no date within the next 5 years"]


def test_drop_ins_are_read_and_named(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(RARE)
    (tmp_path / "policy.d").mkdir()
    drop_in = tmp_path / "policy.d" / "10-canary.toml"
    drop_in.write_text("[rollout]\ncanary = 7\n")
    told = json.loads(CliRunner().invoke(app, ["check", "--policy", str(path), "--json"]).stdout)
    assert (told["files"], told["policy"]["rollout"]["canary"]) == ([str(path), str(drop_in)], 7)


def test_a_wrong_policy_is_an_error_for_the_root_to_tell(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(RARE + "cutoff_minutes = 61\n")
    result = CliRunner().invoke(app, ["check"], env={"ZLH_HOOKS_POLICY": str(path)})
    assert isinstance(result.exception, SettingsError)
    assert str(result.exception) == f"{path}: windows[0].cutoff_minutes: found 61; expected at most length_minutes (60)"


def test_the_schema_says_its_dialect_and_needs_no_policy() -> None:
    schema = json.loads(CliRunner().invoke(app, ["schema"], env={"ZLH_HOOKS_POLICY": "/nothing"}).stdout)
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["required"] == ["time_zone"]


def render(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["render", *arguments, "--policy", str(SHIPPED_POLICY)], env={"COLUMNS": "200"})


def test_one_page_is_printed_as_markdown_or_html() -> None:
    assert render("customer").stdout.startswith("# ZLH: maintenance")
    assert render("emergency", "--html").stdout.startswith("<!doctype html>")


def test_all_pages_go_into_a_folder_and_are_named(tmp_path: Path) -> None:
    result = render("--html", "--output", str(tmp_path / "new"))
    names = ["customer", "internal", "runbook", "emergency", "first-run", "handover"]
    named = [line for line in result.output.splitlines() if line.startswith(str(tmp_path))]
    assert named == [str(tmp_path / "new" / f"{name}.html") for name in names]
    assert sorted(path.stem for path in (tmp_path / "new").iterdir()) == sorted(names)


def test_one_page_may_name_its_file_and_replaces_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "maintenance.html"
    path.write_text("old")
    assert render("customer", "--html", "--output", str(path)).exit_code == 0
    assert path.read_text().startswith("<!doctype html>")
    assert path.stat().st_mode & 0o777 == 0o644


def test_several_pages_are_not_printed_one_after_another() -> None:
    result = render()
    assert (result.exit_code, "--output DIR" in result.output) == (2, True)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = render("customer", "--output", str(tmp_path / "file" / "x.md"))
    assert isinstance(result.exception, SettingsError)
    assert "a place that can be written" in str(result.exception)


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Settings whose ledger lies beside them."""
    path = tmp_path / "zlh-hooks.toml"
    proxmox = '[proxmox]\nhost = "pve1"\ntoken_name = "hooks"\n'
    path.write_text(f'{proxmox}[ledger]\npath = "{tmp_path / "ledger.sqlite"}"\n')
    return path


def read_ledger(settings: Path) -> list[Entry]:
    with closing(SqlLedger.open(settings.parent / "ledger.sqlite", SystemClock())) as ledger:
        return list(ledger.read())


def test_pages_that_go_into_files_are_recorded_with_the_policy_that_they_are_of(settings: Path) -> None:
    out = settings.parent / "pages"
    render("customer", "runbook", "--output", str(out), "--config", str(settings))
    found = read_ledger(settings)
    assert [(one.data["page"], one.data["path"]) for one in found] == [
        ("customer", str(out / "customer.md")),
        ("runbook", str(out / "runbook.md")),
    ]
    assert {one.data["digest"] for one in found} == {digest_policy(load_policy(SHIPPED_POLICY))}
    assert all("@" in one.data["author"] for one in found)


def test_a_page_that_is_only_printed_is_not_recorded(settings: Path) -> None:
    assert render("customer", "--config", str(settings)).exit_code == 0
    assert not (settings.parent / "ledger.sqlite").exists()


def test_without_settings_pages_are_rendered_and_it_is_said_that_nothing_was_recorded(tmp_path: Path) -> None:
    result = render("customer", "--output", str(tmp_path), "--config", str(tmp_path / "none.toml"))
    assert (result.exit_code, (tmp_path / "customer.md").exists()) == (0, True)
    assert "not recorded, and `zlh-hooks ready` will not know of it" in result.output


def test_what_a_person_confirmed_is_on_no_rendered_page_to_be_confirmed(settings: Path) -> None:
    out = settings.parent / "customer.md"
    site = wiring.open_site(settings, SHIPPED_POLICY)
    for key in ("time_zone", "contact", "availability"):
        site.launch_desk().attest(f"confirmed.{key}")
    render("customer", "--output", str(out), "--config", str(settings))
    assert "Draft" not in out.read_text()
