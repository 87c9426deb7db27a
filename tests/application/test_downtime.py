"""What customers could not use, reckoned from whole stories: what was announced, what overran, what nobody saw."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.application.downtime_bench import MONTH, DowntimeBench, Killed, make_promising_policy
from tests.application.notice_bench import QUARTERS, owner
from tests.application.rollout_bench import ALWAYS
from tests.datacentre import Crash, good, never_boots, turns_unhealthy
from zlh_hooks.domain.announcement import Announcement
from zlh_hooks.domain.downtime import Verdict
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import NotAllowed, RoadError
from zlh_hooks.domain.month import Month
from zlh_hooks.domain.rollout_outage import REFUSED
from zlh_hooks.domain.sight import Turn
from zlh_hooks.domain.span import measure
from zlh_hooks.domain.steps import RolloutState, TargetState
from zlh_hooks.domain.watch_book import WATCH_BEGAN
from zlh_hooks.domain.window_rule import Component

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
GUESTS = (5001, 5002, 5003, 5004)
SHORT = tuple(one | {"length_minutes": 3} for one in QUARTERS)
ALL = {"router": {"all": True}}
FIRST_END = datetime(2026, 11, 23, 4, 13, tzinfo=UTC)
"""When the first of the short windows ends, and with it the first announced time."""


def open_bench(guests: int = 4, **more: object) -> DowntimeBench:
    return DowntimeBench(make_promising_policy(**more)).furnish(guests)  # type: ignore[arg-type,return-value]


# --- rollouts


def test_a_rollout_within_what_was_announced_is_planned_and_costs_nothing() -> None:
    bench = open_bench()
    assert bench.run("2").state is RolloutState.SUCCEEDED
    for vmid in GUESTS:
        planned, unplanned, unknown = bench.seconds(vmid)
        assert 3 <= planned <= 10 and (unplanned, unknown) == (0, 0)
        account = bench.account(vmid)
        assert (account.available, account.verdict, account.credit_percent) == (100, Verdict.MET, 0)


def test_downtime_is_counted_to_the_first_healthy_answer_and_not_to_the_end_of_the_proof() -> None:
    bench = open_bench(min_healthy_time="40s")
    bench.run("2")
    (restart,) = bench.entries(Kind.REQUESTED, "exchange.restart", 5001)
    (proved,) = bench.entries(Kind.EVENT, "proved", 5001)
    planned, _, _ = bench.seconds(5001)
    assert planned <= 10
    assert (proved.at - restart.at).total_seconds() >= planned + 40


def test_what_overruns_the_announced_end_is_unplanned_from_that_minute_on() -> None:
    bench = open_bench(guests=1, windows=SHORT)
    bench.datacentre.faults.slow_task("reboot", 4 * MINUTE, vmid=5001)
    bench.run("2")
    found = bench.account(5001).downtime
    (planned,), (unplanned,) = found.planned, found.unplanned
    assert planned.end == unplanned.begin == FIRST_END
    assert measure(found.unplanned) >= MINUTE


def test_a_way_back_counts_with_what_it_takes_back_and_is_unplanned_after_the_announced_end() -> None:
    bench = open_bench(windows=SHORT).spoil(5001, behaviour=turns_unhealthy("2"))
    bench.datacentre.faults.slow_task("reboot", 4 * MINUTE, nth=2, vmid=5001)
    progress = bench.run("2")
    assert progress.of(5001).state is TargetState.REVERTED
    found = bench.account(5001).downtime
    (planned,), (unplanned,) = found.planned, found.unplanned
    assert planned.end == unplanned.begin == FIRST_END
    (reverted,) = bench.entries(Kind.EVENT, "revert_proved", 5001)
    assert FIRST_END < unplanned.end < reverted.at
    assert [bench.seconds(vmid) for vmid in GUESTS[1:]] == [(0, 0, 0)] * 3


def test_a_way_back_that_is_ordered_when_all_is_over_is_unplanned() -> None:
    bench = open_bench()
    plan = bench.submit("2")
    bench.work(plan)
    before = bench.seconds(5001)
    bench.clock.sleep(60 * MINUTE)
    bench.order("revert", "customers complain")()
    assert bench.work(plan).state is RolloutState.REVERTED
    planned, unplanned, _ = bench.seconds(5001)
    assert planned == before[0] and 3 <= unplanned <= 10


def test_a_mail_that_came_back_announced_nothing() -> None:
    bench = open_bench()
    plan = bench.submit("2")
    bench.work(plan)
    bench.notice_desk().note_bounced(plan, "ann@example.com", "no such user")
    assert bench.seconds(5001)[0] == 0 < bench.seconds(5001)[1]
    assert bench.seconds(5002)[1] == 0 < bench.seconds(5002)[0]


def test_a_guest_that_its_owner_had_stopped_has_no_downtime_of_ours() -> None:
    bench = open_bench()
    bench.datacentre.power_off(5002)
    bench.run("2")
    assert bench.seconds(5002) == (0, 0, 0)


def test_a_guest_that_could_not_be_taken_back_is_down_until_a_person_says_that_it_runs() -> None:
    bench = open_bench().spoil(5001, behaviour=never_boots("2"))
    bench.datacentre.faults.fail_task("start", "no space left", vmid=5001, times=1000)
    bench.answers = [bench.order("abort")] * 3
    assert bench.run("2").of(5001).state is TargetState.STUCK
    began = bench.account(5001).outages[0].span.begin
    bench.clock.sleep(30 * MINUTE)
    desk = bench.downtime_desk()
    assert bench.account(5001).notes[-1].startswith("not ended: rollout r")
    assert measure(one.span for one in bench.account(5001).outages) >= 30 * MINUTE
    with pytest.raises(NotAllowed, match="say a time after that"):
        desk.note_ended(5001, began, "")
    desk.note_ended(5001, began + 5 * MINUTE, "started by hand")
    assert sum(bench.seconds(5001)) == 300
    with pytest.raises(NotAllowed, match="no outage that a rollout began"):
        desk.note_ended(5001, bench.clock.now(), "")


def test_a_worker_that_died_over_a_restart_leaves_what_nobody_knows_until_its_successor_finds_the_task() -> None:
    bench = open_bench(windows=ALWAYS)
    bench.datacentre.faults.die_after("reboot", vmid=5001)
    plan = bench.submit("2")
    with pytest.raises(Crash):
        bench.work(plan)
    bench.datacentre.faults.restart()
    bench.clock.sleep(5 * MINUTE)
    planned, unplanned, unknown = bench.seconds(5001)
    assert (planned, unplanned) == (0, 0) and 300 <= unknown <= 302
    bench.herald = bench.open_herald()
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    planned, unplanned, unknown = bench.seconds(5001)
    assert (unplanned, unknown) == (0, 0)
    assert planned >= 300, "nobody saw it well before the successor asked"


def test_a_rollout_that_was_closed_by_force_over_a_restart_leaves_a_gap_that_a_person_can_end() -> None:
    bench = open_bench(windows=ALWAYS)
    bench.datacentre.faults.die_before("reboot", vmid=5001)
    plan = bench.submit("2")
    with pytest.raises(Crash):
        bench.work(plan)
    bench.datacentre.faults.restart()
    bench.desk().close_by_force(plan.id, "the controller is gone")
    (intent,) = bench.entries(Kind.INTENT, "exchange.restart", 5001)
    bench.clock.sleep(60 * MINUTE)
    assert bench.seconds(5001)[2] >= 3600
    bench.downtime_desk().note_ended(5001, intent.at + MINUTE, "it was never away")
    assert bench.seconds(5001) == (0, 0, 60)


def test_a_stop_that_its_task_refused_for_a_lock_is_noted_so_that_it_counts_for_nothing() -> None:
    bench = open_bench(windows=ALWAYS).spoil(5001, behaviour=turns_unhealthy("2"))
    bench.datacentre.faults.fail_task("reboot", "got no answer", nth=2, vmid=5001)
    bench.datacentre.faults.meanwhile("shutdown", lambda: bench.datacentre.lock(5001, "backup", MINUTE), vmid=5001)
    assert bench.run("2").of(5001).state is TargetState.REVERTED
    assert {entry.data["step"].partition(".")[2] for entry in bench.entries(Kind.NOTE, REFUSED, 5001)} == {"stop"}


# --- windows


def test_an_exchange_lies_in_a_window_of_templates_and_what_overruns_it_does_not() -> None:
    bench = open_bench(guests=1, windows=SHORT)
    bench.datacentre.faults.slow_task("reboot", 4 * MINUTE, vmid=5001)
    bench.run("2")
    account = bench.account(5001)
    (outage,) = account.outages
    assert (outage.component, [one.end for one in outage.in_windows]) == (Component.TEMPLATE, [FIRST_END])
    assert account.downtime.in_windows == account.downtime.planned


def test_an_emergency_that_no_window_allows_is_planned_and_outside_of_windows() -> None:
    bench = open_bench()
    bench.work(bench.submit("2", emergency=bench.declare()))
    account = bench.account(5001)
    assert account.downtime.planned and not account.downtime.in_windows


def test_a_point_that_is_away_is_looked_up_in_the_windows_of_its_own_component() -> None:
    edge = tuple(one | {"components": ["edge"]} for one in ALWAYS)
    for windows, seconds in ((edge, 240), (QUARTERS, 0)):
        bench = open_bench(watch=ALL, windows=windows)
        bench.happen = {
            60: lambda bench=bench: bench.outside.away.add("router"),
            300: lambda bench=bench: bench.outside.away.clear(),
        }
        bench.watch(400)
        account = bench.account(5001)
        assert account.outages[0].component is Component.EDGE
        assert measure(account.downtime.unplanned_in_windows).total_seconds() == seconds


# --- emergencies


def test_an_emergency_is_planned_for_whoever_was_told_of_it() -> None:
    bench = open_bench()
    bench.work(bench.submit("2", emergency=bench.declare()))
    assert all(bench.seconds(vmid)[1] == 0 < bench.seconds(vmid)[0] for vmid in GUESTS)


def test_and_unplanned_for_whoever_was_not() -> None:
    bench = open_bench()
    bench.mail.answers += [RoadError("connection refused")] * 100
    bench.declare()
    bench.run("2")
    assert all(bench.seconds(vmid)[0] == 0 < bench.seconds(vmid)[1] for vmid in GUESTS)


def test_a_policy_may_count_every_emergency() -> None:
    bench = open_bench(emergencies="unplanned")
    bench.work(bench.submit("2", emergency=bench.declare()))
    assert all(bench.seconds(vmid)[0] == 0 < bench.seconds(vmid)[1] for vmid in GUESTS)


# --- from outside


def test_an_outage_of_what_all_share_is_one_of_every_guest_behind_it_though_none_stopped() -> None:
    bench = open_bench(watch={"router": {"all": True}, "edge": {"nodes": ["n2"]}})
    bench.happen = {
        60: lambda: bench.outside.away.add("router"),
        300: lambda: bench.outside.away.clear(),
        600: lambda: bench.outside.away.add("edge"),
        720: lambda: bench.outside.away.clear(),
    }
    bench.watch(900)
    assert not bench.executed("reboot", "shutdown", "stop")
    unplanned = [bench.seconds(vmid)[1] for vmid in GUESTS]
    assert unplanned == [240, 360, 240, 360]
    assert bench.account(5001).outages[0].cause == "Router (router) could not be reached from outside"


def test_a_point_that_fails_less_often_than_the_policy_says_was_never_away() -> None:
    bench = open_bench(watch=ALL)
    bench.happen = {60: lambda: bench.outside.away.add("router"), 120: lambda: bench.outside.away.clear()}
    bench.watch(600)
    assert (bench.seconds(5001)[1], bench.said[1:-1]) == (0, [])


def test_a_restart_during_an_outage_counts_once_and_unplanned_though_it_was_announced() -> None:
    bench = open_bench(watch=ALL)
    start = bench.clock.now()
    bench.see(WATCH_BEGAN, points=["router"], seen=None)
    bench.see(Turn.OUTAGE_BEGAN, point="router", at=start.isoformat())
    bench.run("2")
    end = bench.clock.now()
    bench.see(Turn.OUTAGE_ENDED, point="router", at=end.isoformat())
    assert len(bench.account(5001).outages) == 2
    assert bench.seconds(5001)[:2] == (0, (end - start).total_seconds())


def test_a_watcher_that_was_killed_leaves_a_time_that_nobody_knows_and_that_is_listed() -> None:
    bench = open_bench(watch=ALL)
    bench.happen = {300: bench.kill}
    with pytest.raises(Killed):
        bench.watch(900)
    bench.clock.advance(10 * MINUTE)
    dead = bench.report().list_gaps()[-1]
    bench.watch(120)
    _, unplanned, _ = bench.seconds(5001)
    gaps = bench.report().list_gaps()
    assert (dead[0].begin, dead[1], dead[2]) == (gaps[-1][0].begin, "nobody watched router", 4)
    assert 10 * MINUTE <= gaps[-1][0].length <= 11 * MINUTE
    assert (unplanned, bench.account(5001).verdict) == (0, Verdict.UNKNOWN)


def test_an_outage_that_the_watcher_saw_begin_and_not_end_counts_as_long_as_it_looked() -> None:
    bench = open_bench(watch=ALL)
    bench.outside.away.add("router")
    bench.happen = {300: bench.kill}
    with pytest.raises(Killed):
        bench.watch(900)
    bench.outside.away.clear()
    bench.clock.advance(60 * MINUTE)
    bench.watch(120)
    _, unplanned, _ = bench.seconds(5001)
    assert 285 <= unplanned <= 300


def test_while_the_watchers_own_line_is_down_nobody_knows() -> None:
    bench = open_bench(watch=ALL)
    bench.happen = {
        60: lambda: bench.outside.away.update({"router", "reference"}),
        360: lambda: bench.outside.away.clear(),
    }
    bench.watch(600)
    span, cause, _ = bench.report().list_gaps()[-1]
    assert (span.length, bench.seconds(5001)[1]) == (5 * MINUTE, 0)
    assert "the reference failed as well" in cause


def test_a_reference_that_fails_alone_hides_nothing_and_is_asked_only_when_a_point_fails() -> None:
    bench = open_bench(watch=ALL)
    bench.outside.away.add("reference")
    bench.watch(300)
    assert set(bench.outside.asked) == {"router"}
    assert bench.report().list_gaps()[-1][0].end < bench.clock.now() - 4 * MINUTE, "only the time before the watch"


def test_what_cannot_be_measured_is_unknown_and_not_down() -> None:
    bench = open_bench(watch=ALL)
    bench.happen = {60: lambda: bench.outside.odd.add("router"), 180: lambda: bench.outside.odd.clear()}
    bench.watch(600)
    assert bench.seconds(5001)[1] == 0
    assert bench.report().list_gaps()[-1][0].length == 2 * MINUTE


def test_a_watcher_that_was_frozen_does_not_know_what_it_has_missed() -> None:
    bench = open_bench(watch=ALL)
    bench.happen = {120: lambda: bench.clock.advance(20 * MINUTE)}
    bench.watch(1800)
    span, _, _ = bench.report().list_gaps()[-1]
    assert 20 * MINUTE <= span.length <= 21 * MINUTE


def test_a_second_watcher_is_told_who_looks_already() -> None:
    bench = open_bench(watch=ALL)
    bench.happen = {60: lambda: bench.watch(60)}
    with pytest.raises(NotAllowed, match="watcher"):
        bench.watch(300)


def test_each_change_is_one_line_and_one_entry() -> None:
    bench = open_bench(watch=ALL)
    bench.happen = {60: lambda: bench.outside.away.add("router"), 240: lambda: bench.outside.away.clear()}
    bench.watch(600)
    assert [line.partition(" since")[0] for line in bench.said] == [
        "watching router",
        "router: away",
        "router: answers again",
        "ended: from now on nobody watches",
    ]
    names = [entry.name for entry in bench.ledger.read("")]
    assert names == ["watch.began", "outage.began", "outage.ended", "watch.ended"]


# --- the report


def test_guests_without_an_owner_are_named_and_credited_to_nobody() -> None:
    bench = open_bench(watch=ALL)
    bench.directory.customers = [owner("ann", 5001)]
    bench.outside.away.add("router")
    bench.watch(900)
    found = {one.guest.vmid: one for one in bench.report().accounts}
    assert (found[5001].customer.id, found[5001].credit_percent) == ("ann", 10)
    assert (found[5002].customer.id, found[5002].guest.name, found[5002].credit_percent) == ("", "game-5002", 0)
    assert found[5002].verdict is Verdict.MISSED


def test_a_guest_that_only_the_directory_knows_is_listed_too() -> None:
    bench = open_bench()
    bench.directory.customers = [owner("ann", 5001, 5999)]
    assert bench.account(5999).guest.name == ""


def test_a_guest_that_is_gone_counts_until_it_was_found_deleted() -> None:
    bench = open_bench()
    plan = bench.submit("2")
    bench.datacentre.faults.meanwhile("exchange", lambda: bench.datacentre.delete_guest(5004), vmid=5001)
    bench.work(plan)
    bench.clock.advance(MINUTE)
    account = bench.account(5004)
    assert account.within.end == bench.entries(Kind.EVENT, "vanished", 5004)[0].at
    assert account.notes[1].startswith("found deleted 2026-11-23 04:")


def test_a_month_that_is_not_over_is_reckoned_up_to_now_and_says_so() -> None:
    bench = open_bench()
    report = bench.report()
    assert (report.within.end, report.is_over) == (bench.clock.now(), False)
    bench.clock.advance(timedelta(days=30))
    report = bench.report()
    assert (report.within, report.is_over) == (MONTH.span_in("UTC"), True)


def test_a_month_that_has_not_begun_is_refused_with_when_it_does() -> None:
    with pytest.raises(NotAllowed, match="2026-12 has not begun") as refused:
        open_bench().downtime_desk().report(Month(2026, 12))
    assert refused.value.until == datetime(2026, 12, 1, tzinfo=UTC)


def test_a_policy_that_promises_nothing_reckons_nothing() -> None:
    bench = open_bench()
    bench.policy = bench.policy.model_copy(update={"availability": None})
    with pytest.raises(NotAllowed, match=r"no \[availability\]"):
        bench.report()


def test_a_good_version_is_planned_for_guests_of_nobody_too() -> None:
    bench = DowntimeBench(make_promising_policy()).furnish(guests=4, second=good("2"))
    bench.directory.customers = []  # type: ignore[attr-defined]
    bench.run("2")
    assert bench.seconds(5001)[1] == 0 < bench.seconds(5001)[0]  # type: ignore[attr-defined]


# --- told by a person


def propose(bench: DowntimeBench, begin: timedelta, end: timedelta, told: timedelta = timedelta(0)) -> Announcement:
    now = bench.clock.now()
    return bench.downtime_desk().propose("router", now + begin, now + end, now + told, security=False)


def open_night(**more: object) -> DowntimeBench:
    """The router may be worked on at any time."""
    return open_bench(watch=ALL, windows=ALWAYS, **more)


def test_work_by_hand_that_was_told_in_time_is_planned_up_to_the_announced_end() -> None:
    bench = open_night()
    start = bench.clock.now()
    bench.downtime_desk().announce(propose(bench, 10 * MINUTE, 20 * MINUTE), "firmware; told by mail")
    bench.see(WATCH_BEGAN, points=["router"], seen=None)
    bench.clock.advance(HOUR)
    bench.see(Turn.OUTAGE_BEGAN, point="router", at=(start + 12 * MINUTE).isoformat())
    bench.see(Turn.OUTAGE_ENDED, point="router", at=(start + 25 * MINUTE).isoformat())
    assert bench.seconds(5001)[:2] == (8 * 60, 5 * 60)
    assert bench.entries(Kind.COMMAND, "downtime.announced")[0].data["author"] == "tester"


def test_what_was_told_long_before_may_be_recorded_shortly_before() -> None:
    assert propose(open_night(), MINUTE, HOUR, told=-HOUR).planned[0].length == 59 * MINUTE


@pytest.mark.parametrize(
    ("begin", "end", "told", "rule"),
    [
        (5 * MINUTE, HOUR, timedelta(0), "customers are told 6m before"),
        (10 * MINUTE, HOUR, MINUTE, "customers are told 6m before"),
        (-MINUTE, HOUR, -HOUR, "what has begun is unplanned"),
        (HOUR, HOUR, timedelta(0), "end after it begins"),
        (HOUR, 40 * HOUR, timedelta(0), "no window for edge is as long"),
    ],
)
def test_work_by_hand_that_keeps_no_promise_or_window_is_not_planned(
    begin: timedelta, end: timedelta, told: timedelta, rule: str
) -> None:
    with pytest.raises(NotAllowed, match=rule):
        propose(open_night(), begin, end, told)


def test_a_window_that_is_not_the_components_does_not_count() -> None:
    with pytest.raises(NotAllowed, match="outside every window for edge") as refused:
        propose(open_bench(watch=ALL), 2 * HOUR, 2 * HOUR + MINUTE)
    assert refused.value.until is not None


def test_only_what_is_watched_can_be_announced() -> None:
    with pytest.raises(NotAllowed, match=r"router is no point of \[availability.watch\]; there are: none"):
        propose(open_bench(), 10 * MINUTE, HOUR)
