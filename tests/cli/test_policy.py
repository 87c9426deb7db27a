"""Rules of `zlh-hooks policy`: what is sound, what is told besides, what editors get."""

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from zlh_hooks.cli.policy import app
from zlh_hooks.domain.errors import SettingsError
from zlh_hooks.settings import SHIPPED_POLICY

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
    assert result.stdout.splitlines() == [str(tmp_path / "new" / f"{name}.html") for name in names]
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
