"""A question before something is done, put to a real process: test runners differ in what they make of an input's end."""

import subprocess
import sys

import pytest

ASK = """
import typer
from zlh_hooks.cli.question import make_sure
typer.run(lambda: (make_sure("Go on?", yes={yes}), typer.echo("done")))
"""


@pytest.mark.parametrize(
    ("typed", "yes", "code", "is_done", "is_told"),
    [
        ("y\n", False, 0, True, False),
        ("n\n", False, 1, False, False),
        ("", False, 1, False, True),
        ("", True, 0, True, False),
    ],
)
def test_nothing_is_done_unless_a_person_said_so_and_who_could_not_answer_reads_how(
    typed: str, yes: bool, code: int, is_done: bool, is_told: bool
) -> None:
    command = [sys.executable, "-c", ASK.format(yes=yes)]
    done = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "done\n" in done.stdout) == (code, is_done), done.stderr
    assert ("nothing was done: --yes is one" in done.stderr) == is_told
