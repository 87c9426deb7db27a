"""An open emergency passes over windows and promises and nothing else; its customers are told at once."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from tests.application.notice_bench import PROMISE, TellingBench, make_telling_policy, owner
from tests.application.rollout_bench import ALWAYS, Bench, make_policy
from tests.datacentre import turns_unhealthy
from tests.datacentre.fault import Crash
from zlh_hooks.application.gate import HEARING
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import NotAllowed, RoadError, TargetError
from zlh_hooks.domain.plan import CANARY
from zlh_hooks.domain.progress import RESTART
from zlh_hooks.domain.steps import RolloutState, TargetEvent, TargetState

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SOON = timedelta(seconds=5)
EVENING = ({"name": "evening", "rule": "FREQ=DAILY", "start": "06:00", "length_minutes": 120},)
GUESTS = (5001, 5002, 5003, 5004)


def began(bench: Bench, vmid: int) -> datetime:
    return bench.entries(Kind.EVENT, TargetEvent.EXCHANGE_BEGAN, vmid)[0].at


def all_begun(bench: Bench, guests: Sequence[int] = GUESTS) -> list[datetime]:
    return [began(bench, vmid) for vmid in guests]


def open_bench(**rollout: object) -> TellingBench:
    """Four guests of two customers; the next window is two hours away."""
    return TellingBench(make_telling_policy(EVENING, **rollout)).furnish(guests=4)  # type: ignore[return-value]


# --- the gate


def test_without_one_a_rollout_waits_for_its_window() -> None:
    bench = Bench(make_policy(EVENING)).furnish(4)
    start = bench.clock.now()
    bench.run("2")
    assert min(all_begun(bench)) >= start + 2 * HOUR


def test_under_one_guests_begin_outside_every_window_and_in_a_freeze() -> None:
    bench = Bench(make_policy(EVENING)).furnish(4)
    day = bench.clock.now().date()
    freeze = {"name": "fair", "first": day.isoformat(), "last": day.isoformat(), "stops": "all"}
    data = bench.policy.model_dump(mode="json", exclude_none=True) | {"freezes": [freeze]}
    bench.policy = type(bench.policy).model_validate(data)
    start, emergency = bench.clock.now(), bench.declare(HOUR)
    assert bench.work(bench.submit("2", emergency=emergency)).state is RolloutState.SUCCEEDED
    assert max(all_begun(bench)) < start + HOUR


def test_it_is_declared_while_a_rollout_waits_and_that_one_goes_on_at_once() -> None:
    bench = open_bench()
    bench.later(20 * MINUTE, bench.declare)
    start = bench.clock.now()
    assert bench.run("2").state is RolloutState.SUCCEEDED
    assert start + 20 * MINUTE <= min(all_begun(bench)) <= start + 21 * MINUTE


def test_a_bad_version_goes_back_under_it_as_it_always_does() -> None:
    bench = open_bench()
    plan = bench.submit("3", emergency=bench.declare())
    assert bench.work(plan).state is RolloutState.REVERTED
    assert {bench.runs(vmid) for vmid in GUESTS} == {"1"}
    assert bench.revoked() == ["3"]
    assert len(bench.entries(Kind.EVENT, TargetEvent.EXCHANGE_BEGAN)) == 1, "the canary alone"
    bench.assert_clean(plan)


def test_a_version_that_fails_its_smoke_test_reaches_nobody_under_it() -> None:
    bench = TellingBench(make_telling_policy(EVENING)).furnish(4, second=turns_unhealthy("2", after=1.0))
    bench.declare()
    assert bench.run("2").state is RolloutState.REVERTED
    assert bench.entries(Kind.EVENT, TargetEvent.EXCHANGE_BEGAN) == []


def test_a_pause_is_obeyed_under_it() -> None:
    bench = open_bench()
    bench.declare()
    bench.datacentre.faults.meanwhile("exchange", bench.order("pause"), vmid=5001)
    bench.answers.append(lambda: bench.later(20 * MINUTE, bench.order("resume")))
    bench.run("2")
    first, second = sorted(all_begun(bench))[:2]
    assert second - first >= 20 * MINUTE


@pytest.mark.parametrize("is_ended", [True, False], ids=["ended", "expired"])
def test_guests_that_are_not_begun_when_it_is_over_wait_for_window_and_promise_again(is_ended: bool) -> None:
    bench = open_bench()
    bench.declare(HOUR if is_ended else timedelta(seconds=70))
    if is_ended:
        bench.datacentre.faults.meanwhile("exchange", lambda: bench.emergency_desk().end(None, "enough"), vmid=5001)
    else:
        bench.datacentre.faults.meanwhile("exchange", lambda: bench.clock.advance(MINUTE), vmid=5001)
    start = bench.clock.now()
    assert bench.run("2").state is RolloutState.SUCCEEDED
    early = [vmid for vmid in GUESTS if began(bench, vmid) < start + HOUR]
    late = [vmid for vmid in GUESTS if began(bench, vmid) >= start + 2 * HOUR]
    assert len(early) >= 1 and len(early) + len(late) == 4 and late
    moved = [m for _, m in bench.mail.sent if m.facts["stage"] == "moved" or m.facts["round"] > 1]
    assert all(began(bench, vmid) >= datetime.fromisoformat(moved[-1].facts["start"]) for vmid in late)
    assert bench.mail.stages("ann@example.com").count("finished") <= 2


def test_no_promise_counts_as_kept_that_was_only_an_emergencys() -> None:
    """The emergency's end comes while a window is open: that one alone lets nobody begin."""
    bench = TellingBench(make_telling_policy(ALWAYS)).furnish(guests=4)
    bench.declare(HOUR)
    bench.datacentre.faults.meanwhile("exchange", lambda: bench.emergency_desk().end(None, "enough"), vmid=5001)
    bench.run("2")
    ended = bench.entries(Kind.COMMAND, "emergency.ended")[0].at
    later = [at for at in all_begun(bench) if at > ended]
    assert later and min(later) >= ended + PROMISE


def test_a_guest_that_a_dead_worker_left_half_way_when_it_ended_goes_on_in_the_next_window() -> None:
    bench = TellingBench(make_telling_policy(ALWAYS)).furnish(guests=4)
    bench.declare(HOUR)
    bench.datacentre.faults.die_after("exchange", vmid=5001)
    plan = bench.submit("2")
    with pytest.raises(Crash):
        bench.work(plan)
    bench.datacentre.faults.restart()
    bench.herald = bench.open_herald()  # type: ignore[attr-defined]
    bench.emergency_desk().end(None, "enough")
    resumed = bench.clock.now()
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert bench.entries(Kind.EVENT, TargetEvent.PROVED, 5001)[0].at < resumed + PROMISE
    assert min(all_begun(bench, GUESTS[1:])) >= resumed + PROMISE


# --- canary


def test_without_a_canary_the_plan_has_none_and_nobody_waits_for_a_first_guests_proof() -> None:
    bench = Bench(make_policy(EVENING, max_parallel=4, max_parallel_per_node=2, waves=["100%"])).furnish(4)
    plan = bench.submit("2", emergency=bench.declare(HOUR, "every one of them is attacked now"))
    assert CANARY not in {target.wave for target in plan.targets}
    assert (plan.without_canary, len(plan.waves)) == (True, 1)
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    proved = min(entry.at for entry in bench.entries(Kind.EVENT, TargetEvent.PROVED))
    assert sum(at < proved for at in all_begun(bench)) > 1


def test_with_a_canary_a_plan_is_as_any_other() -> None:
    bench = Bench(make_policy(EVENING)).furnish(4)
    plan = bench.submit("2", emergency=bench.declare())
    assert plan.waves[0][0].wave == CANARY
    assert (plan.emergency, plan.without_canary) == (bench.emergency_desk().list_accounts()[0].emergency.id, False)


def test_once_it_is_over_a_plan_without_a_canary_has_a_first_guest_proved_before_the_others() -> None:
    bench = Bench(make_policy(EVENING, max_parallel=4, max_parallel_per_node=2, waves=["100%"])).furnish(4)
    plan = bench.submit("2", emergency=bench.declare(HOUR, "every one of them is attacked now"))
    bench.datacentre.faults.meanwhile("move_volume", lambda: bench.emergency_desk().end(None, "not needed"), 1)
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    proved = min(entry.at for entry in bench.entries(Kind.EVENT, TargetEvent.PROVED))
    assert sum(at < proved for at in all_begun(bench)) == 1


def test_it_expires_while_several_wait_at_once_and_still_one_goes_first() -> None:
    probes = [{"kind": "agent"}, {"kind": "minecraft"}]
    rules = {"max_parallel": 4, "waves": ["100%"], "wait_until_empty": "20m"}
    morning = EVENING[0] | {"start": "04:45"}
    bench = Bench(make_policy((morning,), line={"probes": probes}, **rules)).furnish(4)
    for vmid in GUESTS:
        bench.datacentre.set_players(vmid, 3)
    plan = bench.submit("2", emergency=bench.declare(10 * MINUTE, "every one of them is attacked now"))
    start = bench.clock.now()
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    proved = min(entry.at for entry in bench.entries(Kind.EVENT, TargetEvent.PROVED))
    restarted = [bench.entries(Kind.REQUESTED, RESTART, vmid)[0].at for vmid in GUESTS]
    assert min(restarted) >= start + 45 * MINUTE
    assert sum(at < proved for at in restarted) == 1
    over = [bench.entries(Kind.EVENT, TargetEvent.WITHDRAWN, vmid)[0].at for vmid in GUESTS]
    assert max(over) <= start + 11 * MINUTE  # until it expired each might have been begun, and its root was pending


# --- customers


def test_customers_are_told_at_once_why_and_that_the_date_cannot_be_moved() -> None:
    bench = open_bench()
    emergency = bench.declare()
    plan = bench.submit("2", emergency=emergency)
    bench.work(plan)
    bench.herald.tend()
    for customer in ("ann", "bob"):
        stages = bench.mail.stages(f"{customer}@example.com")
        assert stages == ["announced", "started", "finished"]
    first = bench.mail.sent[0][1]
    assert first.subject.startswith(f"[{plan.id}] Emergency maintenance now")
    assert "Why now: a hole is being used" in first.text
    assert "the date cannot be moved" in first.text
    assert "Your data stays as it is" in first.text
    assert first.facts["emergency"] == emergency.id
    assert datetime.fromisoformat(first.facts["end"]) == emergency.until
    announced = [e.at for e in bench.entries(Kind.EVENT, TargetEvent.EXCHANGE_BEGAN)]
    assert bench.entries(Kind.EVIDENCE, "round")[0].at <= min(announced)


def test_who_was_told_of_another_date_reads_that_it_is_moved_to_now() -> None:
    bench = open_bench()
    bench.later(20 * MINUTE, bench.declare)
    bench.run("2")
    bench.herald.tend()
    stages = bench.mail.stages("ann@example.com")
    assert stages[0] == "announced" and stages[-3:] == ["moved", "started", "finished"]
    moved = next(m for _, m in bench.mail.sent if m.facts["stage"] == "moved")
    assert "takes the place of the date that we told you of" in moved.text
    assert moved.event is not None and moved.event.sequence == 1


def test_everybody_reads_of_it_on_the_public_page() -> None:
    bench = open_bench()
    bench.declare()
    bench.run("2")
    (shown,) = bench.feed.shown
    assert shown.event.summary == "Emergency maintenance: game-base 2"
    assert "a hole is being used" in shown.event.description


def test_in_a_window_that_was_announced_an_emergency_changes_nothing_for_its_customers() -> None:
    bench = TellingBench().furnish(guests=4)
    start = bench.clock.now()
    bench.datacentre.faults.meanwhile("exchange", bench.declare, vmid=5001)
    bench.run("2")
    bench.herald.tend()
    assert {message.facts["emergency"] for _, message in bench.mail.sent} == {None}
    assert max(all_begun(bench)) < start + 15 * MINUTE


def test_after_its_end_the_round_is_planned_with_the_whole_promise_again() -> None:
    bench = open_bench()
    bench.declare()
    bench.datacentre.faults.meanwhile("exchange", lambda: bench.emergency_desk().end(None, "enough"), vmid=5001)
    bench.run("2")
    rounds = [entry.data for entry in bench.entries(Kind.EVIDENCE, "round")]
    assert rounds[0]["lead_seconds"] == 0 and rounds[0]["emergency"]
    latest = max(rounds, key=lambda data: data["number"])
    assert latest["lead_seconds"] == PROMISE.total_seconds() and not latest["emergency"]


def test_a_mail_server_that_is_down_holds_nothing_up_for_long_and_the_debt_is_shown_until_it_is_paid() -> None:
    bench = open_bench()
    bench.mail.answers += [RoadError("connection refused")] * 2
    bench.declare()
    bench.run("2")
    first = bench.entries(Kind.EVIDENCE, "round")[0].at
    assert min(all_begun(bench)) <= first + HEARING + SOON
    bench.clock.sleep(10 * MINUTE)
    (account,) = bench.emergency_desk().list_accounts()
    assert [debt.kind for debt in account.debts] == ["review"]


def test_a_customer_whom_nothing_reaches_stays_a_debt_until_a_person_vouches() -> None:
    bench = open_bench()
    bench.mail.answers += [TargetError("550 no such user")]
    send = bench.mail.send_notice

    def refuse(address: str, message: object) -> str:
        if address == "ann@example.com":
            raise TargetError("550 no such user")
        return send(address, message)  # type: ignore[arg-type]

    bench.mail.answers.clear()
    bench.mail.send_notice = refuse  # type: ignore[method-assign]
    bench.declare()
    plan = bench.submit("2")
    bench.work(plan)
    bench.herald.tend()
    (account,) = bench.emergency_desk().list_accounts()
    owed = [debt.what for debt in account.debts if debt.kind == "notice"]
    assert owed == [f"customer ann was not told of {plan.id}"]
    bench.notice_desk().vouch(plan, "ann", "rang her up")
    assert [debt.kind for debt in bench.emergency_desk().list_accounts()[0].debts] == ["review"]


def test_while_the_directory_cannot_be_read_guests_go_on_and_their_owners_are_told_afterwards() -> None:
    bench = open_bench()
    bench.directory.broken = True
    bench.declare()
    plan = bench.submit("2")
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    owed = [debt.what for debt in bench.emergency_desk().list_accounts()[0].debts if debt.kind == "notice"]
    assert len(owed) == 4 and all("not known yet" in what for what in owed)
    bench.directory.broken = False
    bench.herald.tend()
    assert bench.mail.stages("ann@example.com") == ["started", "finished"]
    assert "Why now: a hole is being used" in bench.mail.sent[0][1].text
    assert [debt.kind for debt in bench.emergency_desk().list_accounts()[0].debts] == ["review"]


def test_a_customer_without_any_address_holds_nothing_up_for_long() -> None:
    bench = open_bench()
    bench.directory.customers[0] = type(owner("ann"))("ann", "Ann", frozenset({5001, 5003}))
    bench.declare()
    progress = bench.run("2")
    assert progress.count(TargetState.HEALTHY) == 4


# --- the desk


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        ({"reason": " \n"}, "the reason is empty"),
        ({"reference": ""}, "the reference is empty"),
        ({"without_canary": " "}, "the second reason"),
        ({"length": 5 * HOUR}, "the policy allows up to 4h"),
        ({"length": timedelta(0)}, "the policy allows up to 4h"),
    ],
)
def test_a_declaration_that_says_too_little_or_asks_too_much_is_refused(words: dict[str, object], refusal: str) -> None:
    desk = Bench().emergency_desk()
    wanted = {"component": "template", "reason": "a hole", "reference": "CVE"} | words
    with pytest.raises(NotAllowed, match=refusal):
        desk.propose(**wanted)  # type: ignore[arg-type]


def test_a_second_one_for_the_same_component_is_refused_while_the_first_is_open() -> None:
    bench = Bench()
    first = bench.declare(HOUR)
    with pytest.raises(NotAllowed, match=f"emergency {first.id} is open"):
        bench.declare()
    bench.clock.sleep(HOUR)
    bench.declare()
    assert [one.state for one in bench.emergency_desk().list_accounts()] == ["expired", "open"]


def test_a_policy_without_emergencies_says_so() -> None:
    bench = Bench()
    bench.policy = bench.policy.model_copy(update={"emergency": None})
    with pytest.raises(NotAllowed, match=r"no \[emergency\]"):
        bench.declare()


def test_one_that_is_open_cannot_be_reviewed_and_one_that_was_cannot_be_again() -> None:
    bench = Bench()
    desk, known = bench.emergency_desk(), bench.declare()
    with pytest.raises(NotAllowed, match="still open"):
        desk.review(known.id, "we patch sooner")
    assert desk.end(None, "done").id == known.id
    with pytest.raises(NotAllowed, match="not open any more: it is ended"):
        desk.end(known.id, "done")
    desk.review(known.id, "we patch sooner")
    with pytest.raises(NotAllowed, match="reviewed by tester already"):
        desk.review(known.id, "again")
    assert {entry.data["author"] for entry in bench.ledger.read("")} == {"tester"}


def test_a_rollout_that_is_to_be_one_needs_an_open_one() -> None:
    with pytest.raises(NotAllowed, match="no emergency is open for template"):
        Bench().emergency_desk().require_open(Bench().declare().component)
