"""How ``zlh-hooks intake`` is called wrongly; what it does stands beside its adapters, and on the real way of notes."""

from pathlib import Path

import pytest

from tests.cli.command_line import make_runner
from tests.cli.site_file import GAMES, write_site
from zlh_hooks.cli.app import app
from zlh_hooks.domain.errors import SettingsError

WRONG = {
    "no name": (["--receive", ""], "expected a node's name"),
    "no node": (["--receive", "pve-1; reboot"], "expected a node's name"),
    "a way out": (["--receive", "../pve-1"], "expected a node's name"),
    "both ways": (["--receive", "pve-1", "--spool", "/srv/notes"], "--receive reads what is sent"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_call_reads_nothing_and_makes_no_ledger(tmp_path: Path, case: str) -> None:
    words, said = WRONG[case]
    done = make_runner().invoke(app, ["intake", *words, *write_site(tmp_path, GAMES)], input="x" * 5000)
    assert (done.exit_code, said in " ".join(done.stderr.split())) == (2, True), done.stderr
    assert not (tmp_path / "ledger.sqlite").exists()


@pytest.mark.parametrize(
    "asked", ["zlh-hooks-notes pve-2", "zlh-hooks-notes pve-1 x", "touch /srv/owned", "\x1b[2J" * 99]
)
def test_a_key_whose_line_is_another_nodes_has_none_of_its_notes_read(tmp_path: Path, asked: str) -> None:
    words = ["intake", "--receive", "pve-1", *write_site(tmp_path, GAMES)]
    done = make_runner().invoke(app, words, input="", env={"SSH_ORIGINAL_COMMAND": asked})
    assert isinstance(done.exception, SettingsError)
    assert str(done.exception).endswith("; expected 'zlh-hooks-notes pve-1'")
    assert len(str(done.exception)) < 500 and str(done.exception).isprintable()
    assert not (tmp_path / "ledger.sqlite").exists()
