"""The command in a guest: exit codes and words. What needs systemd is tried in the lab."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent_plugin import __main__ as command
from agent_plugin.fault import NotNow
from agent_plugin.place import Place

SHA = "0" * 64


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "Place", lambda: Place(tmp_path))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--file", "/no/such", "--sha256", SHA, "--version", "1"],
            "--file: [Errno 2] No such file or directory: '/no/such'",
        ),
        (["--file", "/dev/null", "--sha256", SHA, "--version", "1"], "size 0: an archive has at least one byte"),
        (["--file", __file__, "--sha256", "abc", "--version", "1"], "sha256 'abc': 64 hexadecimal digits"),
        (["--file", __file__, "--sha256", SHA, "--version", "../1"], "version '../1': letters, digits and"),
    ],
)
def test_wrong_input_is_told_with_what_would_be_right(
    words: "list[str]", told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["install", *words]) == 2
    assert told in capsys.readouterr().err


def test_a_wrong_setting_is_wrong_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/zlh-agent-plugin.conf").write_text("[agent]\nport = x\n")
    assert command.main(["update"]) == 2
    assert "zlh-agent-plugin.conf: port 'x': a whole number is wanted" in capsys.readouterr().err


def test_with_nothing_open_there_is_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["update"]) == 0
    assert capsys.readouterr().out == "nothing to do\n"


def test_an_archive_that_is_not_what_was_ordered_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["install", "--file", __file__, "--sha256", SHA, "--version", "1"]) == 1
    assert capsys.readouterr().out.startswith("1-00000000: refused (VERIFY: the archive's sha256 is ")


def test_no_name_that_a_stranger_chose_reaches_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_hands: object) -> None:
        raise NotNow("\x1b[2Jgame (5) would die with the agent")

    monkeypatch.setattr(command.update, "judge_trial", refuse)
    assert command.main(["update"]) == 1
    assert capsys.readouterr().err == "not done: ?[2Jgame (5) would die with the agent\n"


def test_there_is_no_revert_without_a_release(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["revert"]) == 1
    assert "names no whole release to go back to" in capsys.readouterr().err


def test_the_status_of_a_guest_without_anything_is_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["status"]) == 0
    assert '"format": 1' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "--security, --packages NAME=VERSION ..., --none or revert is wanted"),
        (["revert", "--security"], "patch revert: no option is wanted"),
        (["--packages", "toy"], "package 'toy': NAME=VERSION is wanted"),
        (["--packages", "toy=1", "toy=2"], "each package once"),
        (["--security", "--probe", "check"], "the program's whole path is wanted, such as /usr/bin/check"),
    ],
)
def test_a_patch_without_sense_is_wrong_input(
    words: "list[str]", told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["patch", *words]) == 2
    assert told in capsys.readouterr().err


def test_there_is_no_way_back_without_a_patch(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["patch", "revert"]) == 1
    assert "there is no patch to go back from" in capsys.readouterr().err


def test_the_installed_command_takes_nothing_from_the_callers_folder_or_environment(tmp_path: Path) -> None:
    """Root may stand in anybody's folder."""
    (tmp_path / "agent_plugin").mkdir()
    for trap in ("agent_plugin/__init__.py", "argparse.py"):
        (tmp_path / trap).write_text("print('caught')\n")
    script = Path(command.__file__).with_name("zlh-agent-plugin")
    assert script.read_text().startswith("#!/usr/bin/python3 -I\n")
    run = [sys.executable, "-I", script, "status"]
    done = subprocess.run(
        run, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert "caught" not in done.stdout + done.stderr
