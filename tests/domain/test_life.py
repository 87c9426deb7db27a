"""Rules of how long a guest existed, as far as plans and rollouts say."""

from datetime import UTC, datetime, timedelta

from tests.application.rollout_bench import Bench
from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.life import Life, LifeBook
from zlh_hooks.domain.plan import dump_plan
from zlh_hooks.domain.span import Span

START = datetime(2026, 11, 1, tzinfo=UTC)
MONTH = Span(START, START + timedelta(days=30))


def at(day: int) -> datetime:
    return START + timedelta(days=day)


def plan(day: int, guests: int) -> Entry:
    planned = Bench().furnish(guests).planner().plan_rollout("game-base", "2", "tester")
    return Entry(1, at(day), Kind.PLAN, "plan", planned.id, None, dump_plan(planned), "", "")


def vanished(day: int, vmid: int) -> Entry:
    return Entry(1, at(day), Kind.EVENT, "vanished", "r1", vmid, {}, "", "")


def test_of_a_guest_of_the_first_plan_nobody_knows_since_when_it_exists() -> None:
    life = LifeBook().add([plan(5, 2)]).lives[5001]
    assert (life, life.within(MONTH)) == (Life(), (MONTH,))
    assert life.describe(MONTH) == ("nobody knows since when it exists: the whole time counts",)


def test_a_guest_that_an_earlier_plan_of_its_line_did_not_name_counts_from_the_first_that_does() -> None:
    life = LifeBook().add([plan(5, 2), plan(12, 3)]).lives[5003]
    assert life.within(MONTH) == (Span(at(12), MONTH.end),)
    assert life.describe(MONTH) == ("first seen 2026-11-13 00:00 UTC",)


def test_one_that_was_found_deleted_counts_until_then() -> None:
    life = LifeBook().add([plan(-20, 2), plan(5, 3), vanished(9, 5003)]).lives[5003]
    assert life.within(MONTH) == (Span(at(5), at(9)),)
    assert life.describe(MONTH)[1:] == ("found deleted 2026-11-10 00:00 UTC",)


def test_one_that_was_gone_before_has_no_part_in_the_month() -> None:
    assert LifeBook().add([plan(-20, 2), vanished(-9, 5001)]).lives[5001].within(MONTH) == ()


def test_one_that_a_later_plan_names_again_is_there() -> None:
    assert LifeBook().add([plan(-20, 2), vanished(-9, 5001), plan(-5, 2)]).lives[5001].within(MONTH) == (MONTH,)


def test_plans_say_how_guests_were_called_and_where_they_were() -> None:
    book = LifeBook().add([plan(5, 2)])
    assert (book.names[5002], book.nodes[5002]) == (
        Bench().furnish(2).datacentre.containers[5002].values["hostname"],
        "n2",
    )
