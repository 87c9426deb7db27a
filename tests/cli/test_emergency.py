"""``zlh-hooks emergency`` as a person under stress types it: settings, policy and ledger from files."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.cli.site_file import write_site
from zlh_hooks.cli.emergency import app
from zlh_hooks.domain.errors import NotAllowed

POLICY = """
time_zone = "Europe/Berlin"
[[windows]]
name = "tuesday"
rule = "FREQ=WEEKLY;BYDAY=TU"
start = "04:00"
length_minutes = 120
[[freezes]]
name = "fair"
first = 2026-12-18
last = 2027-01-06
[[notices.ladders]]
leads = ["72h"]
[emergency]
"""
WORDS = ("--reason", "a hole is being used", "--reference", "CVE-2026-1")


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    return write_site(tmp_path, POLICY)


def type_in(files: list[str], *words: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, [*words, *files], input=answer)


def declare(files: list[str], *more: str) -> str:
    done = type_in(files, "declare", "template", *WORDS, "--yes", *more)
    assert done.exit_code == 0, done.output
    found = re.search(r"(e\d{4}-\w{4}) is open", done.output)
    assert found is not None
    return found[1]


def test_before_it_asks_it_says_what_is_passed_over_until_when_and_what_stays(files: list[str]) -> None:
    done = type_in(files, "declare", "template", *WORDS, "--for", "2h", answer="n\n")
    assert done.exit_code == 1
    for words in (
        "then it ends by itself",
        "allow window 'tuesday' (every Tuesday, 04:00 to 06:00 (Europe/Berlin))",
        "freeze 'fair'",
        "the promise that customers are told 3 days before",
        "As always: smoke test, canary, waves, probes, failure budget, holds, locks and the way back",
        "They read: a hole is being used",
        "a review within 3 days",
        "Declare it as ",
    ):
        assert words in done.output
    assert json.loads(type_in(files, "list", "--json").output) == []


def test_it_is_declared_ended_and_reviewed_and_the_list_says_how_it_stands_and_what_is_owed(files: list[str]) -> None:
    known = declare(files)
    assert re.search(rf"{known}\ttemplate\topen\t.*\ta hole is being used\tCVE-2026-1\t", type_in(files, "list").output)
    assert type_in(files, "end", "--reason", "all patched").exit_code == 0
    (one,) = json.loads(type_in(files, "list", "--json").output)
    assert (one["state"], one["ended"]["text"], one["debts"][0]["kind"]) == ("ended", "all patched", "review")
    assert type_in(files, "review", known, "--text", "we patch sooner").exit_code == 0
    assert f"{known}\ttemplate\treviewed" in type_in(files, "list").output
    assert type_in(files, "list").output.rstrip().endswith("\tnothing")


def test_without_a_canary_says_so_loudly(files: list[str]) -> None:
    done = type_in(files, "declare", "template", *WORDS, "--without-canary", "all are attacked", answer="n\n")
    assert "WITHOUT CANARY" in done.output and "because: all are attacked" in done.output
    assert "smoke test, canary" not in done.output


def test_what_a_person_carries_out_is_declared_too_and_the_runbook_is_pointed_at(files: list[str]) -> None:
    done = type_in(files, "declare", "pve-host", *WORDS, "--yes")
    assert done.exit_code == 0
    assert "follow its runbook by hand, and tell customers yourself" in done.output


def test_a_script_gets_one_document(files: list[str]) -> None:
    done = CliRunner().invoke(app, ["declare", "template", *WORDS, "--yes", "--json", *files])
    assert json.loads(done.stdout)["reason"] == "a hole is being used"


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (("--for", "5h"), "up to 4h at once"),
        (("--reason", ""), "the reason is empty"),
        (("--without-canary", ""), "the second reason"),
    ],
)
def test_what_the_policy_does_not_allow_is_refused(files: list[str], words: tuple[str, ...], refusal: str) -> None:
    done = type_in(files, "declare", "template", *WORDS, "--yes", *words)
    assert isinstance(done.exception, NotAllowed)
    assert refusal in str(done.exception)


def test_a_length_that_is_none_is_a_usage_error(files: list[str]) -> None:
    assert type_in(files, "declare", "template", *WORDS, "--for", "soon").exit_code == 2
