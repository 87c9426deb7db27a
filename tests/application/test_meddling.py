"""Others do things to guests and templates while a rollout is at work on them."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest

from tests.application.rollout_bench import Bench
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.steps import RolloutState, TargetState

GUESTS = 3
LAST = 5003
MOMENTS: dict[str, tuple[str, int]] = {
    "before its staging": ("clone", 1),
    "before its new root is given": ("move_volume", LAST),
    "before the exchange": ("exchange", LAST),
    "before the restart": ("reboot", LAST),
}


def _meanwhile(bench: Bench, moment: str, event: Callable[[], object]) -> None:
    method, number = MOMENTS[moment]
    if number == LAST:
        bench.datacentre.faults.meanwhile(method, event, vmid=LAST)
    else:
        bench.datacentre.faults.meanwhile(method, event, number)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_guest_that_is_deleted_is_left_out_and_the_others_go_on(moment: str) -> None:
    bench = Bench().furnish(GUESTS)
    _meanwhile(bench, moment, lambda: bench.datacentre.delete_guest(LAST))
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.state is RolloutState.SUCCEEDED
    assert progress.of(LAST).state is TargetState.SKIPPED
    assert "deleted" in progress.of(LAST).reason or "does not exist" in progress.of(LAST).reason
    assert progress.count(TargetState.HEALTHY) == GUESTS - 1
    bench.assert_clean(plan)


def test_a_guest_that_is_deleted_before_the_way_back_is_left_out() -> None:
    bench = Bench().furnish(GUESTS)
    plan = bench.submit("2")
    bench.work(plan)
    bench.datacentre.delete_guest(LAST)
    bench.order("revert")()
    progress = bench.work(plan)
    assert progress.state is RolloutState.REVERTED
    assert progress.count(TargetState.REVERTED) == GUESTS - 1
    bench.assert_clean(plan)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_guest_that_moves_to_another_node_is_handled_and_the_others_go_on(moment: str) -> None:
    bench = Bench().furnish(GUESTS)
    _meanwhile(bench, moment, lambda: bench.datacentre.migrate_guest(LAST, "n2"))
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.state is RolloutState.SUCCEEDED
    assert progress.failures == 0
    after = bench.tend(plan, timedelta(hours=1)).of(LAST)
    assert after.state is (TargetState.HEALTHY if moment == "before the restart" else TargetState.SKIPPED)
    has_copy = moment == "before the exchange"  # of what was staged, with another date
    assert ("was left alone" in after.reason) == has_copy
    bench.assert_clean(plan, left={LAST} if has_copy else ())


def test_a_guest_that_moves_after_its_exchange_goes_back_on_its_new_node() -> None:
    bench = Bench().furnish(GUESTS)
    plan = bench.submit("2")
    bench.work(plan)
    bench.datacentre.migrate_guest(LAST, "n2")
    bench.order("revert")()
    assert bench.work(plan).count(TargetState.REVERTED) == GUESTS
    assert bench.runs(LAST) == "1"
    bench.assert_clean(plan)


def _list_sources() -> list[int]:
    """Of what is cloned, one after another: the template, or a twin of it."""
    bench = Bench().furnish(GUESTS)
    bench.work(bench.submit("2"))
    return [call.arguments[0].vmid for call in bench.datacentre.faults.log if "clone" in call.names]  # type: ignore[attr-defined]


def _assert_it_pauses(missing: int, method: str, nth: int) -> None:
    bench = Bench().furnish(GUESTS)
    plan = bench.submit("2")
    bench.answers = [bench.order("abort")]
    bench.datacentre.faults.meanwhile(method, partial(bench.datacentre.delete_guest, missing), nth)
    progress = bench.work(plan)
    left = [target.reason for target in progress.targets if target.state is TargetState.SKIPPED]
    assert [f"{missing}.conf' does not exist" in reason for reason in bench.pauses] == [True]
    assert all("abort by tester" in reason for reason in left), left
    assert (progress.state, progress.failures) == (RolloutState.ABORTED, 0)
    bench.assert_clean(plan)


def test_what_new_roots_are_cloned_from_is_deleted_at_any_clone_which_pauses() -> None:
    for number, source in enumerate(_list_sources(), 1):
        _assert_it_pauses(source, "clone", number)


@pytest.mark.parametrize("moment", ["move_volume", "reboot"])
def test_a_template_that_is_deleted_later_pauses_before_the_next_guest(moment: str) -> None:
    _assert_it_pauses(_list_sources()[0], moment, 1)


# --------------------------------------------------------------------- power


@pytest.mark.parametrize("moment", ["before the exchange", "before the restart"])
def test_a_guest_that_its_customer_switches_off_is_exchanged_stays_off_and_is_proved_at_its_next_start(
    moment: str,
) -> None:
    bench = Bench().furnish(GUESTS)
    _meanwhile(bench, moment, lambda: bench.datacentre.power_off(LAST))
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.state is RolloutState.SUCCEEDED
    assert progress.of(LAST).state is TargetState.PROVING
    bench.assert_clean(plan)
    bench.datacentre.power_on(LAST)
    assert bench.tend(plan, timedelta(minutes=30)).of(LAST).state is TargetState.HEALTHY
    bench.assert_clean(plan)


def _leave_one_off(bench: Bench) -> Plan:
    _meanwhile(bench, "before the restart", lambda: bench.datacentre.power_off(LAST))
    plan = bench.submit("2")
    assert bench.work(plan).of(LAST).state is TargetState.PROVING
    return plan


def test_a_guest_that_is_deleted_before_its_next_start_is_left_out() -> None:
    bench = Bench().furnish(GUESTS)
    plan = _leave_one_off(bench)
    bench.datacentre.delete_guest(LAST)
    assert bench.tend(plan, timedelta(minutes=30)).of(LAST).state is TargetState.SKIPPED
    bench.assert_clean(plan)


def _begin_late_proof() -> tuple[Bench, Plan]:
    bench = Bench().furnish(GUESTS)
    plan = _leave_one_off(bench)
    bench.datacentre.power_on(LAST)
    return bench, plan


def _list_requests_of_late_proof() -> list[tuple[str, int]]:
    """Each that is about the guest: its name, and the how many-th of that name it is."""
    bench, plan = _begin_late_proof()
    before = len(bench.datacentre.faults.log)
    bench.tend(plan, timedelta(minutes=10))
    names = [call.names[0] for call in bench.datacentre.faults.log[before:] if LAST in call.vmids]
    return [(name, names[:place].count(name) + 1) for place, name in enumerate(names)]


def test_a_guest_that_is_deleted_at_any_request_of_its_late_proof_is_left_out(
    record_property: Callable[[str, object], None],
) -> None:
    requests = _list_requests_of_late_proof()
    record_property("points", len(requests))
    ends = set()
    for name, nth in requests:
        bench, plan = _begin_late_proof()
        bench.datacentre.faults.meanwhile(name, partial(bench.datacentre.delete_guest, LAST), nth, LAST)
        progress = bench.tend(plan, timedelta(minutes=30))
        assert progress.failures == 0, (name, nth)
        bench.assert_clean(plan)
        ends.add(progress.of(LAST).state)
    assert ends <= {TargetState.SKIPPED, TargetState.HEALTHY}  # the latter if it was proved by then
    assert TargetState.SKIPPED in ends


def test_a_guest_that_moves_before_its_next_start_is_proved_where_it_starts() -> None:
    bench = Bench().furnish(GUESTS)
    plan = _leave_one_off(bench)
    bench.datacentre.migrate_guest(LAST, "n2")
    bench.datacentre.power_on(LAST)
    assert bench.tend(plan, timedelta(minutes=30)).of(LAST).state is TargetState.HEALTHY
    bench.assert_clean(plan)


def test_a_customer_who_restarts_during_the_proof_never_makes_the_version_fail() -> None:
    bench = Bench().furnish(GUESTS)
    bench.datacentre.faults.afterwards(
        "reboot",
        lambda: bench.datacentre.at(timedelta(seconds=12), lambda: bench.datacentre.restart_inside(LAST)),
        vmid=LAST,
    )
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.state is RolloutState.SUCCEEDED
    assert progress.failures == 0
    bench.tend(plan, timedelta(minutes=30))
    assert bench.progress(plan).of(LAST).state is TargetState.HEALTHY
    bench.assert_clean(plan)


def test_an_operator_who_stops_the_guest_during_the_proof_never_makes_the_version_fail() -> None:
    bench = Bench().furnish(GUESTS)

    def stop() -> None:
        bench.datacentre.containers[LAST].wanted = False
        bench.datacentre.stop(bench.datacentre.ref(LAST))

    bench.datacentre.faults.afterwards("reboot", lambda: bench.later(timedelta(seconds=9), stop), vmid=LAST)
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.state is RolloutState.SUCCEEDED
    assert progress.of(LAST).state is TargetState.PROVING
    bench.datacentre.power_on(LAST)
    assert bench.tend(plan, timedelta(minutes=30)).of(LAST).state is TargetState.HEALTHY
    bench.assert_clean(plan)


# -------------------------------------------------------------- provisioning


def _provision_all_the_time(bench: Bench, template: int, gap: timedelta) -> Counter[str]:
    """The platform clones customers from the template, one after another; what it met is counted."""
    seen: Counter[str] = Counter()
    container = bench.datacentre.containers[template]

    def begin() -> None:
        if container.values.get("lock") == "disk":
            seen["met a lock"] += 1
            return bench.datacentre.at(timedelta(seconds=1), begin)
        seen["cloned"] += 1
        container.values["lock"] = "disk"
        return bench.datacentre.at(timedelta(seconds=20), end)

    def end() -> None:
        container.values.pop("lock", None)
        bench.datacentre.at(gap, begin)

    begin()
    return seen


def test_a_template_that_customers_are_cloned_from_is_locked_at_most_once_per_rollout_and_node() -> None:
    bench = Bench().furnish(6)
    for vmid in (8002, 8102):
        bench.datacentre.containers[vmid].values["tags"] += ";zlh-channel.canary"
    plan = bench.submit("2")
    bench.work(plan)
    clones = bench.executed("clone")
    assert clones["clone", 8002] == clones["clone", 8102] == 1
    assert not {vmid for _, vmid in clones} & {8001, 8101}


def test_staging_waits_for_a_gap_in_the_provisioning() -> None:
    bench = Bench().furnish(2)
    bench.datacentre.containers[8002].values["tags"] += ";zlh-channel.canary"
    seen = _provision_all_the_time(bench, 8002, timedelta(seconds=5))
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == 2
    assert seen["met a lock"] <= 3
    assert bench.executed("clone")["clone", 8002] == 1


def test_a_template_without_a_gap_is_never_locked_by_us_and_the_rollout_says_what_it_waits_for() -> None:
    bench = Bench().furnish(2)
    bench.datacentre.containers[8002].values["tags"] += ";zlh-channel.canary"
    seen = _provision_all_the_time(bench, 8002, timedelta(seconds=0))
    bench.answers = [bench.order("abort")]
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.state is RolloutState.ABORTED
    assert "provision" in bench.pauses[0]
    assert seen["met a lock"] == 0
    assert not bench.executed("clone")


def test_customers_are_cloned_from_the_stable_version_all_the_while_and_it_still_moves() -> None:
    bench = Bench().furnish(2)
    seen = _provision_all_the_time(bench, 8001, timedelta(seconds=5))
    plan = bench.submit("2")
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert bench.stable() == ["2"]
    assert seen["met a lock"] == 0
    bench.assert_clean(plan)
