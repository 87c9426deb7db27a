"""What whoever starts a worker by hand is told."""

from contextlib import closing
from pathlib import Path

from typer.testing import CliRunner

from tests.cli.site_file import GAMES, write_site
from tests.clock import FakeClock
from zlh_hooks.adapters.ledger import SqlLedger
from zlh_hooks.cli.app import app
from zlh_hooks.domain.errors import SettingsError


def test_a_worker_that_cannot_begin_for_its_settings_leaves_no_lease_to_wait_for(tmp_path: Path) -> None:
    options = write_site(tmp_path, GAMES)
    (tmp_path / "token").unlink()
    result = CliRunner().invoke(app, ["worker", *options])
    assert isinstance(result.exception, SettingsError) and "token" in str(result.exception)
    with closing(SqlLedger.open(tmp_path / "ledger.sqlite", FakeClock())) as ledger:
        assert ledger.lease.read() is None
