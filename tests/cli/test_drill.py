"""``zlh-hooks emergency drill`` as a person on call types it."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.cli.site_file import write_site
from zlh_hooks.cli.emergency import app
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.wiring import open_site

POLICY = """
time_zone = "Europe/Berlin"
[[windows]]
name = "tuesday"
rule = "FREQ=WEEKLY;BYDAY=TU"
start = "04:00"
length_minutes = 120
[lines.game-base]
data_paths = ["/data"]
probes = [{ kind = "agent" }]
[kinds.game]
vmids = ["5000-5999"]
line = "game-base"
[[notices.ladders]]
leads = ["72h"]
[roles.duty]
title = "On call"
duty = "decides"
[people.ada]
name = "Ada"
roles = ["duty"]
mail = "ada@example.com"
[emergency]
"""
ANSWERS = ["a hole is used", "", "CVE-2026-1", "", "", "all is well", "rang her up", "ring sooner"]
"""What a person types; blank lines are Enter, one of them where words are asked for."""


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    return write_site(tmp_path, POLICY)


def drill(files: list[str], *words: str, answers: list[str] | None = None, who: str = "ada") -> Result:
    text = "".join(f"{line}\n" for line in answers or [])
    return CliRunner().invoke(app, ["drill", "--who", who, *words, *files], input=text)


def run(files: list[str], *words: str, answers: list[str]) -> "subprocess.CompletedProcess[str]":
    """A real process, whose input ends after the answers."""
    command = [sys.executable, "-m", "zlh_hooks", "emergency", "drill", "--who", "ada", *words, *files]
    text = "".join(f"{line}\n" for line in answers)
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)


def read_recorded(files: list[str]) -> list[dict[str, object]]:
    return [dict(one.data) for one in open_site(Path(files[1]), Path(files[3])).ledger.read()]


def test_who_answers_what_it_asks_has_done_it(files: list[str]) -> None:
    done = drill(files, answers=ANSWERS)
    assert done.exit_code == 0, done.output
    for words in (
        "Sat 20",
        "A normal start would wait until Tue ",
        "$ zlh-hooks emergency declare template --reason 'a hole is used' --reference CVE-2026-1",
        "by: [rollout] canary = 1",
        "$ zlh-hooks notice vouch ann --reason 'rang her up'",
        "recorded: ada did the drill (SUCCEEDED); it counts for 180 days, or until [emergency] changes",
    ):
        assert words in done.output
    (recorded,) = read_recorded(files)
    assert (recorded["person"], recorded["played_through"], recorded["ending"]) == ("ada", False, "SUCCEEDED")


def test_played_through_it_asks_nothing_and_says_that_it_counts_for_nobody(files: list[str]) -> None:
    done = drill(files, "--yes", "--bad")
    assert "it does not count for ada: only played through without questions on " in done.output
    assert [one["played_through"] for one in read_recorded(files)] == [True]


def test_a_script_gets_one_document_and_the_questions_stand_apart(files: list[str]) -> None:
    done = run(files, "--json", answers=ANSWERS)
    told = json.loads(done.stdout)
    assert (told["person"], told["ending"], told["counts"]) == ("ada", "SUCCEEDED", True)
    first = told["timeline"][0]
    assert first["local"].endswith(("T22:00:00+01:00", "T22:00:00+02:00"))
    assert set(first) == {"at", "local", "what", "rule", "command"}
    assert "Why can it not wait?" in done.stderr and "rollout start game-base" in done.stderr
    assert json.loads(drill(files, "--json", "--yes").stdout)["counts"] is False


def test_who_breaks_it_off_has_not_done_it(files: list[str]) -> None:
    done = run(files, answers=ANSWERS[:4])
    assert (done.returncode, done.stderr) == (1, "Aborted.\n")
    assert read_recorded(files) == []


def test_somebody_who_is_not_on_call_is_refused_with_who_is(files: list[str]) -> None:
    done = drill(files, "--yes", who="adda")
    assert isinstance(done.exception, NotAllowed)
    assert "who is: ada; did you mean ada?" in str(done.exception)


def test_on_a_terminal_a_person_types_the_answers(files: list[str]) -> None:
    """A real process on a real terminal; it ends by itself when all is answered."""
    here, there = pty.openpty()
    command = [sys.executable, "-m", "zlh_hooks", "emergency", "drill", "--who", "ada", *files]
    with subprocess.Popen(command, stdin=there, stdout=there, stderr=there, close_fds=True) as process:
        os.close(there)
        os.write(here, "".join(f"{line}\n" for line in ANSWERS).encode())
        shown = b""
        while chunk := read_terminal(here):
            shown += chunk
    os.close(here)
    assert process.returncode == 0, shown
    assert b"ada did the drill (SUCCEEDED)" in shown


def read_terminal(handle: int) -> bytes:
    """Until nobody writes to it any more, which Linux says by an error."""
    try:
        return os.read(handle, 4096)
    except OSError:
        return b""
