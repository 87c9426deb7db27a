"""After the rollout: late proofs, and when the way back is given up."""

from datetime import timedelta

import pytest

from tests.application.rollout_bench import Bench, make_policy
from tests.datacentre import turns_unhealthy
from zlh_hooks.domain.errors import NotAllowed, RoadError
from zlh_hooks.domain.steps import RolloutState, TargetState

GUESTS = 3
NIGHT = {"name": "night", "rule": "FREQ=DAILY", "start": "04:00", "length_minutes": 120}
DAY = timedelta(hours=24)


def _nightly(**rollout: object) -> Bench:
    """A window every night from 04:00 (when the clock starts) to 06:00; a soak of two hours."""
    return Bench(make_policy(windows=[NIGHT], **rollout)).furnish(GUESTS)


def test_old_roots_are_kept_through_the_soak_and_freed_in_the_next_window() -> None:
    bench = _nightly()
    plan = bench.submit("2")
    bench.work(plan)
    assert bench.tend(plan, timedelta(hours=23, minutes=30)).count(TargetState.HEALTHY) == GUESTS
    bench.assert_clean(plan)
    assert bench.tend(plan, timedelta(hours=1)).count(TargetState.SETTLED) == GUESTS
    assert not bench.progress(plan).is_soaking
    bench.assert_clean(plan)


def test_a_node_that_is_offline_keeps_no_guest_of_another_node_from_being_settled() -> None:
    bench = _nightly()
    plan = bench.submit("2")
    bench.work(plan)
    bench.datacentre.cut_node("n1", 3 * DAY)
    bench.deadline += DAY
    bench.clock.sleep(DAY)
    with pytest.raises(RoadError):
        bench.engine().open_soak(plan).tend()
    settled = [row.target.node for row in bench.progress(plan).targets if row.state is TargetState.SETTLED]
    assert settled == ["n2"]


def test_nothing_is_settled_in_the_window_of_the_exchange_though_the_soak_is_over() -> None:
    bench = _nightly(soak="1m")
    plan = bench.submit("2")
    bench.work(plan)
    assert bench.tend(plan, timedelta(minutes=100)).count(TargetState.HEALTHY) == GUESTS


def test_nothing_is_settled_in_a_window_before_the_soak_is_over() -> None:
    bench = _nightly(soak="72h")
    plan = bench.submit("2")
    bench.work(plan)
    assert bench.tend(plan, 2 * DAY + timedelta(hours=12), timedelta(hours=1)).count(TargetState.HEALTHY) == GUESTS
    assert bench.tend(plan, DAY, timedelta(minutes=30)).count(TargetState.SETTLED) == GUESTS


def test_finalize_gives_the_way_back_up_before_the_soak_is_over_but_not_within_the_window_of_the_exchange() -> None:
    bench = _nightly(soak="72h")
    plan = bench.submit("2")
    bench.work(plan)
    bench.order("finalize")()
    assert bench.tend(plan, timedelta(minutes=100)).count(TargetState.HEALTHY) == GUESTS
    assert bench.tend(plan, DAY, timedelta(minutes=30)).count(TargetState.SETTLED) == GUESTS
    bench.assert_clean(plan)


def test_a_window_that_opened_meanwhile_counts_though_that_of_the_exchange_is_still_open() -> None:
    windows = (
        {"name": n, "rule": "FREQ=DAILY", "start": s, "length_minutes": 720}
        for n, s in (("a", "00:00"), ("b", "06:00"))
    )
    bench = Bench(make_policy(tuple(windows), soak="1h")).furnish(GUESTS)
    plan = bench.submit("2")
    bench.work(plan)
    assert bench.tend(plan, timedelta(minutes=100)).count(TargetState.HEALTHY) == GUESTS
    assert bench.tend(plan, timedelta(minutes=30), timedelta(minutes=5)).count(TargetState.SETTLED) == GUESTS


def test_a_settled_rollout_goes_back_no_more() -> None:
    bench = _nightly()
    plan = bench.submit("2")
    bench.work(plan)
    bench.tend(plan, timedelta(hours=25), timedelta(minutes=30))
    with pytest.raises(NotAllowed, match="settled"):
        bench.order("revert")()


def test_a_locked_guest_keeps_its_old_root_until_a_later_round() -> None:
    bench = _nightly(lock_wait="1m")
    plan = bench.submit("2")
    bench.work(plan)
    bench.datacentre.lock(5002, "backup", timedelta(hours=24, minutes=30))
    bench.tend(plan, timedelta(hours=24, minutes=20), timedelta(minutes=10))
    assert bench.progress(plan).count(TargetState.SETTLED) == GUESTS - 1
    assert bench.tend(plan, timedelta(hours=1)).count(TargetState.SETTLED) == GUESTS
    bench.assert_clean(plan)


def test_an_old_root_that_a_snapshot_uses_is_kept_by_it_and_goes_with_it() -> None:
    bench = Bench().furnish(GUESTS)
    bench.datacentre.take_snapshot(5002, "mine")
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert bench.tend(plan, timedelta(hours=27)).count(TargetState.SETTLED) == GUESTS
    bench.assert_clean(plan)


# ----------------------------------------------------------- owed proofs


def test_a_guest_that_is_off_is_exchanged_stays_off_and_is_proved_when_its_customer_starts_it() -> None:
    bench = Bench().furnish(GUESTS)
    bench.datacentre.power_off(5002)
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.state is RolloutState.SUCCEEDED
    assert progress.of(5002).state is TargetState.PROVING
    assert bench.runs(5002) == "2"
    bench.assert_clean(plan)
    assert bench.tend(plan, timedelta(hours=1)).of(5002).state is TargetState.PROVING
    bench.datacentre.power_on(5002)
    assert bench.tend(plan, timedelta(minutes=20)).of(5002).state is TargetState.HEALTHY
    bench.assert_clean(plan)


def test_a_guest_that_was_off_and_is_bad_at_its_next_start_goes_back_and_runs() -> None:
    bench = Bench().furnish(GUESTS).spoil(5002, behaviour=turns_unhealthy("2"))
    bench.datacentre.power_off(5002)
    plan = bench.submit("2")
    bench.work(plan)
    bench.datacentre.power_on(5002)
    assert bench.tend(plan, timedelta(minutes=20)).of(5002).state is TargetState.REVERTED
    assert bench.runs(5002) == "1"
    bench.assert_clean(plan)


def test_a_guest_that_stays_off_keeps_its_old_root_for_as_long_as_it_is_unproved() -> None:
    bench = Bench().furnish(GUESTS)
    bench.datacentre.power_off(5002)
    plan = bench.submit("2")
    bench.work(plan)
    progress = bench.tend(plan, 5 * DAY, timedelta(hours=1))
    assert progress.of(5002).state is TargetState.PROVING
    assert progress.is_soaking
    bench.assert_clean(plan)


def test_guests_that_are_all_off_prove_nothing_and_the_version_does_not_become_stable() -> None:
    bench = Bench().furnish(GUESTS)
    for vmid in range(5001, 5001 + GUESTS):
        bench.datacentre.power_off(vmid)
    plan = bench.submit("2")
    assert bench.work(plan).state is RolloutState.ABORTED
    assert bench.stable() == ["1"]
    bench.assert_clean(plan)


def test_a_guest_that_is_deleted_during_the_soak_ends_nothing() -> None:
    bench = Bench().furnish(GUESTS)
    plan = bench.submit("2")
    bench.work(plan)
    bench.datacentre.delete_guest(5002)
    progress = bench.tend(plan, timedelta(hours=27))
    assert progress.of(5002).state is TargetState.SKIPPED
    assert progress.count(TargetState.SETTLED) == GUESTS - 1
    bench.assert_clean(plan)


def test_a_guest_that_moves_during_the_soak_is_settled_on_its_new_node_and_a_copy_of_its_old_root_stays() -> None:
    bench = Bench().furnish(GUESTS)
    plan = bench.submit("2")
    bench.work(plan)
    bench.datacentre.migrate_guest(5001, "n2")
    progress = bench.tend(plan, timedelta(hours=27))
    assert progress.count(TargetState.SETTLED) == GUESTS
    assert "it was on n1, and what is on n2 was written anew" in progress.of(5001).reason
    bench.assert_clean(plan, left={5001})


def test_a_guest_that_moves_on_a_storage_without_dates_is_settled_on_its_new_node_and_nothing_stays() -> None:
    bench = Bench(storage="zfspool").furnish(GUESTS)
    plan = bench.submit("2")
    bench.work(plan)
    bench.datacentre.migrate_guest(5001, "n2")
    assert bench.tend(plan, timedelta(hours=27)).count(TargetState.SETTLED) == GUESTS
    bench.assert_clean(plan)
