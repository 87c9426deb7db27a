"""A change that is taken back after its end: whoever was touched reads it once, and nobody else hears of it."""

from datetime import datetime, timedelta

import pytest

from tests.application.notice_bench import TellingBench, make_telling_policy, owner
from tests.application.test_revert import break_old_root
from tests.datacentre import Crash, good, turns_unhealthy
from zlh_hooks.domain.notice import Message
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.steps import RolloutState, TargetState

HALF = timedelta(minutes=30)
ANN, BOB = "ann@example.com", "bob@example.com"


def roll_out(bench: TellingBench) -> Plan:
    """To its end, of which everybody is told; the announced window is over then."""
    plan = bench.submit("2")
    bench.work(plan)
    bench.clock.sleep(HALF)
    bench.mail.sent.clear()
    return plan


def take_back(bench: TellingBench, plan: Plan) -> RolloutState:
    bench.order("revert", "customers complain of lag")()
    state = bench.work(plan).state
    bench.herald.tend()
    return state


def read_last(bench: TellingBench, address: str) -> Message:
    return [message for to, message in bench.mail.sent if to == address][-1]


@pytest.fixture
def bench() -> TellingBench:
    return TellingBench().furnish(guests=4)  # type: ignore[return-value]


def test_whoever_was_told_of_the_end_reads_once_that_it_was_taken_back_and_of_no_overrun(bench: TellingBench) -> None:
    plan = roll_out(bench)
    before = bench.clock.now()
    assert take_back(bench, plan) is RolloutState.REVERTED
    for address in (ANN, BOB):
        assert bench.mail.stages(address) == ["taken_back"]
        message = read_last(bench, address)
        back = {key: datetime.fromisoformat(at) for key, at in message.facts["taken_back"].items()}
        assert before <= back["start"] < back["end"] <= bench.clock.now()
        assert "was taken back" in message.subject
        for fact in ("Taken back: ", "once more about", "unplanned downtime", "the version from before again"):
            assert fact in message.text
        assert "lag" not in message.text
    bench.open_herald().tend()
    bench.clock.sleep(HALF)
    assert len(bench.mail.sent) == 2


def test_calendar_and_feed_keep_the_event_and_say_that_it_was_taken_back(bench: TellingBench) -> None:
    plan = roll_out(bench)
    (shown,) = bench.feed.shown
    seen: list[str] = [shown.state]
    bench.clock.on_sleep.append(lambda _: seen.extend(one.state for one in bench.feed.shown))
    take_back(bench, plan)
    (back,) = bench.feed.shown
    assert list(dict.fromkeys([*seen, back.state])) == ["completed", "in_progress", "taken_back"]
    event = read_last(bench, ANN).event
    assert event is not None
    for one in (event, back.event):
        assert (one.uid, one.sequence) == (shown.event.uid, shown.event.sequence + 1)
        assert (one.start, one.end, one.cancelled) == (shown.event.start, shown.event.end, False)
        assert "taken back" in one.summary and "Taken back on" in one.description


def test_whoever_was_never_touched_hears_nothing_of_the_way_back(bench: TellingBench) -> None:
    bench.datacentre.faults.meanwhile("reboot", bench.order("abort", "enough"), vmid=5001)
    plan = roll_out(bench)
    assert bench.progress(plan).of(5001).state is TargetState.HEALTHY
    take_back(bench, plan)
    assert bench.mail.stages(ANN) == ["taken_back"]
    assert bench.mail.stages(BOB) == []
    assert [guest["vmid"] for guest in read_last(bench, ANN).facts["guests"]] == [5001]


def test_a_worker_that_dies_over_the_notice_is_succeeded_by_one_that_does_not_tell_it_again(
    bench: TellingBench,
) -> None:
    plan = roll_out(bench)

    def die() -> str:
        raise Crash

    bench.mail.answers.append(die)
    with pytest.raises(Crash):
        take_back(bench, plan)
    bench.herald = bench.open_herald()
    bench.work(plan)
    bench.clock.sleep(HALF)
    assert sorted(to for to, _ in bench.mail.sent) == [ANN, BOB]


def test_a_worker_that_dies_in_the_middle_of_the_way_back_is_succeeded_by_one_that_tells_of_all_of_it(
    bench: TellingBench,
) -> None:
    plan = roll_out(bench)
    bench.order("revert")()
    bench.datacentre.faults.die_after("reboot", vmid=5003)
    with pytest.raises(Crash):
        bench.work(plan)
    bench.datacentre.faults.restart()
    bench.clock.sleep(HALF)
    bench.herald = bench.open_herald()
    assert bench.work(plan).state is RolloutState.REVERTED
    bench.herald.tend()
    assert bench.mail.stages() == ["taken_back"] * 2
    assert [guest["vmid"] for guest in read_last(bench, ANN).facts["guests"]] == [5001, 5003]


def test_a_server_that_cannot_be_proved_on_its_way_back_is_told_as_that_and_again_when_it_is_back(
    bench: TellingBench,
) -> None:
    plan = roll_out(bench)
    bench.datacentre.faults.meanwhile("reboot", break_old_root(bench, 5001), vmid=5001)
    assert take_back(bench, plan) is RolloutState.STUCK
    assert (read_last(bench, ANN).facts["outcome"], bench.mail.stages(BOB)) == ("undecided", ["taken_back"])
    assert "will write again" in read_last(bench, ANN).text and read_last(bench, ANN).event is None
    container = bench.datacentre.containers[5001]
    volume = bench.datacentre.volume(container.node, container.config.rootfs.volume)
    assert volume is not None
    volume.behaviour = good("1")
    assert take_back(bench, plan) is RolloutState.REVERTED
    assert [m.facts["outcome"] for to, m in bench.mail.sent if to == ANN] == ["undecided", "taken back"]
    assert bench.mail.stages(BOB) == ["taken_back"]


def test_a_customer_who_was_done_before_the_version_failed_on_others_reads_that_it_was_taken_back() -> None:
    bench = TellingBench(make_telling_policy(max_failures=0)).furnish(guests=4)
    assert isinstance(bench, TellingBench)
    bench.directory.customers[:] = [owner("ann", 5001), owner("bob", 5002, 5003, 5004)]
    bench.spoil(5004, behaviour=turns_unhealthy("2"))
    assert bench.run("2").state is RolloutState.REVERTED
    bench.herald.tend()
    assert bench.mail.stages(ANN)[-2:] == ["finished", "taken_back"]
    assert bench.mail.stages(BOB)[-1:] == ["finished"]
    assert read_last(bench, BOB).facts["outcome"] == "taken back"


def test_a_server_that_is_off_when_the_rollout_ends_never_overruns_afterwards_nor_when_it_goes_back(
    bench: TellingBench,
) -> None:
    bench.datacentre.faults.meanwhile("exchange", lambda: bench.datacentre.power_off(5001), vmid=5001)
    plan = bench.submit("2")
    assert bench.work(plan).of(5001).state is TargetState.PROVING
    bench.clock.sleep(HALF)
    assert bench.mail.stages(ANN)[-1] == "finished" and "overrun" not in bench.mail.stages()
    take_back(bench, plan)
    assert bench.mail.stages(ANN)[-1] == "taken_back" and "overrun" not in bench.mail.stages()
