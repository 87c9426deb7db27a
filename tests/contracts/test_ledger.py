"""The ledger in memory, on which every story is tested, and the one on disk keep the same promises."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from tests.clock import START, FakeClock
from tests.datacentre.ledger import MemoryLedger
from zlh_hooks.adapters.ledger import SqlLedger
from zlh_hooks.application.ports import LeaseHolder
from zlh_hooks.domain.audit import find_break
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.errors import LeaseLost, NotAllowed

MINUTE = timedelta(minutes=1)
AnyLedger = MemoryLedger | SqlLedger


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["in memory", "on disk"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[AnyLedger]:
    if request.param == "in memory":
        yield MemoryLedger(clock)
        return
    with closing(SqlLedger.open(tmp_path / "ledger.db", clock)) as opened:
        yield opened


def test_what_is_appended_is_read_as_it_was_returned_and_chained(ledger: AnyLedger, clock: FakeClock) -> None:
    clock.advance(MINUTE)
    appended = [ledger.append(Draft(Kind.NOTE, "said", "r1", 5001, {"pair": (1, 2), "by": {7: None}}))]
    appended.append(ledger.append(Draft(Kind.EVENT, "began")))
    assert ledger.read() == tuple(appended)
    assert find_break(ledger.read()) is None
    assert (appended[0].at, appended[0].data) == (START + MINUTE, {"pair": [1, 2], "by": {"7": None}})


def test_entries_are_read_by_rollout_and_after_a_sequence(ledger: AnyLedger) -> None:
    for rollout in ("r1", "r2", "r1", ""):
        ledger.append(Draft(Kind.NOTE, "said", rollout))
    assert [entry.sequence for entry in ledger.read("r1")] == [1, 3]
    assert [entry.sequence for entry in ledger.read(after=2)] == [3, 4]
    assert [entry.sequence for entry in ledger.read("r1", after=1)] == [3]


def test_data_that_is_not_json_leaves_no_entry(ledger: AnyLedger) -> None:
    with pytest.raises(TypeError):
        ledger.append(Draft(Kind.NOTE, "said", data={"value": object()}))
    assert ledger.read() == ()


def test_a_lease_is_refused_until_its_very_end_and_then_taken_over(ledger: AnyLedger, clock: FakeClock) -> None:
    old = ledger.lease.take("old", MINUTE)
    clock.advance(MINUTE - timedelta(microseconds=1))
    with pytest.raises(NotAllowed) as refused:
        ledger.lease.take("new", MINUTE)
    assert refused.value.until == START + MINUTE
    clock.advance(timedelta(microseconds=1))
    new = ledger.lease.take("new", MINUTE)
    assert (old.number, new) == (1, LeaseHolder("new", 2, START + 2 * MINUTE))
    ledger.lease.release(old)
    assert ledger.lease.read() == new


def test_a_lease_that_ran_out_unnoticed_is_renewed(ledger: AnyLedger, clock: FakeClock) -> None:
    held = ledger.lease.take("mine", MINUTE)
    clock.advance(3 * MINUTE)
    assert ledger.lease.renew(held, MINUTE) == ledger.lease.read() == LeaseHolder("mine", 1, START + 4 * MINUTE)


@pytest.mark.parametrize("by", ["take-over", "release"])
def test_a_worker_that_lost_its_lease_neither_renews_nor_records(ledger: AnyLedger, clock: FakeClock, by: str) -> None:
    held = ledger.lease.take("old", MINUTE)
    worker = ledger.fenced(held)
    worker.append(Draft(Kind.NOTE, "still mine"))
    if by == "release":
        ledger.lease.release(held)
        assert ledger.lease.read() is None
    else:
        clock.advance(MINUTE)
        ledger.lease.take("new", MINUTE)
    with pytest.raises(LeaseLost):
        ledger.lease.renew(held, MINUTE)
    with pytest.raises(LeaseLost):
        worker.append(Draft(Kind.NOTE, "too late"))
    assert [entry.name for entry in ledger.read()] == ["still mine"]
