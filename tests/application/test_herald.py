"""Customers are told of a rollout before, while and after it touches their guests; and it waits until they were."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.application.notice_bench import PROMISE, TellingBench, make_telling_policy, owner
from tests.application.rollout_bench import ALWAYS
from tests.datacentre import turns_unhealthy
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.errors import RoadError, TargetError, Unanswered
from zlh_hooks.domain.notice import OPERATOR, Customer
from zlh_hooks.domain.notice_book import BOUNCED, VOUCHED
from zlh_hooks.domain.steps import RolloutState, TargetEvent, TargetState

MINUTE = timedelta(minutes=1)


@pytest.fixture
def bench() -> TellingBench:
    return TellingBench().furnish(guests=4)


def told_at(bench: TellingBench, **wanted: str) -> datetime:
    """When the first such notice was sent."""
    found = (e for e in bench.ledger.read() if e.kind is Kind.INTENT and wanted.items() <= e.data.items())
    return next(found).at


def touched(bench: TellingBench) -> set[int]:
    """Guests whose root was written."""
    return {vmid for _, vmid in bench.executed("exchange") if vmid in range(5001, 5005)}


def began(bench: TellingBench, vmid: int) -> datetime:
    """When the guest was first touched."""
    return bench.entries(Kind.EVENT, TargetEvent.EXCHANGE_BEGAN, vmid)[0].at


def test_nobody_is_touched_before_the_promise_to_everybody_is_kept(bench: TellingBench) -> None:
    start = bench.clock.now()
    assert bench.run("2").state is RolloutState.SUCCEEDED
    assert min(began(bench, vmid) for vmid in (5001, 5002, 5003, 5004)) >= start + PROMISE
    assert began(bench, 5001) >= datetime(2026, 11, 23, 4, 10, tzinfo=UTC)


def test_each_customer_is_told_once_of_each_stage_and_never_of_the_others_servers(bench: TellingBench) -> None:
    bench.run("2")
    bench.herald.tend()
    for customer, guests in (("ann", [5001, 5003]), ("bob", [5002, 5004])):
        assert bench.mail.stages(f"{customer}@example.com") == [
            "announced",
            "reminder",
            "reminder",
            "started",
            "finished",
        ]
        told = [message for to, message in bench.mail.sent if to == f"{customer}@example.com"]
        assert all([guest["vmid"] for guest in message.facts["guests"]] == guests for message in told)
    assert len({message.id for _, message in bench.mail.sent}) == len(bench.mail.sent)


def test_guests_without_an_owner_go_to_the_operator_by_name_and_wait_for_no_promise() -> None:
    bench = TellingBench(make_telling_policy(ALWAYS)).furnish(guests=4)
    bench.directory.customers.clear()
    start = bench.clock.now()
    progress = bench.run("2")
    assert began(bench, 5001) < start + PROMISE
    to, message = bench.mail.sent[0]
    assert to == "ops@example.com"
    assert all(row.target.name in message.text for row in progress.targets)
    assert message.facts["customer"] == OPERATOR


def test_a_customer_whose_server_refuses_the_mail_keeps_the_change_from_starting(bench: TellingBench) -> None:
    bench.mail.answers.append(TargetError("550 no such user"))
    bench.later(20 * MINUTE, bench.order("abort", "nobody tells ann"))
    progress = bench.run("2")
    assert progress.state is RolloutState.ABORTED
    assert touched(bench) == set()
    stages = [str(entry.data["text"]) for entry in bench.entries(Kind.NOTE, "stage")]
    assert "waiting: customer ann has no delivered notice" in stages


def test_a_person_who_vouches_for_a_customer_lets_the_change_go_on(bench: TellingBench) -> None:
    bench.mail.answers.append(TargetError("550 no such user"))
    plan = bench.submit("2")
    vouch = Draft(Kind.COMMAND, VOUCHED, plan.id, None, {"customer": "ann", "author": "tester"})
    bench.later(13 * MINUTE, lambda: bench.ledger.append(vouch))
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert began(bench, 5001) >= bench.entries(Kind.COMMAND, VOUCHED)[0].at


def test_a_road_that_is_broken_for_a_while_is_tried_again_after_the_policys_pause(bench: TellingBench) -> None:
    bench.mail.answers += [RoadError("421 busy"), RoadError("421 busy")]
    assert bench.run("2").state is RolloutState.SUCCEEDED
    assert bench.mail.stages("ann@example.com").count("announced") == 1
    attempts = [e.at for e in bench.ledger.read() if e.kind is Kind.INTENT and "announced" in e.name]
    assert attempts[2] - attempts[0] >= 2 * MINUTE


def test_when_every_attempt_has_failed_it_is_left_alone(bench: TellingBench) -> None:
    bench.directory.customers = [owner("ann", 5001, 5002, 5003, 5004)]
    bench.mail.answers += [RoadError("421 busy")] * 3
    bench.later(20 * MINUTE, bench.order("abort"))
    bench.run("2")
    attempts = [e for e in bench.ledger.read() if e.kind is Kind.INTENT and "-0-announced" in e.name]
    assert len(attempts) == 3


def test_a_mail_that_bounces_takes_the_promise_back_until_a_better_address_is_known(bench: TellingBench) -> None:
    plan = bench.submit("2")
    bounce = Draft(Kind.COMMAND, BOUNCED, plan.id, None, {"address": "ann@example.com", "reason": "mailbox full"})
    bench.later(4 * MINUTE, lambda: bench.ledger.append(bounce))
    bench.later(13 * MINUTE, lambda: bench.directory.customers.append(owner("ann", 5001, 5003, mail="new@x.example")))
    bench.later(12 * MINUTE, lambda: bench.directory.customers.pop(0))
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert began(bench, 5001) >= told_at(bench, address="new@x.example") + PROMISE


def test_a_notice_whose_answer_was_lost_is_not_sent_again_and_counts_for_nothing(bench: TellingBench) -> None:
    bench.mail.answers.append(Unanswered("connection reset"))
    bench.later(20 * MINUTE, bench.order("abort"))
    bench.run("2")
    announced = [e for e in bench.ledger.read() if e.kind is Kind.INTENT and "-0-announced" in e.name]
    assert [entry.data["customer"] for entry in announced] == ["ann", "bob"]
    assert touched(bench) == set()


def test_a_guest_that_changes_hands_waits_alone_for_its_new_owners_promise(bench: TellingBench) -> None:
    def sell() -> None:
        bench.directory.customers[:] = [owner("ann", 5001), owner("bob", 5002, 5004), owner("eve", 5003)]

    bench.later(9 * MINUTE, sell)
    assert bench.run("2").state is RolloutState.SUCCEEDED
    told = told_at(bench, customer="eve")
    assert began(bench, 5003) >= told + PROMISE
    assert max(began(bench, vmid) for vmid in (5001, 5002, 5004)) < told + PROMISE
    assert bench.mail.stages("eve@example.com")[0] == "announced"


def test_a_customer_who_drops_out_of_the_directory_is_still_owed_the_promise(bench: TellingBench) -> None:
    bench.mail.answers.append(TargetError("550 no such user"))
    bench.later(8 * MINUTE, lambda: bench.directory.customers.pop(0))
    bench.later(20 * MINUTE, bench.order("abort"))
    bench.run("2")
    assert touched(bench) == set()


def test_when_the_window_closes_before_their_turn_the_rest_is_told_a_new_date(bench: TellingBench) -> None:
    bench.later(9 * MINUTE, bench.order("pause", "lunch"))
    bench.answers.append(lambda: bench.later(15 * MINUTE, bench.order("resume")))
    assert bench.run("2").state is RolloutState.SUCCEEDED
    assert "moved" in bench.mail.stages("ann@example.com")
    moved = next(message for _, message in bench.mail.sent if message.facts["stage"] == "moved")
    assert moved.event is not None
    assert moved.event.sequence == 1
    assert began(bench, 5001) >= datetime.fromisoformat(moved.facts["start"])


def test_a_rollout_that_ends_before_their_turn_is_told_as_cancelled(bench: TellingBench) -> None:
    bench.later(5 * MINUTE, bench.order("abort", "changed my mind"))
    bench.run("2")
    bench.herald.tend()
    assert bench.mail.stages("ann@example.com") == ["announced", "cancelled"]
    assert bench.mail.sent[-1][1].event is not None
    assert bench.mail.sent[-1][1].event.cancelled


def test_nobody_is_told_of_a_version_that_fails_its_smoke_test() -> None:
    bench = TellingBench().furnish(guests=4, second=turns_unhealthy("2", after=1.0))
    assert bench.run("2").state is RolloutState.REVERTED
    bench.herald.tend()
    assert bench.mail.sent == []


def test_a_version_that_goes_back_is_told_as_taken_back(bench: TellingBench) -> None:
    bench.run("3")
    bench.herald.tend()
    finished = [message for _, message in bench.mail.sent if message.facts["stage"] == "finished"]
    assert [message.facts["outcome"] for message in finished] == ["taken back"]
    assert bench.mail.stages("bob@example.com")[-1] == "cancelled"


def test_a_clock_that_is_set_forward_pauses_until_a_person_has_looked(bench: TellingBench) -> None:
    bench.later(5 * MINUTE, lambda: bench.clock.set_by(timedelta(days=2)))
    bench.answers.append(bench.order("abort", "the clock is wrong"))
    progress = bench.run("2")
    assert "the clock was set by" in bench.pauses[0]
    assert touched(bench) == set()
    assert progress.count(TargetState.SKIPPED) == 4


def test_while_the_directory_cannot_be_read_nobody_is_touched_and_it_says_why(bench: TellingBench) -> None:
    bench.directory.broken = True
    bench.later(11 * MINUTE, lambda: setattr(bench.directory, "broken", False))
    assert bench.run("2").state is RolloutState.SUCCEEDED
    stages = [str(entry.data["text"]) for entry in bench.entries(Kind.NOTE, "stage")]
    assert any("the customer directory cannot be read: no answer" in text for text in stages)


def test_what_the_public_sees_names_no_customer_and_follows_the_change(bench: TellingBench) -> None:
    seen: list[str] = []
    bench.clock.on_sleep.append(lambda _: seen.extend(one.state for one in bench.feed.shown))
    bench.run("2")
    bench.herald.tend()
    assert list(dict.fromkeys([*seen, *(one.state for one in bench.feed.shown)])) == [
        "scheduled",
        "in_progress",
        "completed",
    ]
    assert bench.feed.writes < 10
    assert not any("ann" in str(one).lower() for one in bench.feed.shown)


def test_a_webhooks_secret_path_comes_into_no_entry(bench: TellingBench) -> None:
    bench.directory.customers = [
        Customer("ann", "Ann", frozenset({5001, 5002, 5003, 5004}), webhook="https://h.example/s3cret")
    ]
    bench.run("2")
    assert bench.hook.sent[0][0] == "https://h.example/s3cret"
    assert told_at(bench, address="https://h.example/…")
    assert not any("s3cret" in str(entry.data) for entry in bench.ledger.read())
    assert "s3cret" not in str(bench.directory.customers)
