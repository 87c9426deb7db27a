"""A ledger for each test, on a clock that waits for nobody."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clock import FakeClock
from zlh_hooks.adapters.ledger import SqlLedger


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ledger(tmp_path: Path, clock: FakeClock) -> Iterator[SqlLedger]:
    opened = SqlLedger.open(tmp_path / "ledger.db", clock)
    yield opened
    opened.close()
