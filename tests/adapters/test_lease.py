"""One worker at a time executes what a ledger holds, and the one before is fenced off."""

import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from tests.clock import START, FakeClock
from zlh_hooks.adapters.ledger import SqlLedger
from zlh_hooks.application.ports import LeaseHolder
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.errors import LeaseLost, NotAllowed

MINUTE = timedelta(minutes=1)
SAID = Draft(Kind.NOTE, "said")


def test_a_ledger_that_nobody_executed_has_no_holder(ledger: SqlLedger) -> None:
    assert ledger.lease.read() is None


def test_a_taken_lease_is_seen_by_every_process(ledger: SqlLedger, tmp_path: Path, clock: FakeClock) -> None:
    taken = ledger.lease.take("pve1:17", MINUTE)
    assert taken == LeaseHolder("pve1:17", 1, START + MINUTE)
    with closing(SqlLedger.open(tmp_path / "ledger.db", clock)) as other:
        assert other.lease.read() == taken


def test_a_second_worker_is_told_who_executes_and_until_when(ledger: SqlLedger, clock: FakeClock) -> None:
    ledger.lease.take("pve1:17", MINUTE)
    clock.advance(MINUTE - timedelta(microseconds=1))
    with pytest.raises(NotAllowed, match="pve1:17 executes") as refused:
        ledger.lease.take("pve2:4", MINUTE)
    assert refused.value.until == START + MINUTE


def test_a_lease_that_ends_within_this_minute_is_said_to_end_to_the_second(ledger: SqlLedger, clock: FakeClock) -> None:
    ledger.lease.take("pve1:17", timedelta(seconds=90))
    with pytest.raises(NotAllowed, match=f"allowed from {clock.now() + timedelta(seconds=90):%Y-%m-%dT%H:%M:30}"):
        ledger.lease.take("pve2:4", timedelta(seconds=90))


def test_a_worker_that_comes_back_under_its_old_name_waits_like_any_other(ledger: SqlLedger) -> None:
    ledger.lease.take("pve1:17", MINUTE)
    with pytest.raises(NotAllowed):
        ledger.lease.take("pve1:17", MINUTE)


def test_an_expired_lease_is_taken_over_at_its_very_end_under_a_higher_number(
    ledger: SqlLedger, clock: FakeClock
) -> None:
    ledger.lease.take("pve1:17", MINUTE)
    clock.advance(MINUTE)
    assert ledger.lease.take("pve2:4", MINUTE) == LeaseHolder("pve2:4", 2, START + 2 * MINUTE)


def test_a_renewed_lease_lasts_from_now_and_keeps_its_number(ledger: SqlLedger, clock: FakeClock) -> None:
    taken = ledger.lease.take("pve1:17", MINUTE)
    clock.advance(MINUTE / 2)
    renewed = ledger.lease.renew(taken, MINUTE)
    assert renewed == LeaseHolder("pve1:17", 1, START + 1.5 * MINUTE)
    assert ledger.lease.read() == renewed


def test_a_worker_that_slept_over_its_end_goes_on_if_nobody_took_over(ledger: SqlLedger, clock: FakeClock) -> None:
    taken = ledger.lease.take("pve1:17", MINUTE)
    clock.advance(5 * MINUTE)
    assert ledger.lease.read() == taken, "an expired holder is still named"
    assert ledger.lease.renew(taken, MINUTE).until == START + 6 * MINUTE


def test_a_worker_whose_lease_was_taken_over_can_neither_renew_nor_release_it(
    ledger: SqlLedger, clock: FakeClock
) -> None:
    old = ledger.lease.take("pve1:17", MINUTE)
    clock.advance(MINUTE)
    new = ledger.lease.take("pve2:4", MINUTE)
    with pytest.raises(LeaseLost, match=r"pve2:4 \(number 2\)"):
        ledger.lease.renew(old, MINUTE)
    ledger.lease.release(old)
    assert ledger.lease.read() == new


def test_a_lease_given_back_is_free_at_once_and_its_number_is_not_used_again(ledger: SqlLedger) -> None:
    taken = ledger.lease.take("pve1:17", MINUTE)
    ledger.lease.release(taken)
    assert ledger.lease.read() is None
    assert ledger.lease.take("pve2:4", MINUTE).number == 2
    with pytest.raises(LeaseLost):
        ledger.lease.renew(taken, MINUTE)


def test_of_many_workers_that_start_at_once_one_executes(ledger: SqlLedger, tmp_path: Path, clock: FakeClock) -> None:
    results: list[str] = []

    def start(name: str) -> None:
        with closing(SqlLedger.open(tmp_path / "ledger.db", clock)) as mine:
            try:
                results.append(mine.lease.take(name, MINUTE).holder)
            except NotAllowed:
                results.append("refused")

    workers = [threading.Thread(target=start, args=(f"worker-{number}",)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    holder = ledger.lease.read()
    assert holder is not None
    assert sorted(results) == sorted(["refused"] * 7 + [holder.holder])


def test_a_worker_records_as_long_as_its_lease_is_not_taken_over(ledger: SqlLedger, clock: FakeClock) -> None:
    taken = ledger.lease.take("pve1:17", MINUTE)
    worker = ledger.fenced(taken)
    worker.append(SAID)
    ledger.lease.renew(taken, MINUTE)
    clock.advance(5 * MINUTE)
    assert worker.append(SAID).sequence == 2


def test_a_worker_whose_lease_was_taken_over_records_nothing_more_and_people_still_do(
    ledger: SqlLedger, clock: FakeClock
) -> None:
    worker = ledger.fenced(ledger.lease.take("pve1:17", MINUTE))
    clock.advance(MINUTE)
    ledger.lease.take("pve2:4", MINUTE)
    with pytest.raises(LeaseLost, match="pve2:4"):
        worker.append(SAID)
    assert ledger.read() == ()
    assert ledger.append(SAID).sequence == 1


def test_a_worker_that_gave_its_lease_back_records_nothing_more(ledger: SqlLedger) -> None:
    taken = ledger.lease.take("pve1:17", MINUTE)
    ledger.lease.release(taken)
    with pytest.raises(LeaseLost, match="nobody"):
        ledger.fenced(taken).append(SAID)


def test_no_entry_of_the_old_worker_comes_after_one_of_the_new(
    ledger: SqlLedger, tmp_path: Path, clock: FakeClock
) -> None:
    old = ledger.fenced(ledger.lease.take("old", MINUTE))
    busy = threading.Event()

    def record_until_lost() -> None:
        with pytest.raises(LeaseLost):
            while old.append(Draft(Kind.NOTE, "old")):
                busy.set()

    workers = [threading.Thread(target=record_until_lost) for _ in range(4)]
    for worker in workers:
        worker.start()
    assert busy.wait(30)
    clock.advance(MINUTE)
    with closing(SqlLedger.open(tmp_path / "ledger.db", clock)) as other:
        other.fenced(other.lease.take("new", MINUTE)).append(Draft(Kind.NOTE, "new"))
    for worker in workers:
        worker.join(30)
        assert not worker.is_alive()
    assert [entry.name for entry in ledger.read()][-1] == "new"


def test_who_watches_and_who_executes_do_not_stand_in_each_others_way(ledger: SqlLedger) -> None:
    executing = ledger.lease.take("pve1:17", MINUTE)
    watching = ledger.watch_lease.take("pve1:18", MINUTE)
    assert (ledger.lease.read(), ledger.watch_lease.read()) == (executing, watching)
    with pytest.raises(NotAllowed, match="pve1:18 watches for what"):
        ledger.watch_lease.take("pve2:4", MINUTE)
    ledger.watch_lease.release(watching)
    assert (ledger.lease.read(), ledger.watch_lease.read()) == (executing, None)


def test_a_ledger_that_nobody_ever_watched_for_has_no_watcher_and_takes_one(ledger: SqlLedger) -> None:
    assert ledger.watch_lease.read() is None
    assert [ledger.watch_lease.take(f"pve1:{number}", timedelta(0)).number for number in (1, 2)] == [1, 2]


def test_a_watcher_that_was_succeeded_finds_out_at_its_next_sign_of_life(ledger: SqlLedger, clock: FakeClock) -> None:
    first = ledger.watch_lease.take("pve1:18", MINUTE)
    clock.advance(MINUTE)
    ledger.watch_lease.take("pve2:4", MINUTE)
    with pytest.raises(LeaseLost, match="held by pve2:4"):
        ledger.watch_lease.renew(first, MINUTE)
