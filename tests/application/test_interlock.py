"""Right before a guest is restarted it is looked at what others do on its node; policy says what becomes of it."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.application.rollout_bench import Bench, make_policy
from tests.datacentre import changes_state, good, turns_unhealthy
from zlh_hooks.application.interlock import UNSEEN
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.interlock import BackupJob
from zlh_hooks.domain.progress import RESTART
from zlh_hooks.domain.steps import RolloutState, TargetEvent, TargetState

GUESTS, FIRST, GUEST, TEMPLATE = 3, 5001, 5003, 8001
"""The first and the third are on one node; the second is on the other."""
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
PLAYERS = {"probes": [{"kind": "agent"}, {"kind": "minecraft", "port": 25565}]}
SHORT, LONG = 4 * MINUTE, 30 * MINUTE
"""Within the ten minutes that are waited for, and beyond."""


def back_up(length: timedelta) -> Callable[[Bench], None]:
    """A job backs up several guests of the node, and its task names none."""
    return lambda bench: bench.datacentre.back_up_several(FIRST, length)


def provision(length: timedelta) -> Callable[[Bench], None]:
    """The platform clones a new guest from a template."""
    return lambda bench: bench.datacentre.provision(TEMPLATE, length)


def plan_job(length: timedelta) -> Callable[[Bench], None]:
    """A job that takes the guest comes so soon."""
    return lambda bench: bench.datacentre.backup_jobs.append(
        BackupJob("nightly", bench.clock.now() + length, pool="customers")
    )


KINDS = pytest.mark.parametrize(
    ("rule", "act", "told"),
    [
        ("backup", back_up, "a backup of several guests, perhaps of this one, runs on n1"),
        ("provisioning", provision, "a new guest is being made or started on n1: vzclone 8001"),
    ],
    ids=["backup", "provisioning"],
)


def before_third(
    act: Callable[[Bench], None],
    answer: str = "wait",
    rule: str = "backup",
    *,
    pending: str = "in-window",
    guests: int = GUESTS,
) -> Bench:
    """It begins when the first guest of the node is restarted: what is done to that goes on."""
    bench = Bench(make_policy(interlock={rule: answer}, exchange_pending=pending)).furnish(guests)
    bench.datacentre.containers[GUEST].pool = "customers"
    bench.datacentre.faults.afterwards("reboot", lambda: act(bench), vmid=FIRST)
    return bench


def began(bench: Bench, vmid: int = GUEST) -> timedelta:
    """How long after the first guest of its node it was restarted."""
    (first,) = bench.entries(Kind.REQUESTED, RESTART, FIRST)
    (entry,) = bench.entries(Kind.REQUESTED, RESTART, vmid)
    return entry.at - first.at


def stages(bench: Bench) -> list[str]:
    return [str(entry.data["text"]) for entry in bench.entries(Kind.NOTE, "stage")]


@KINDS
def test_a_guest_waits_for_what_others_do_on_its_node_and_it_is_told(
    rule: str, act: Callable[[timedelta], Callable[[Bench], None]], told: str
) -> None:
    bench = before_third(act(SHORT), rule=rule)
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert began(bench) >= SHORT
    assert any(f"waiting for guest {GUEST}: {told}" in text for text in stages(bench))
    bench.assert_clean(plan)


@KINDS
def test_a_guest_that_would_have_to_wait_for_too_long_is_left_out_with_that_reason(
    rule: str, act: Callable[[timedelta], Callable[[Bench], None]], told: str
) -> None:
    bench = before_third(act(LONG), rule=rule)
    plan = bench.submit("2")
    row = bench.work(plan).of(GUEST)
    assert row.state is TargetState.SKIPPED
    assert told in row.reason
    bench.assert_clean(plan)


def test_a_first_guest_that_comes_later_and_was_locked_keeps_no_pending_root_beside_the_canary() -> None:
    bench = Bench(make_policy(line=PLAYERS, wait_until_empty="4h")).furnish(2)
    guest = bench.datacentre.containers[FIRST]
    bench.datacentre.back_up_several(FIRST, 25 * MINUTE)
    bench.later(9 * MINUTE, lambda: bench.datacentre.lock(FIRST, "backup", 3 * MINUTE))
    bench.datacentre.set_players(5002, 3)
    bench.later(18 * MINUTE, lambda: bench.datacentre.set_players(5002, 0))
    seen: list[bool] = []
    for minutes in (8, 11, 13):
        bench.later(minutes * MINUTE, lambda: seen.append("rootfs" in guest.pending))
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == 2
    assert seen == [True, True, False]
    bench.assert_clean(plan)


@KINDS
@pytest.mark.parametrize("pending", ["never", "in-window", "any-time"])
def test_policy_may_leave_the_guest_out_at_once_and_no_new_root_stays_with_it(
    rule: str, act: Callable[[timedelta], Callable[[Bench], None]], told: str, pending: str
) -> None:
    bench = before_third(act(SHORT), "skip", rule, pending=pending)
    plan = bench.submit("2")
    bench.work(plan)
    progress = bench.tend(plan, timedelta(hours=1))
    assert (progress.of(GUEST).state, progress.count(TargetState.HEALTHY)) == (TargetState.SKIPPED, GUESTS - 1)
    assert told in progress.of(GUEST).reason
    bench.assert_clean(plan)


def test_what_begins_while_something_else_is_waited_for_and_leaves_the_guest_out_leaves_no_root_pending() -> None:
    bench = Bench(make_policy(interlock={"backup": "wait", "provisioning": "skip"})).furnish(GUESTS)
    bench.datacentre.faults.afterwards("reboot", lambda: back_up(SHORT)(bench), vmid=FIRST)
    soon = lambda: bench.later(SECOND, lambda: provision(LONG)(bench))  # noqa: E731
    bench.datacentre.faults.afterwards("exchange", soon, vmid=GUEST)
    plan = bench.submit("2")
    row = bench.work(plan).of(GUEST)
    assert (row.state, "a new guest" in row.reason) == (TargetState.SKIPPED, True)
    bench.assert_clean(plan)


@pytest.mark.parametrize("guests", [GUESTS, GUESTS + 1])
@KINDS
def test_a_guest_whose_patience_is_over_comes_once_more_after_the_others(
    rule: str, act: Callable[[timedelta], Callable[[Bench], None]], told: str, guests: int
) -> None:
    bench = before_third(act(15 * MINUTE), rule=rule, guests=guests)
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == guests
    assert began(bench) >= 15 * MINUTE
    assert guests == GUESTS or began(bench, 5004) < began(bench)
    assert any(f"guest {GUEST} comes after the others: {told}" in text for text in stages(bench))
    bench.assert_clean(plan)


def test_a_first_guest_that_comes_later_leaves_another_one_to_be_the_canary() -> None:
    bench = Bench(make_policy()).furnish(2)
    bench.datacentre.back_up_several(FIRST, 15 * MINUTE)
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == 2
    (second,) = bench.entries(Kind.EVENT, TargetEvent.PROVED, 5002)
    (first,) = bench.entries(Kind.REQUESTED, RESTART, FIRST)
    (withdrawn,) = bench.entries(Kind.EVENT, TargetEvent.WITHDRAWN, FIRST)
    (begun,) = bench.entries(Kind.EVENT, TargetEvent.EXCHANGE_BEGAN, 5002)
    assert withdrawn.at <= begun.at < second.at < first.at


@KINDS
def test_policy_may_refuse_and_then_a_person_decides(
    rule: str, act: Callable[[timedelta], Callable[[Bench], None]], told: str
) -> None:
    bench = before_third(act(SHORT), "refuse", rule)
    bench.answers = [lambda: bench.later(3 * SHORT, bench.order("resume"))]
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert len(bench.pauses) == 1 and told in bench.pauses[0] and "guest 500" in bench.pauses[0]


@KINDS
def test_policy_may_ignore_it(rule: str, act: Callable[[timedelta], Callable[[Bench], None]], told: str) -> None:
    bench = before_third(act(LONG), "ignore", rule)
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert began(bench) < SHORT


def test_a_guest_that_was_cloned_is_waited_for_after_its_clone_has_ended_until_its_provisioning_may_be_over() -> None:
    """As the hosting platform does it: clone, start, and then only the agent is asked, for up to ten minutes."""
    bench = before_third(provision(MINUTE), rule="provisioning")
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert began(bench) >= 10 * MINUTE
    assert any("a new guest on n1 is younger than 10m and may not be ready" in text for text in stages(bench))


@pytest.mark.parametrize(("rule", "value"), [("provisioning", "ignore"), ("provisioning_time", "0s")])
def test_policy_may_heed_no_guest_once_it_is_cloned(rule: str, value: str) -> None:
    bench = before_third(provision(MINUTE), value, rule)
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert began(bench) < SHORT


def test_what_an_earlier_rollout_has_cloned_is_no_new_guest_to_the_next_one() -> None:
    bench = Bench(make_policy(interlock={"provisioning_time": "2h"})).furnish(GUESTS, third=good("3"))
    assert [bench.run(version).count(TargetState.HEALTHY) for version in ("2", "3")] == [GUESTS, GUESTS]
    assert not any("new guest" in text for text in stages(bench))


def test_a_clone_that_failed_has_made_nobody() -> None:
    bench = before_third(lambda bench: bench.datacentre.fail_to_provision(TEMPLATE), rule="provisioning")
    assert bench.run("2").count(TargetState.HEALTHY) == GUESTS
    assert began(bench) < SHORT


def test_a_guest_is_not_begun_shortly_before_its_backup_is_due_and_comes_when_the_job_has_not_come() -> None:
    bench = before_third(plan_job(MINUTE))
    bench.later(8 * MINUTE, bench.datacentre.backup_jobs.clear)
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert any(f"waiting for guest {GUEST}: backup job nightly is due at" in text for text in stages(bench))
    assert began(bench) >= 7 * MINUTE


def test_a_job_that_comes_when_the_guest_is_done_is_nothing_to_it() -> None:
    bench = before_third(plan_job(timedelta(hours=2)))
    assert bench.run("2").count(TargetState.HEALTHY) == GUESTS
    assert began(bench) < SHORT


def test_the_own_work_of_a_rollout_on_the_node_holds_up_none_of_its_guests() -> None:
    bench = Bench(make_policy(max_parallel=4, max_parallel_per_node=4, canary=3)).furnish(6)
    assert bench.run("2").count(TargetState.HEALTHY) == 6
    assert not any("waiting for guest" in text for text in stages(bench))


def test_a_token_that_may_not_see_jobs_goes_on_and_says_so_once() -> None:
    bench = Bench().furnish(GUESTS)
    bench.datacentre.privileges["/"] -= {"Sys.Audit"}
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    (note,) = bench.entries(Kind.NOTE, UNSEEN)
    assert "Sys.Audit" in note.data["reason"]


def install(bench: Bench, length: timedelta) -> None:
    """Its platform made the guest just now, and its agent installs a game into it."""
    container = bench.datacentre.containers[GUEST]
    root = bench.datacentre.volume(container.node, container.config.rootfs.volume)
    assert root is not None
    root.behaviour = changes_state("1", "installing")
    bench.later(length, lambda: setattr(root, "behaviour", good("1")))


def test_a_guest_that_is_still_being_installed_is_not_restarted_before_that_is_done() -> None:
    bench = Bench().furnish(GUESTS)
    install(bench, SHORT)
    start, plan = bench.clock.now(), bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    (begun,) = bench.entries(Kind.EVENT, TargetEvent.EXCHANGE_BEGAN, GUEST)
    assert begun.at - start >= SHORT
    assert any(f"waiting for guest {GUEST}: its agent is still installing" in text for text in stages(bench))


def test_a_guest_whose_installation_does_not_end_is_left_out_and_condemns_no_version() -> None:
    bench = Bench().furnish(GUESTS)
    install(bench, timedelta(days=1))
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert (progress.of(GUEST).state, progress.count(TargetState.HEALTHY)) == (TargetState.SKIPPED, GUESTS - 1)
    assert "installing" in progress.of(GUEST).reason
    bench.assert_clean(plan)


def go_back_beside(act: Callable[[Bench], None]) -> timedelta:
    """How long after its restart a bad guest is proved on its old root, when this has begun then."""
    bench = Bench().furnish(GUESTS).spoil(FIRST, behaviour=turns_unhealthy("2"))
    bench.datacentre.faults.afterwards("reboot", lambda: act(bench), vmid=FIRST)
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert (progress.state, progress.of(FIRST).state) == (RolloutState.REVERTED, TargetState.REVERTED)
    bench.assert_clean(plan)
    (back,) = bench.entries(Kind.EVENT, TargetEvent.REVERT_PROVED, FIRST)
    (first,) = bench.entries(Kind.REQUESTED, RESTART, FIRST)
    return back.at - first.at


@pytest.mark.parametrize(
    "act", [back_up(LONG), provision(LONG), lambda bench: bench.datacentre.work_on(FIRST, "vzdump", LONG)]
)
def test_a_bad_guest_does_not_wait_on_its_way_back_for_what_has_not_locked_it(act: Callable[[Bench], None]) -> None:
    assert go_back_beside(act) < MINUTE


def test_on_its_way_back_a_guest_waits_for_a_task_that_is_at_work_on_it() -> None:
    assert SHORT <= go_back_beside(lambda bench: bench.datacentre.work_on(FIRST, "vzsnapshot", SHORT)) < LONG
