"""``zlh-hooks ready`` and ``ready pve`` as an operator runs it: settings, policy and token from files."""

import json
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.cli.command_line import parse
from tests.cli.site_file import GAMES, write_served_site
from tests.stand_in.fixture import stand_in
from tests.stand_in.serving import Serving
from zlh_hooks.cli.ready import app
from zlh_hooks.domain.point import Point

__all__ = ["stand_in"]

POLICY = GAMES + 'smoke_net0 = "name=eth0,bridge=vmbr1"\n'


@pytest.fixture
def files(stand_in: Serving, tmp_path: Path) -> list[str]:
    """The options that name both files."""
    return write_served_site(tmp_path, stand_in, POLICY)


def _run(*options: str) -> Result:
    return CliRunner().invoke(app, ["pve", *options])


def test_a_token_that_may_do_everything_is_ready_and_says_so(files: list[str]) -> None:
    result = _run(*files)
    assert (result.exit_code, result.output) == (
        0,
        "ready: the token may do all that work on 2 guests and 1 templates needs\n",
    )


def test_a_missing_right_is_shown_with_its_path_and_with_the_commands_that_give_it(
    stand_in: Serving, files: list[str]
) -> None:
    stand_in.call(partial(stand_in.pve.revoke, "SDN.Use"))
    result = _run(*files)
    assert result.exit_code == 1
    assert "/sdn/zones/localnetwork/vmbr1\tSDN.Use" in result.output
    assert "pveum role add ZlhGuests --privs '" in result.output
    assert "pveum role add ZlhNodes --privs '" in result.output


def test_a_token_that_sees_no_template_yet_is_to_be_asked_again(stand_in: Serving, files: list[str]) -> None:
    assert "ask again" not in _run(*files).output
    stand_in.call(partial(stand_in.pve.revoke, "VM.Audit"))
    assert "Then ask again" in _run(*files).output


def test_a_script_gets_one_document(stand_in: Serving, files: list[str]) -> None:
    stand_in.call(partial(stand_in.pve.revoke, "VM.Clone"))
    document = json.loads(_run(*files, "--json").output)
    assert {"path": "/vms/9000", "privilege": "VM.Clone"} in document["missing"]
    assert len(document["commands"]) > 2


def test_the_secret_is_never_printed(stand_in: Serving, files: list[str]) -> None:
    stand_in.pve.apitokens.clear()
    result = _run(*files)
    assert result.exit_code != 0
    assert stand_in.token not in result.output + str(result.exception)


# --- the launch gate


def _gate(*options: str) -> Result:
    return CliRunner().invoke(app, [*options])


def test_the_gate_prints_a_line_for_each_point_and_ends_with_1_while_one_is_red(files: list[str]) -> None:
    result = _gate(*files)
    assert result.exit_code == 1
    rows = [line.split("\t") for line in result.output.splitlines() if "\t" in line]
    assert rows[0] == ["point", "state", "found", "what makes it green"]
    found = {row[0]: row[1:] for row in rows[1:]}
    assert found["api-token"] == ["green", "may do all that the work needs", ""]
    assert found["component.pbs"][:2] == ["red", "nothing says what is live, nor who answers for it"]
    assert f"`zlh-hooks ready attest backup-restored {' '.join(files)}`" in found["backup-restored"][2]
    assert result.output.splitlines()[-1].startswith("not ready: ")


def test_the_gate_answers_a_script_with_one_document(files: list[str]) -> None:
    document = json.loads(_gate(*files, "--json").output)
    points = {point["name"]: point for point in document["points"]}
    assert (document["ready"], points["api-token"]["state"]) == (False, "green")
    for point in points.values():
        for command in point["commands"]:
            parse(command)


def test_a_cluster_that_does_not_answer_is_a_red_line_and_no_end_of_the_gate(
    stand_in: Serving, files: list[str]
) -> None:
    stand_in.pve.apitokens.clear()
    result = _gate(*files)
    (line,) = [line for line in result.output.splitlines() if line.startswith("api-token\tred")]
    assert (result.exit_code, stand_in.token in result.output) == (1, False)
    assert "zlh-hooks ready pve" in line


def test_all_green_ends_with_0(monkeypatch: pytest.MonkeyPatch, files: list[str]) -> None:
    monkeypatch.setattr("zlh_hooks.cli.ready.list_points", lambda *_: (Point("windows", True, "decided"),))
    result = _gate(*files)
    assert (result.exit_code, result.output.splitlines()[-1]) == (0, "ready: all 1 are green")


def test_whoever_only_looks_makes_no_ledger(files: list[str], tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    _gate(*files)
    assert not path.exists()
    assert _gate("attest", "backup-restored", "--note", "42 minutes", *files).exit_code == 0
    assert path.exists()
    assert "42 minutes" in _gate(*files).output


def test_what_can_be_attested_stands_in_the_help() -> None:
    told = " ".join(CliRunner().invoke(app, ["attest", "--help"], env={"COLUMNS": "300"}).output.split())
    for word in (
        "backup-restored",
        "monitoring-first",
        "confirmed.KEY",
        "drilled.PERSON",
        "rehearsed.COMPONENT",
        "pbs",
    ):
        assert word in told


def test_an_option_before_a_sub_command_is_not_lost_in_silence(files: list[str]) -> None:
    result = _gate(*files, "attest", "backup-restored")
    assert (result.exit_code, "write --config after attest" in result.output) == (2, True)
