"""Rules of what commands print."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from zlh_hooks.cli.output import print_json, print_table


def test_in_a_pipe_each_row_is_a_line_with_tabs_under_the_names(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("guest", "state"), [("5001", "HEALTHY"), ("5002", "")])
    assert capsys.readouterr().out == "guest\tstate\n5001\tHEALTHY\n5002\t\n"


def test_what_a_guest_says_of_itself_cannot_break_a_line_or_steer_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(("name",), [("a\x1b[2Jb\nc\td",)])
    assert capsys.readouterr().out == "name\na [2Jb c d\n"


def test_json_is_one_document_with_instants_in_iso_8601(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"at": datetime(2026, 11, 23, 4, tzinfo=UTC), "took": timedelta(minutes=1)})
    assert json.loads(capsys.readouterr().out) == {"at": "2026-11-23T04:00:00+00:00", "took": 60.0}
