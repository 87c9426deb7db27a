"""Versions that are bad in every way, and what the way back must bring."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.application.rollout_bench import Bench, make_policy
from tests.datacentre import (
    boots_slowly,
    cannot_be_measured,
    changes_state,
    claims,
    exits_soon,
    good,
    never_boots,
    refuses_shutdown,
    turns_unhealthy,
)
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.steps import RolloutState, TargetState

GUESTS = 6
CANARY = 5001
BAD = {
    "never boots": never_boots("2"),
    "exits soon": exits_soon("2"),
    "exits after its first healthy answer": exits_soon("2", after=8),
    "boots too slowly": boots_slowly("2", seconds=100),
    "says that it is another version": claims("2", reports="1"),
    "is in another state than before": changes_state("2"),
    "turns unhealthy": turns_unhealthy("2"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_canary_that_fails_goes_back_the_version_is_revoked_and_nobody_else_is_touched(fault: str) -> None:
    bench = Bench().furnish(GUESTS).spoil(CANARY, behaviour=BAD[fault])
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.state is RolloutState.REVERTED
    assert progress.of(CANARY).state is TargetState.REVERTED
    assert progress.count(TargetState.SKIPPED) == GUESTS - 1
    assert bench.revoked() == ["2"]
    assert bench.stable() == ["1"]
    assert {bench.runs(row.target.vmid) for row in progress.targets} == {"1"}
    assert {vmid for _, vmid in bench.executed("reboot", "shutdown")} - {CANARY} <= set(range(890000, 891000))
    bench.assert_clean(plan)


@pytest.mark.parametrize("fault", ["never boots", "exits soon", "boots too slowly"])
def test_a_version_whose_smoke_guest_fails_is_revoked_before_any_guest_is_touched(fault: str) -> None:
    bench = Bench().furnish(GUESTS, second=BAD[fault])
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.state is RolloutState.REVERTED
    assert progress.reason.startswith("smoke test failed")
    assert progress.count(TargetState.SKIPPED) == GUESTS
    assert bench.revoked() == ["2"]
    assert not bench.executed("move_volume")
    bench.assert_clean(plan)


def test_a_version_that_refuses_to_shut_down_still_goes_back_by_a_hard_stop() -> None:
    stubborn = replace(refuses_shutdown("2"), unhealthy_after=8)
    bench = Bench().furnish(GUESTS).spoil(CANARY, behaviour=stubborn)
    plan = bench.submit("2")
    assert bench.work(plan).of(CANARY).state is TargetState.REVERTED
    bench.assert_clean(plan)


def test_a_slow_version_that_is_healthy_by_its_deadline_is_good() -> None:
    bench = Bench(make_policy(healthy_deadline="5m")).furnish(GUESTS, second=boots_slowly("2", 120))
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    bench.assert_clean(plan)


def test_what_cannot_be_measured_pauses_and_is_never_counted_as_a_failure() -> None:
    bench = Bench(make_policy(max_errors=1)).furnish(GUESTS).spoil(5003, behaviour=cannot_be_measured("2"))
    bench.answers = [bench.order("revert")]
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.failures == 0
    assert "measure" in bench.pauses[0] or "makes no sense" in bench.pauses[0]
    assert progress.state is RolloutState.REVERTED
    assert bench.revoked() == []
    assert bench.stable() == ["1"]
    bench.assert_clean(plan)


def test_a_pause_for_measurements_that_work_again_goes_on_when_it_is_resumed() -> None:
    bench = Bench(make_policy(max_errors=1)).furnish(GUESTS).spoil(5003, behaviour=cannot_be_measured("2"))

    def mend() -> None:
        container = bench.datacentre.containers[5003]
        volume = bench.datacentre.volume("n1", container.config.rootfs.volume)
        assert volume is not None
        volume.behaviour = good("2")
        bench.order("resume")()

    bench.answers = [mend]
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    bench.assert_clean(plan)


# -------------------------------------------------------------------- budget


def test_a_failure_within_the_budget_takes_only_that_guest_back() -> None:
    bench = Bench(make_policy(max_failures=1)).furnish(GUESTS).spoil(5004, behaviour=turns_unhealthy("2"))
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.state is RolloutState.SUCCEEDED
    assert progress.of(5004).state is TargetState.REVERTED
    assert progress.count(TargetState.HEALTHY) == GUESTS - 1
    assert bench.stable() == ["2"]
    assert bench.revoked() == []
    bench.assert_clean(plan)


def test_more_failures_than_the_budget_take_all_guests_back_newest_first_and_revoke_the_version() -> None:
    bench = Bench(make_policy(max_failures=1)).furnish(GUESTS).spoil(5004, 5005, behaviour=turns_unhealthy("2"))
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.state is RolloutState.REVERTED
    assert bench.stable() == ["1"]
    assert bench.revoked() == ["2"]
    assert {bench.runs(row.target.vmid) for row in progress.targets} == {"1"}
    went_back = [e.target for e in bench.ledger.read(plan.id) if e.name == "revert_began"]
    exchanged = [e.target for e in bench.ledger.read(plan.id) if e.name == "exchange_began"]
    ordered = [vmid for vmid in went_back if vmid not in (5004, 5005)]
    assert ordered == sorted(ordered, key=exchanged.index, reverse=True)
    bench.assert_clean(plan)


# --------------------------------------------------------------------- stuck


def break_old_root(bench: Bench, vmid: int) -> Callable[[], None]:
    def act() -> None:
        container = bench.datacentre.containers[vmid]
        for mount in (container.config.rootfs, *container.config.unused):
            volume = bench.datacentre.volume(container.node, mount.volume)
            if volume is not None and volume.behaviour == good("1"):
                volume.behaviour = turns_unhealthy("1", after=0)

    return act


def test_a_canary_that_cannot_be_proved_on_its_old_root_is_stuck_and_so_is_the_rollout_loudly() -> None:
    bench = Bench().furnish(GUESTS).spoil(CANARY, behaviour=turns_unhealthy("2"))
    bench.datacentre.faults.meanwhile("reboot", break_old_root(bench, CANARY))
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.state is RolloutState.STUCK
    assert progress.of(CANARY).state is TargetState.STUCK
    assert "not healthy on its old root" in progress.of(CANARY).reason
    assert "1 guest" in progress.reason
    assert bench.runs(CANARY) == "1"


def test_a_guest_that_is_stuck_in_a_wave_pauses_the_rollout_before_the_next_guest() -> None:
    bench = Bench().furnish(GUESTS).spoil(5004, behaviour=turns_unhealthy("2"))
    bench.datacentre.faults.meanwhile("reboot", break_old_root(bench, 5004), vmid=5004)
    bench.answers = [bench.order("resume")]
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert "5004" in bench.pauses[0]
    assert progress.of(5004).state is TargetState.STUCK
    assert progress.state is RolloutState.SUCCEEDED


def test_a_stuck_rollout_that_is_ordered_back_again_is_proved_once_the_guest_is_well() -> None:
    bench = Bench().furnish(GUESTS).spoil(CANARY, behaviour=turns_unhealthy("2"))
    bench.datacentre.faults.meanwhile("reboot", break_old_root(bench, CANARY))
    plan = bench.submit("2")
    bench.work(plan)
    container = bench.datacentre.containers[CANARY]
    volume = bench.datacentre.volume("n1", container.config.rootfs.volume)
    assert volume is not None
    volume.behaviour = good("1")
    bench.order("revert")()
    progress = bench.work(plan)
    assert progress.state is RolloutState.REVERTED
    bench.assert_clean(plan)


# ------------------------------------------------------ after it had succeeded


def test_a_rollout_that_succeeded_goes_back_whole_and_stable_returns_to_the_version_before() -> None:
    bench = Bench().furnish(GUESTS)
    plan = bench.submit("2")
    bench.work(plan)
    bench.clock.sleep(timedelta(minutes=30))
    bench.order("revert")()
    progress = bench.work(plan)
    assert progress.state is RolloutState.REVERTED
    assert progress.count(TargetState.REVERTED) == GUESTS
    assert bench.stable() == ["1"]
    assert bench.revoked() == []
    assert {bench.runs(row.target.vmid) for row in progress.targets} == {"1"}
    assert_version_tags(bench, "1")
    bench.assert_clean(plan)


def assert_version_tags(bench: Bench, version: str) -> None:
    """What the guests' tags say is what they run."""
    for vmid, container in bench.datacentre.containers.items():
        if 5000 < vmid < 6000:
            assert f"zlh-version.{version}" in container.config.tags


def test_a_revert_is_refused_once_a_later_rollout_has_changed_the_guests() -> None:
    bench = Bench().furnish(GUESTS, third=good("3"))
    first = bench.submit("2")
    bench.work(first)
    bench.clock.sleep(timedelta(minutes=1))
    second = bench.submit("3")
    bench.work(second)
    with pytest.raises(NotAllowed, match=second.id):
        bench.desk().order("revert", first.id)


def test_a_rollout_over_one_that_is_not_settled_keeps_both_old_roots_and_settles_both_later() -> None:
    bench = Bench().furnish(GUESTS, third=good("3"))
    first = bench.submit("2")
    bench.work(first)
    bench.clock.sleep(timedelta(minutes=1))
    second = bench.submit("3")
    assert bench.work(second).state is RolloutState.SUCCEEDED
    for vmid in range(5001, 5001 + GUESTS):
        assert len(bench.datacentre.containers[vmid].config.unused) == 2
        assert bench.runs(vmid) == "3"
    bench.tend(first, timedelta(hours=27))
    bench.tend(second, timedelta(hours=27))
    for plan in (first, second):
        assert bench.progress(plan).count(TargetState.SETTLED) == GUESTS
    assert {bench.runs(row.target.vmid) for row in bench.progress(second).targets} == {"3"}
    bench.assert_clean(first, second)


def test_a_later_rollout_that_goes_back_returns_to_the_one_before_which_can_then_go_back_too() -> None:
    bench = Bench().furnish(GUESTS, third=good("3"))
    first = bench.submit("2")
    bench.work(first)
    bench.clock.sleep(timedelta(minutes=1))
    second = bench.submit("3")
    bench.work(second)
    bench.order("revert")()
    assert bench.work(second).state is RolloutState.REVERTED
    assert bench.stable() == ["2"]
    assert {bench.runs(row.target.vmid) for row in bench.progress(second).targets} == {"2"}
    bench.desk().order("revert", first.id)
    assert bench.work(first).state is RolloutState.REVERTED
    assert {bench.runs(row.target.vmid) for row in bench.progress(second).targets} == {"1"}
    bench.assert_clean(first, second)


def test_every_way_back_compares_evidence_with_the_record_before() -> None:
    bench = Bench().furnish(GUESTS)
    plan = bench.submit("3")
    bench.work(plan)
    (before,) = bench.entries(Kind.EVIDENCE, "baseline", CANARY)[-1:]
    (after,) = bench.entries(Kind.EVIDENCE, "reverted", CANARY)
    for fact in ("root", "data", "fingerprint", "running", "facts"):
        assert after.data[fact] == before.data[fact]
