"""Gauges say how a site's record stands: what is owed goes up with the emergency, and down only when it is paid."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.application.notice_bench import TellingBench, make_telling_policy, owner
from tests.application.rollout_bench import Bench
from tests.application.test_revert import CANARY, GUESTS, break_old_root
from tests.datacentre import turns_unhealthy
from zlh_hooks.application.journal import Journal, Patience
from zlh_hooks.application.measure import Measures, MeasureThread, keep_fresh
from zlh_hooks.application.ports import LeaseHolder
from zlh_hooks.application.recover import Recovery
from zlh_hooks.domain.emergency import Emergency
from zlh_hooks.domain.errors import RoadError, SettingsError, TargetError
from zlh_hooks.domain.metric import Gauge, draw_gauges

HOUR = timedelta(hours=1)
EVENING = ({"name": "evening", "rule": "FREQ=DAILY", "start": "06:00", "length_minutes": 120},)


def read(bench: Bench, lease_until: datetime | None = None) -> dict[str, float]:
    """Every sample, as ``name.label``."""
    gauges = draw_gauges(bench.ledger.read(), lease_until, bench.policy, bench.clock.now())
    return {".".join(filter(None, (one.name, label))): value for one in gauges for label, value in one.samples}


def find_up(bench: Bench) -> dict[str, float]:
    """Those that are not 0, without the project's name."""
    return {name.removeprefix("zlh_hooks_"): value for name, value in read(bench).items() if value}


def open_bench() -> TellingBench:
    """Two guests of two customers; the next window is two hours away."""
    return TellingBench(make_telling_policy(EVENING)).furnish(guests=2)  # type: ignore[return-value]


def test_a_site_without_a_record_has_every_count_at_zero_and_no_moment_to_compare_with() -> None:
    found = read(Bench())
    assert set(found.values()) == {0}
    assert {name.partition(".")[0].removeprefix("zlh_hooks_") for name in found} == {
        "emergency_open",
        "emergency_debts",
        "rollouts",
        "targets_stuck",
        "targets_kept",
        "notices_undelivered",
        "guest_changes",
    }
    assert {"zlh_hooks_emergency_debts.notice", "zlh_hooks_emergency_open.pve-host"} <= found.keys()


def test_an_emergency_is_open_until_its_end_and_owes_its_review_until_that_is_written() -> None:
    bench = open_bench()
    declared = bench.declare(HOUR)
    up = find_up(bench)
    assert (up["emergency_open.template"], up["emergency_debts.review"]) == (1, 1)
    bench.clock.sleep(HOUR)
    due = declared.until + timedelta(hours=72)
    assert find_up(bench) == {
        "emergency_debts.review": 1,
        "emergency_debt_due_timestamp_seconds.review": due.timestamp(),
    }
    bench.emergency_desk().review(declared.id, "we patch sooner")
    assert find_up(bench) == {}


def change_unheard(bench: TellingBench) -> Emergency:
    """Both guests are changed in an emergency, and no mail reaches one of their owners."""
    bench.directory.customers = [owner("ann", 5001, mail="gone@example.com"), owner("bob", 5002)]
    bench.mail.refused = frozenset({"gone@example.com"})
    declared = bench.declare()
    bench.work(bench.submit("2", emergency=declared))
    bench.herald.tend()
    return declared


def test_whoever_was_changed_and_not_told_is_a_debt_from_that_moment_on_until_a_person_vouches() -> None:
    bench = open_bench()
    change_unheard(bench)
    up = find_up(bench)
    assert up["emergency_debts.notice"] == 1
    assert up["emergency_debt_due_timestamp_seconds.notice"] < bench.clock.now().timestamp()
    plan = bench.desk().find(None).plan
    bench.notice_desk().vouch(plan, "ann", "rang her up")
    assert "emergency_debts.notice" not in find_up(bench)


def test_the_first_debt_that_is_due_is_the_one_that_is_shown() -> None:
    bench = open_bench()
    first = bench.declare(HOUR)
    bench.clock.sleep(2 * HOUR)
    bench.declare(HOUR)
    up = find_up(bench)
    assert up["emergency_debts.review"] == 2
    assert up["emergency_debt_due_timestamp_seconds.review"] == (first.until + timedelta(hours=72)).timestamp()


def test_rollouts_are_counted_by_their_state() -> None:
    bench = Bench().furnish(2)
    bench.run("2")
    bench.submit("3")
    assert {name: value for name, value in find_up(bench).items() if "rollouts" in name} == {
        "rollouts.SUCCEEDED": 1,
        "rollouts.PLANNED": 1,
    }


def test_a_stuck_guest_is_counted_until_it_is_recovered() -> None:
    bench = Bench().furnish(GUESTS).spoil(CANARY, behaviour=turns_unhealthy("2"))
    bench.datacentre.faults.meanwhile("reboot", break_old_root(bench, CANARY))
    bench.run("2")
    assert find_up(bench)["targets_stuck"] == 1
    recovery = Recovery(bench.datacentre.cluster, bench.clock, bench.policy)
    journal = Journal(
        ledger=bench.ledger,
        tasks=bench.datacentre,
        clock=bench.clock,
        rollout="",
        target=None,
        patience=Patience(HOUR, HOUR),
        may_wait=lambda: True,
    )
    (remnant,) = [one for one in recovery.list_remnants() if one.ref.vmid == CANARY]
    recovery.take_back(remnant, journal)
    assert "targets_stuck" not in find_up(bench)


def test_a_notice_that_no_server_takes_is_counted_while_its_rollout_waits_and_not_when_a_person_told() -> None:
    bench = open_bench()
    bench.directory.customers = [owner("ann", 5001, mail="gone@example.com"), owner("bob", 5002)]
    bench.mail.answers = [TargetError("550 no such mailbox")]
    plan = bench.submit("2")
    seen: list[dict[str, float]] = []
    bench.later(10 * timedelta(minutes=1), lambda: seen.append(find_up(bench)))
    bench.later(11 * timedelta(minutes=1), lambda: bench.notice_desk().vouch(plan, "ann", "rang her up"))
    bench.later(12 * timedelta(minutes=1), lambda: seen.append(find_up(bench)))
    bench.work(plan)
    assert [one.get("notices_undelivered.refused") for one in seen] == [1, None]


def test_a_lease_is_shown_by_the_moment_at_which_it_ends() -> None:
    bench = Bench()
    until = bench.clock.now() + HOUR
    assert read(bench, until)["zlh_hooks_worker_lease_expiry_timestamp_seconds"] == until.timestamp()


# --- the file


@dataclass
class Shelf:
    """Counts what is written, raises what it is told to, and lets a test wait for the next."""

    errors: list[Exception] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)
    tried: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def write(self, path: Path, text: str) -> None:
        try:
            if self.errors:
                raise self.errors.pop(0)
            self.written.append(path)
        finally:
            self.tried.release()

    def measures(self, read_entries: Callable[[], tuple[()]] = tuple, lease: LeaseHolder | None = None) -> Measures:
        bench = Bench()
        return Measures(read_entries, lambda: lease, list, bench.policy, bench.clock, draw_plainly, self.write)


def draw_plainly(gauges: Sequence[Gauge]) -> str:
    return str([one.samples for one in gauges if one.name.endswith("lease_expiry_timestamp_seconds")])


FILE = Path("/srv/x.prom")


def test_the_lease_that_is_read_is_the_one_that_is_drawn() -> None:
    until = datetime(2026, 11, 25, tzinfo=UTC)
    assert str(until.timestamp()) in Shelf().measures(lease=LeaseHolder("w", 1, until)).render()
    assert Shelf().measures().render() == "[()]"


def test_it_is_written_before_the_work_again_and_again_and_when_the_work_is_done() -> None:
    shelf = Shelf()
    fresh = keep_fresh(shelf.measures(), FILE)
    assert shelf.written == [FILE]
    with fresh:
        pass
    assert shelf.written == [FILE, FILE]


def test_a_place_that_cannot_be_written_is_said_before_the_work_begins() -> None:
    with pytest.raises(SettingsError):
        keep_fresh(Shelf(errors=[SettingsError("x.prom", "file", "read-only", "a place")]).measures(), FILE)


def test_what_fails_meanwhile_is_tried_again_and_holds_up_nothing() -> None:
    shelf = Shelf(errors=[SettingsError("x.prom", "file", "disk full", "a place"), RoadError("no answer")])
    with MeasureThread(shelf.measures(), FILE, every=timedelta(milliseconds=1)):
        for _ in range(4):
            assert shelf.tried.acquire(timeout=30)
    assert len(shelf.written) >= 2


def test_a_bug_in_it_is_no_secret() -> None:
    def fail() -> tuple[()]:
        raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"), MeasureThread(Shelf().measures(fail), FILE):
        pass


def test_without_a_path_nothing_is_written() -> None:
    shelf = Shelf()
    with keep_fresh(shelf.measures(), None):
        pass
    assert shelf.written == []
