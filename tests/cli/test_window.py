"""Rules of `zlh-hooks window`: local and UTC starts, and where a change of clocks moves one."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from zlh_hooks.cli.window import app

POLICY = """
time_zone = "Europe/Berlin"
[[windows]]
name = "night"
components = ["template"]
rule = "FREQ=WEEKLY;BYDAY=SU"
start = "02:30"
length_minutes = 120
cutoff_minutes = 30
[[freezes]]
name = "easter"
first = 2027-03-25
last = 2027-03-27
reason = "families play"
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    return path


def run(policy: Path, *arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--policy", str(policy)])
    assert result.exit_code == 0, result.output
    return result.stdout


def cells(output: str) -> list[list[str]]:
    return [line.split("\t") for line in output.splitlines()]


def test_the_list_prints_local_and_utc_times_and_where_clocks_move_a_start(policy: Path) -> None:
    _, *rows = cells(run(policy, "list", "--from", "2027-03-21", "--days", "10"))
    local, moved = "Sun 2027-03-28 03:30 CEST", "clocks skip 02:30 on that date: starts 2027-03-28 03:30 CEST"
    assert rows == [
        ["allow", "night", "Sun 2027-03-21 02:30 CET", "2027-03-21 01:30", "2027-03-21 03:30", "2027-03-21 03:00", ""],
        ["freeze", "easter", "Thu 2027-03-25 00:00 CET", "2027-03-24 23:00", "2027-03-27 23:00", "", "families play"],
        ["allow", "night", local, "2027-03-28 01:30", "2027-03-28 03:30", "2027-03-28 03:00", moved],
    ]


def test_the_list_of_a_component_leaves_out_what_is_for_others(policy: Path) -> None:
    _, *rows = cells(run(policy, "list", "--from", "2027-03-21", "--days", "10", "--component", "pbs"))
    assert [row[0] for row in rows] == ["freeze"]


def test_next_says_for_each_component_whether_now_and_when(policy: Path) -> None:
    _, *rows = cells(run(policy, "next", "--from", "2027-03-26"))
    told = {row[0]: row[1:] for row in rows}
    assert len(told) == 8
    assert told["pbs"] == ["no window of the policy allows pbs", "none", "", "", ""]
    now, *then = told["template"]
    assert now == "freeze 'easter' (families play) until 2027-03-28 00:00 CET"
    assert then[:3] == ["night", "Sun 2027-03-28 03:30 CEST", "2027-03-28 01:30"]


def test_next_says_that_a_window_is_open_and_which_one_follows(policy: Path) -> None:
    told: list[dict[str, Any]] = json.loads(
        run(policy, "next", "--json", "--component", "template", "--from", "2027-03-28T04:00")
    )
    assert [(one["component"], one["allowed"], one["next"]["local_start"]) for one in told] == [
        ("template", True, "2027-04-04T02:30:00+02:00")
    ]
    assert told[0]["rule"] == "window 'night' is open until 2027-03-28 05:30 CEST"


def test_an_unknown_component_is_a_usage_error_that_names_the_known_ones(policy: Path) -> None:
    result = CliRunner().invoke(
        app, ["list", "--component", "templates", "--policy", str(policy)], env={"COLUMNS": "200"}
    )
    assert result.exit_code == 2
    assert "'monitoring'" in result.output
