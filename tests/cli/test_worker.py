"""What is told of settings that are wrong, and what a worker that they stop leaves behind."""

from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.cli.site_file import GAMES, write_site
from tests.clock import FakeClock
from zlh_hooks.adapters.ledger import SqlLedger
from zlh_hooks.cli.app import app
from zlh_hooks.domain.errors import SettingsError


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_certificate_file_that_is_not_there_or_holds_none_is_a_fault_of_the_settings(
    tmp_path: Path, content: str | None
) -> None:
    options = write_site(tmp_path, GAMES)
    (tmp_path / "token").write_text("secret")
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    config = tmp_path / "zlh-hooks.toml"
    config.write_text(config.read_text().replace("[ledger]", f'ca_file = "{tmp_path}/ca.pem"\n[ledger]'))
    result = CliRunner().invoke(app, ["hold", "list", *options])
    assert isinstance(result.exception, SettingsError)
    assert f"{tmp_path}/ca.pem: proxmox.ca_file: found" in str(result.exception)


def test_a_worker_that_cannot_begin_for_its_settings_leaves_no_lease_to_wait_for(tmp_path: Path) -> None:
    options = write_site(tmp_path, GAMES)
    (tmp_path / "token").unlink()
    result = CliRunner().invoke(app, ["worker", *options])
    assert isinstance(result.exception, SettingsError) and "token" in str(result.exception)
    with closing(SqlLedger.open(tmp_path / "ledger.sqlite", FakeClock())) as ledger:
        assert ledger.lease.read() is None
