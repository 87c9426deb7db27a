"""A deferred guest comes at its own date, told in time; the others go on, and nobody is deferred beyond the cap."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.application.notice_bench import LINKS, PROMISE, TellingBench, make_telling_policy, owner, wish
from tests.application.test_promise import WorkerDied
from tests.datacentre import turns_unhealthy
from zlh_hooks.application.deferral_desk import Request
from zlh_hooks.domain.deferral import TAKEN
from zlh_hooks.domain.entry import Draft, Entry, Kind
from zlh_hooks.domain.errors import NotAllowed, RoadError
from zlh_hooks.domain.guest import GuestSummary
from zlh_hooks.domain.notice_book import ROUND
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.steps import RolloutState, TargetEvent, TargetState

MINUTE = timedelta(minutes=1)
GUESTS = (5001, 5002, 5003, 5004)


@pytest.fixture
def bench() -> TellingBench:
    return TellingBench().furnish(guests=4)


def at(clock: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-23T{clock}:00+00:00")


def began(bench: TellingBench, vmid: int) -> datetime:
    return bench.entries(Kind.EVENT, TargetEvent.EXCHANGE_BEGAN, vmid)[0].at


def promoted(bench: TellingBench) -> datetime:
    return bench.entries(Kind.EVIDENCE, "promoted")[0].at


def find_link(bench: TellingBench, address: str) -> str:
    """The link of the latest mail that has one."""
    texts = [message.text for to, message in bench.mail.sent if to == address]
    found = [match[0] for text in texts if (match := re.search(r"https://portal.example/date\?token=\S+", text))]
    return found[-1]


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(NotAllowed) as caught:
        act()
    return str(caught.value)


def ask(bench: TellingBench, vmid: int) -> object:
    desk = bench.deferral_desk()
    return desk.offer(desk.ask(vmid))


def follow(bench: TellingBench, link: str, clock: str, vmid: int | None = None) -> None:
    """Somebody clicks on it and chooses that date."""
    desk = bench.deferral_desk()
    desk.take(desk.verify(link, vmid), wish(bench, clock))


# --- the date is kept


def test_a_deferred_guest_begins_at_its_date_and_the_others_at_theirs(bench: TellingBench) -> None:
    bench.later(3 * MINUTE, lambda: bench.defer(5003, "04:40"))
    assert bench.run("2").state is RolloutState.SUCCEEDED
    assert at("04:40") <= began(bench, 5003) < at("04:48")
    assert max(began(bench, vmid) for vmid in (5001, 5002, 5004)) < at("04:18")
    assert [bench.runs(vmid) for vmid in GUESTS] == ["2"] * 4


def test_new_guests_get_the_version_without_waiting_for_a_deferred_one(bench: TellingBench) -> None:
    bench.later(3 * MINUTE, lambda: bench.defer(5003, "04:40"))
    plan = bench.submit("2")
    stable: list[list[str]] = []
    bench.later(20 * MINUTE, lambda: stable.append(bench.stable()))
    bench.work(plan)
    assert stable == [["2"]]
    assert promoted(bench) < at("04:18")
    bench.assert_clean(plan)


def test_the_last_guest_of_all_that_is_deferred_while_it_waits_at_the_gate_does_not_hold_up_the_promotion() -> None:
    bench = TellingBench().furnish(guests=2)
    bench.datacentre.faults.meanwhile("exchange", bench.order("pause", "lunch"), vmid=5001)
    bench.answers.append(lambda: bench.later(9 * MINUTE, bench.order("resume")))
    bench.later(22 * MINUTE, lambda: bench.defer(5002, "04:40"))
    assert bench.run("2").state is RolloutState.SUCCEEDED
    assert began(bench, 5001) < at("04:18")
    assert at("04:22") <= promoted(bench) < at("04:23")
    assert began(bench, 5002) >= at("04:40")


def test_the_promise_is_kept_for_the_new_date_and_the_move_is_told_once(bench: TellingBench) -> None:
    bench.later(3 * MINUTE, lambda: bench.defer(5003, "04:25"))
    bench.run("2")
    bench.herald.tend()
    moved = [(to, m) for to, m in bench.mail.sent if m.facts["stage"] == "moved"]
    ((to, message),) = moved
    assert to == "ann@example.com"
    assert [guest["vmid"] for guest in message.facts["guests"]] == [5003]
    assert datetime.fromisoformat(message.facts["start"]) == at("04:25")
    (told,) = [e.at for e in bench.entries(Kind.DONE, _delivery(bench, "moved"))]
    assert began(bench, 5003) >= told + PROMISE
    assert len({m.id for _, m in bench.mail.sent}) == len(bench.mail.sent)


def _delivery(bench: TellingBench, stage: str) -> str:
    (name,) = {entry.name for entry in bench.ledger.read() if entry.data.get("stage") == stage}
    return name


def test_of_two_guests_the_one_that_stays_keeps_its_event_and_the_other_gets_its_own(bench: TellingBench) -> None:
    bench.later(3 * MINUTE, lambda: bench.defer(5003, "04:25"))
    bench.run("2")
    events = [m.event for to, m in bench.mail.sent if to == "ann@example.com" and m.event is not None]
    first, second = events
    assert (first.sequence, second.sequence) == (0, 1)
    assert first.uid != second.uid


def test_whoever_moves_all_of_theirs_sees_the_same_event_move_in_the_calendar(bench: TellingBench) -> None:
    bench.later(3 * MINUTE, lambda: follow(bench, find_link(bench, "ann@example.com"), "04:25"))
    bench.run("2")
    first, second = [m.event for to, m in bench.mail.sent if to == "ann@example.com" and m.event is not None]
    assert (first.uid, first.sequence, first.start) == (second.uid, 0, at("04:10"))
    assert (second.sequence, second.start) == (1, at("04:25"))
    public = {one.event.uid: one.event for one in bench.feed.shown}
    assert sorted(event.start for event in public.values()) == [at("04:10"), at("04:25")]


def test_a_rollout_all_of_whose_guests_are_deferred_waits_for_them_and_promotes_afterwards(bench: TellingBench) -> None:
    def defer_all() -> None:
        for vmid in GUESTS:
            bench.defer(vmid, "04:40")

    bench.later(3 * MINUTE, defer_all)
    assert bench.run("2").state is RolloutState.SUCCEEDED
    assert at("04:40") <= min(began(bench, vmid) for vmid in GUESTS)
    assert promoted(bench) > at("04:40")


def test_a_deferred_canary_leaves_its_part_to_the_next_guest(bench: TellingBench) -> None:
    bench.later(3 * MINUTE, lambda: bench.defer(5001, "04:40"))
    progress = bench.run("2")
    assert progress.of(5001).target.wave == 0
    assert began(bench, 5002) < at("04:18") and began(bench, 5001) >= at("04:40")


def test_deferred_guests_come_in_the_order_of_their_dates(bench: TellingBench) -> None:
    bench.later(3 * MINUTE, lambda: bench.defer(5002, "04:40"))
    bench.later(3 * MINUTE, lambda: bench.defer(5003, "04:25"))
    assert bench.run("2").state is RolloutState.SUCCEEDED
    assert at("04:25") <= began(bench, 5003) < at("04:33")
    assert began(bench, 5002) >= at("04:40")


def test_a_deferred_guest_that_fails_goes_back_and_the_promoted_version_goes_on_within_the_budget() -> None:
    bench = TellingBench(make_telling_policy(max_failures=1)).furnish(guests=4)
    bench.spoil(5003, behaviour=turns_unhealthy("2"))
    bench.later(3 * MINUTE, lambda: bench.defer(5003, "04:25"))
    progress = bench.run("2")
    assert (progress.state, progress.of(5003).state) == (RolloutState.SUCCEEDED, TargetState.REVERTED)
    assert bench.stable() == ["2"]


def test_one_that_fails_beyond_the_budget_takes_the_promoted_version_back_from_all() -> None:
    bench = TellingBench(make_telling_policy(max_failures=0)).furnish(guests=4)
    bench.spoil(5003, behaviour=turns_unhealthy("2"))
    bench.later(3 * MINUTE, lambda: bench.defer(5003, "04:25"))
    assert bench.run("2").state is RolloutState.REVERTED
    assert {bench.runs(vmid) for vmid in GUESTS} == {"1"}
    assert (bench.stable(), bench.revoked()) == (["1"], ["2"])


def test_a_guest_whose_new_window_is_missed_is_told_another_one_after_it(bench: TellingBench) -> None:
    bench.later(3 * MINUTE, lambda: bench.defer(5003, "04:25"))
    bench.later(20 * MINUTE, bench.order("pause", "lunch"))
    bench.answers.append(lambda: bench.later(15 * MINUTE, bench.order("resume")))
    assert bench.run("2").state is RolloutState.SUCCEEDED
    assert began(bench, 5003) >= at("04:40")
    starts = [m.facts["start"] for _, m in bench.mail.sent if m.facts["stage"] == "moved"]
    assert starts == [at("04:25").isoformat(), at("04:40").isoformat()]


def test_a_deferral_that_is_cancelled_gives_the_next_date_that_keeps_the_promise(bench: TellingBench) -> None:
    bench.later(3 * MINUTE, lambda: bench.defer(5003, "04:40"))
    bench.later(8 * MINUTE, lambda: bench.deferral_desk().cancel(5003))
    bench.run("2")
    assert at("04:08") + PROMISE <= began(bench, 5003) < at("04:18")
    assert bench.mail.stages("ann@example.com").count("moved") == 2


def test_while_an_emergency_lasts_a_deferred_guest_waits_no_longer_than_others(bench: TellingBench) -> None:
    bench.later(3 * MINUTE, lambda: bench.defer(5003, "04:40"))
    bench.later(19 * MINUTE, bench.declare)
    assert bench.run("2").state is RolloutState.SUCCEEDED
    assert at("04:19") <= began(bench, 5003) < at("04:21")


def test_after_an_emergency_that_did_not_come_to_it_the_guest_has_its_own_date_again(bench: TellingBench) -> None:
    def emergency_for_a_moment() -> None:
        bench.order("pause", "wait")()
        bench.declare()

    def go_on() -> None:
        bench.emergency_desk().end(None, "was none")
        bench.order("resume")()

    bench.later(3 * MINUTE, lambda: bench.defer(5003, "04:40"))
    bench.later(19 * MINUTE, emergency_for_a_moment)
    bench.answers.append(lambda: bench.later(MINUTE, go_on))
    bench.run("2")
    assert at("04:40") <= began(bench, 5003) < at("04:48")


# --- crashes


@pytest.mark.parametrize("crash_minute", [3, 4, 12, 20, 39, 40])
def test_a_worker_that_dies_between_is_followed_by_one_that_keeps_the_date_and_tells_nobody_twice(
    bench: TellingBench, crash_minute: int
) -> None:
    def die() -> None:
        raise WorkerDied

    bench.later(3 * MINUTE, lambda: bench.defer(5003, "04:40"))
    bench.later(crash_minute * MINUTE, die)
    plan = bench.submit("2")
    with pytest.raises(WorkerDied):
        bench.work(plan)
    bench.herald = bench.open_herald()
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert began(bench, 5003) >= at("04:40")
    assert bench.mail.stages("ann@example.com").count("moved") == 1
    assert len({m.id for _, m in bench.mail.sent}) == len(bench.mail.sent)
    assert len(bench.entries(Kind.EVIDENCE, "promoted")) == 1


def test_a_herald_that_dies_between_two_rounds_leaves_no_guest_with_two_dates(bench: TellingBench) -> None:
    append = bench.ledger.append

    def die_after_the_new_round(draft: Draft) -> Entry:
        """It is recorded; that the guest left the old one is not."""
        entry = append(draft)
        if draft.name == ROUND and draft.data["deferred_until"]:
            bench.ledger.append = append  # type: ignore[method-assign]
            raise WorkerDied
        return entry

    bench.ledger.append = die_after_the_new_round  # type: ignore[method-assign]
    bench.later(3 * MINUTE, lambda: bench.defer(5003, "04:40"))
    plan = bench.submit("2")
    with pytest.raises(WorkerDied):
        bench.work(plan)
    bench.herald = bench.open_herald()
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert bench.mail.stages("ann@example.com").count("moved") == 1
    assert began(bench, 5003) >= at("04:40")


def test_before_the_herald_has_made_a_round_of_it_the_gate_keeps_the_date_already(bench: TellingBench) -> None:
    def defer_while_nobody_tells() -> None:
        bench.defer(5003, "04:40")
        bench.directory.broken = True
        bench.later(12 * MINUTE, lambda: setattr(bench.directory, "broken", False))

    bench.later(8 * MINUTE, defer_while_nobody_tells)
    bench.run("2")
    assert began(bench, 5003) >= at("04:40")


# --- what is refused


def test_the_cap_is_kept_and_the_last_possible_date_is_said(bench: TellingBench) -> None:
    said: list[str] = []
    bench.later(3 * MINUTE, lambda: said.append(refused(lambda: bench.defer(5003, "04:55"))))
    bench.run("2")
    assert "it may wait until 2026-11-23 04:50 UTC" in said[0]
    assert "the dates that can be had are 2026-11-23 04:25 UTC (04:25 UTC) or 2026-11-23 04:40" in said[0]


def test_moving_it_again_and_again_does_not_move_the_cap(bench: TellingBench) -> None:
    said: list[str] = []
    bench.later(3 * MINUTE, lambda: bench.defer(5003, "04:25"))
    bench.later(5 * MINUTE, lambda: bench.defer(5003, "04:40"))
    bench.later(7 * MINUTE, lambda: said.append(refused(lambda: bench.defer(5003, "04:55"))))
    bench.later(30 * MINUTE, lambda: said.append(refused(lambda: ask(bench, 5003))))
    bench.run("2")
    assert "may wait until 2026-11-23 04:50 UTC" in said[0]
    assert "the last possible date is 2026-11-23 04:40 UTC" in said[1]


def test_a_security_fix_has_the_shorter_cap(bench: TellingBench) -> None:
    found: list[object] = []
    bench.later(3 * MINUTE, lambda: found.append(ask(bench, 5003)))
    bench.work(bench.submit("2", security=True))
    (room,) = found
    assert [offer.start for offer in room.offers] == [at("04:25")]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("deferral", "security", "words"),
    [
        (None, False, "a policy in which no date can be moved"),
        ({"limit": "0s", "security_limit": "0s"}, False, "a policy in which no date can be moved"),
        ({"limit": "40m", "security_limit": "0s"}, True, "closes a security hole"),
    ],
)
def test_a_policy_without_deferral_has_none_and_the_notice_says_so(
    deferral: dict[str, str] | None, security: bool, words: str
) -> None:
    data = make_telling_policy().model_dump(mode="json", exclude_none=True) | {"deferral": deferral}
    bench, said = TellingBench(Policy.model_validate(data)).furnish(guests=4), list[str]()
    bench.later(3 * MINUTE, lambda: said.append(refused(lambda: ask(bench, 5003))))
    bench.work(bench.submit("2", security=security))
    assert words in said[0]
    assert "This date cannot be moved" in bench.mail.sent[0][1].text
    assert "portal.example" not in bench.mail.sent[0][1].text


def test_in_an_emergency_it_is_refused_with_the_reason_and_until_when(bench: TellingBench) -> None:
    said: list[str] = []

    def look() -> None:
        bench.declare()
        said.append(refused(lambda: ask(bench, 5004)))

    bench.later(3 * MINUTE, look)
    bench.run("2")
    assert "an emergency and cannot wait: a hole is being used" in said[0]
    assert "allowed from 2026-11-23T08:" in said[0]


def test_who_is_begun_or_finished_is_not_deferred(bench: TellingBench) -> None:
    said: list[str] = []
    for vmid in (5001, 5002):
        bench.datacentre.faults.meanwhile("exchange", lambda: said.append(refused(lambda: ask(bench, 5001))), vmid=vmid)
    bench.run("2")
    assert "game-5001 (5001) is being changed right now" in said[0]
    assert "game-5001 (5001) has the new version already" in said[1]


def test_a_minute_before_its_date_it_is_too_late(bench: TellingBench) -> None:
    said: list[str] = []
    bench.clock.on_sleep.append(
        lambda now: said.append(refused(lambda: ask(bench, 5003))) if at("04:09") <= now < at("04:10") else None
    )
    bench.run("2")
    assert said and all("it is too late: the maintenance begins, or began, at 2026-11-23 04:10" in one for one in said)


def test_before_the_first_notice_and_outside_of_a_rollout_there_is_no_date_to_move(bench: TellingBench) -> None:
    assert "no rollout runs" in refused(lambda: ask(bench, 5001))
    plan = bench.submit("2")
    assert "no date of game-5001 (5001) is announced yet" in refused(lambda: ask(bench, 5001))
    assert f"guest 5999 is not in {plan.id}" in refused(lambda: ask(bench, 5999))
    assert "is not deferred" in refused(lambda: bench.deferral_desk().cancel(5001))


# --- links


def test_a_link_used_twice_is_one_deferral_also_after_the_move_was_told(bench: TellingBench) -> None:
    links: list[str] = []

    def click() -> None:
        links.append(find_link(bench, "ann@example.com"))
        follow(bench, links[0], "04:40")

    bench.later(3 * MINUTE, click)
    bench.later(3 * MINUTE, lambda: follow(bench, links[0], "04:40"))
    bench.later(6 * MINUTE, lambda: follow(bench, links[0], "04:40"))
    bench.run("2")
    taken = bench.entries(Kind.COMMAND, TAKEN)
    assert [(entry.target, entry.data["author"]) for entry in taken] == [(5001, "customer ann"), (5003, "customer ann")]
    assert bench.mail.stages("ann@example.com").count("moved") == 1
    assert min(began(bench, 5001), began(bench, 5003)) >= at("04:40")


def test_a_link_is_for_its_own_guests_and_one_of_them_can_be_chosen(bench: TellingBench) -> None:
    said: list[str] = []

    def click() -> None:
        link = find_link(bench, "ann@example.com")
        said.append(refused(lambda: follow(bench, link, "04:40", vmid=5002)))
        follow(bench, link, "04:40", vmid=5003)

    bench.later(3 * MINUTE, click)
    bench.run("2")
    assert said == ["this link is for other servers, not for 5002"]
    assert began(bench, 5001) < at("04:18") and began(bench, 5003) >= at("04:40")


def test_a_link_of_a_date_that_was_moved_since_is_refused_and_so_is_a_second_choice_by_the_same(
    bench: TellingBench,
) -> None:
    said: list[str] = []

    def click() -> None:
        old = find_link(bench, "bob@example.com")
        for vmid in (5002, 5004):
            bench.defer(vmid, "04:25")
        bench.later(MINUTE, lambda: said.append(refused(lambda: follow(bench, old, "04:40"))))
        mine = find_link(bench, "ann@example.com")
        follow(bench, mine, "04:25")
        said.append(refused(lambda: follow(bench, mine, "04:40")))
        bench.later(2 * MINUTE, lambda: follow(bench, find_link(bench, "ann@example.com"), "04:40"))

    bench.later(3 * MINUTE, click)
    bench.run("2")
    assert "was moved to 2026-11-23 04:25 UTC (04:25 UTC) already" in said[0]
    assert "a newer notice has taken the place" in said[1]
    assert min(began(bench, 5001), began(bench, 5003)) >= at("04:40")
    assert at("04:25") <= min(began(bench, 5002), began(bench, 5004)) < at("04:33")


def test_a_server_that_was_sold_since_is_not_its_former_owners_to_defer(bench: TellingBench) -> None:
    said: list[str] = []

    def sell() -> None:
        bench.directory.customers[:] = [owner("ann", 5001), owner("bob", 5002, 5004), owner("eve", 5003)]

    bench.later(3 * MINUTE, sell)
    bench.later(
        4 * MINUTE,
        lambda: said.append(refused(lambda: follow(bench, find_link(bench, "ann@example.com"), "04:40", 5003))),
    )
    bench.run("2")
    assert "a newer notice has taken the place" in said[0]


def test_a_link_that_an_emergency_overtook_says_so_and_does_not_point_to_a_newer_notice(bench: TellingBench) -> None:
    links: list[str] = []
    said: list[str] = []

    def declare() -> None:
        links.append(find_link(bench, "ann@example.com"))
        bench.declare()
        bench.later(timedelta(seconds=10), lambda: said.append(refused(lambda: follow(bench, links[0], "04:40"))))

    bench.later(3 * MINUTE, declare)
    assert bench.run("2").state is RolloutState.SUCCEEDED
    assert bench.clock.now() < at("04:09")
    said.append(refused(lambda: follow(bench, links[0], "04:40")))
    assert "this is an emergency and cannot wait: a hole is being used" in said[0]
    assert "is over (SUCCEEDED)" in said[1]


def test_a_link_outlives_neither_its_rollout_nor_its_date(bench: TellingBench) -> None:
    links: list[str] = []
    bench.later(3 * MINUTE, lambda: links.append(find_link(bench, "ann@example.com")))
    bench.later(4 * MINUTE, bench.order("abort"))
    bench.run("2")
    desk = bench.deferral_desk()
    request = desk.verify(links[0])
    assert "is over (ABORTED)" in refused(lambda: desk.offer(request))
    bench.clock.advance(10 * MINUTE)
    assert "this link was good until 2026-11-23 04:09 UTC" in refused(lambda: desk.verify(links[0]))


def test_without_links_a_token_is_refused_and_the_notice_has_the_address_alone(bench: TellingBench) -> None:
    bench.run("2")
    link = find_link(bench, "ann@example.com")
    desk = replace(bench.deferral_desk(), open_links=lambda: None)
    assert "please write to us instead" in refused(lambda: desk.verify(link))


def test_no_token_comes_into_the_ledger(bench: TellingBench) -> None:
    tokens: list[str] = []

    def click() -> None:
        link = find_link(bench, "ann@example.com")
        tokens.append(link.partition("token=")[2])
        follow(bench, link, "04:25")

    bench.later(3 * MINUTE, click)
    bench.run("2")
    written = [str(entry.data) for entry in bench.ledger.read()]
    assert not any(tokens[0] in text or tokens[0].partition(".")[2] in text or LINKS.key in text for text in written)


# --- who looks on


def test_who_is_deferred_by_whom_and_until_when_is_listed_while_it_lasts(bench: TellingBench) -> None:
    listed = []
    bench.later(3 * MINUTE, lambda: bench.defer(5003, "04:40"))
    bench.later(5 * MINUTE, lambda: listed.extend(bench.deferral_desk().list_standings()))
    bench.run("2")
    (one,) = listed
    assert (one.target.vmid, one.deferral.author, one.deferral.until) == (5003, "tester", at("04:40"))
    assert (one.first, one.latest, one.state) == (at("04:10"), at("04:50"), TargetState.STAGED)
    assert bench.deferral_desk().list_standings() == ()


def _abort_deferred(bench: TellingBench) -> Plan:
    plan = bench.submit("2")
    bench.later(3 * MINUTE, lambda: bench.defer(5003, "04:40"))
    bench.later(20 * MINUTE, bench.order("abort", "make way"))
    bench.work(plan)
    return plan


def test_a_deferred_guest_that_still_runs_the_old_version_after_its_cap_is_overdue(bench: TellingBench) -> None:
    plan = _abort_deferred(bench)
    assert bench.deferral_desk().list_overdue() == ()
    bench.clock.advance(at("04:51") - bench.clock.now())
    (one,) = bench.deferral_desk().list_overdue()
    assert (one.rollout, one.vmid, one.version, one.latest) == (plan.id, 5003, "2", at("04:50"))
    assert [row.is_overdue for row in bench.deferral_desk().list_standings()] == [True]


def test_once_a_later_rollout_has_brought_the_version_nothing_is_overdue(bench: TellingBench) -> None:
    _abort_deferred(bench)
    bench.clock.advance(timedelta(days=1))
    assert bench.run("2").state is RolloutState.SUCCEEDED
    assert bench.runs(5003) == "2"
    assert bench.deferral_desk().list_overdue() == ()


def test_while_the_cluster_does_not_answer_the_ledger_says_what_is_overdue(bench: TellingBench) -> None:
    def fail() -> tuple[GuestSummary, ...]:
        raise RoadError("no route to host")

    _abort_deferred(bench)
    bench.clock.advance(timedelta(days=1))
    desk = replace(bench.deferral_desk(), list_guests=fail)
    assert [one.vmid for one in desk.list_overdue()] == [5003]


def test_a_guest_that_is_gone_or_has_a_newer_version_by_now_owes_nothing(bench: TellingBench) -> None:
    _abort_deferred(bench)
    bench.clock.advance(timedelta(days=1))
    guests = bench.datacentre.list_guests()
    gone = tuple(one for one in guests if one.vmid != 5003)
    newer = tuple(replace(one, tags=("zlh-version.2.1",)) for one in guests)
    for listed in (gone, newer):
        assert replace(bench.deferral_desk(), list_guests=lambda listed=listed: listed).list_overdue() == ()


def test_a_version_that_was_taken_back_is_owed_by_nobody(bench: TellingBench) -> None:
    bench.later(3 * MINUTE, lambda: bench.defer(5003, "04:40"))
    bench.later(20 * MINUTE, bench.order("revert", "not good"))
    assert bench.run("2").state is RolloutState.REVERTED
    bench.clock.advance(timedelta(days=1))
    assert bench.deferral_desk().list_overdue() == ()
    assert bench.stable() == ["1"]


def test_a_request_that_was_cut_short_between_two_guests_is_completed_by_the_same_link(bench: TellingBench) -> None:
    def click_twice() -> None:
        desk, link = bench.deferral_desk(), find_link(bench, "ann@example.com")
        request = desk.verify(link)
        half = Request(request.rollout, {5001: request.guests[5001]}, request.author, request.link)
        desk.take(half, wish(bench, "04:25"))
        bench.later(MINUTE, lambda: follow(bench, link, "04:25"))

    bench.later(3 * MINUTE, click_twice)
    bench.run("2")
    assert [entry.target for entry in bench.entries(Kind.COMMAND, TAKEN)] == [5001, 5003]
    assert min(began(bench, 5001), began(bench, 5003)) >= at("04:25")
