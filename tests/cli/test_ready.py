"""``zlh-hooks ready pve`` as an operator runs it: settings, policy and token from files."""

import json
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.stand_in.fixture import stand_in
from tests.stand_in.serving import TOKEN_NAME, USER, Serving
from zlh_hooks.cli.ready import app

__all__ = ["stand_in"]

POLICY = """
time_zone = "Europe/Berlin"
[kinds.game]
vmids = ["5000-5999"]
line = "game-base"
[lines.game-base]
data_paths = ["/srv/data"]
probes = [{ kind = "tcp", port = 25565 }]
smoke_net0 = "name=eth0,bridge=vmbr1"
"""


@pytest.fixture
def files(stand_in: Serving, tmp_path: Path) -> list[str]:
    """The options that name both files."""
    token, config, policy = (tmp_path / name for name in ("token", "zlh-hooks.toml", "policy.toml"))
    token.touch(mode=0o600)
    token.write_text(stand_in.token)
    reach = {"host": stand_in.pve.host, "user": USER, "token_name": TOKEN_NAME, "token_file": str(token)}
    lines = [f"{key} = {json.dumps(value)}" for key, value in (reach | {"ca_file": str(stand_in.ca_file)}).items()]
    config.write_text("\n".join(["[proxmox]", f"port = {stand_in.pve.port}", *lines]))
    policy.write_text(POLICY)
    return ["--config", str(config), "--policy", str(policy)]


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
