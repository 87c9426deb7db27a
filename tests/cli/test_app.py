"""Rules of the command line's root: every word is there, and nobody pays for another's libraries."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from zlh_hooks.cli.app import COMMANDS, EXIT_CODES, NOUNS, app


@pytest.mark.parametrize("word", [*NOUNS, *COMMANDS])
def test_every_word_has_help(word: str) -> None:
    result = CliRunner().invoke(app, [word, "--help"])
    assert result.exit_code == 0, result.output
    assert f"{word} [OPTIONS]" in result.output


def test_the_root_lists_every_word() -> None:
    output = CliRunner().invoke(app, ["--help"]).output
    assert all(word in output for word in (*NOUNS, *COMMANDS))


def test_the_root_says_where_to_begin_and_what_every_exit_code_means() -> None:
    said = " ".join(CliRunner().invoke(app, ["--help"]).output.split())
    assert "Begin with init, then ready" in said
    assert all(f" {code} " in said[said.index("Exit codes:") :] for code in (0, *dict(EXIT_CODES).values(), 130))


def test_an_unknown_word_is_wrong_usage() -> None:
    result = CliRunner().invoke(app, ["templates"])
    assert result.exit_code == 2
    assert "No such command" in result.output


def test_picking_a_template_imports_no_database() -> None:
    code = (
        "import sys, json\n"
        "from typer.testing import CliRunner\n"
        "from zlh_hooks.cli.app import app\n"
        "CliRunner().invoke(app, ['template', 'pick', 'game-base', '--key', '1', '--config', '/nonexistent'])\n"
        "import zlh_hooks.wiring\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    modules = json.loads(done.stdout)
    assert "zlh_hooks.cli.template" in modules
    assert "sqlalchemy" not in modules
