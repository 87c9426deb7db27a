"""Rules of what commands print."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from rich.console import Console
from rich.text import Text

from zlh_hooks.cli.output import open_table, print_json, print_table


def test_in_a_pipe_each_row_is_a_line_with_tabs_under_the_names(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("guest", "state"), [("5001", "HEALTHY"), ("5002", "")])
    assert capsys.readouterr().out == "guest\tstate\n5001\tHEALTHY\n5002\t\n"


def test_what_a_guest_says_of_itself_cannot_break_a_line_or_steer_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(("name",), [("a\x1b[2Jb\nc\td",)])
    assert capsys.readouterr().out == "name\na [2Jb c d\n"


def test_on_a_narrow_terminal_nothing_of_an_id_or_a_date_is_cut() -> None:
    terminal = Console(width=30, file=StringIO())
    table = open_table(("id", "until (UTC)", "reason"))
    table.add_row(*map(Text, ("r1128-4pvg", "2026-11-28 09:10", "its volume is being exchanged")))
    terminal.print(table)
    assert isinstance(terminal.file, StringIO)
    lines = [line for line in terminal.file.getvalue().splitlines() if line.startswith("│")]
    columns = zip(*([cell.strip() for cell in line.split("│")[1:-1]] for line in lines), strict=True)
    assert ["".join(one).replace(" ", "") for one in columns] == [
        "r1128-4pvg",
        "2026-11-2809:10",
        "itsvolumeisbeingexchanged",
    ]


def test_json_is_one_document_with_instants_in_iso_8601(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"at": datetime(2026, 11, 23, 4, tzinfo=UTC), "took": timedelta(minutes=1)})
    assert json.loads(capsys.readouterr().out) == {"at": "2026-11-23T04:00:00+00:00", "took": 60.0}
