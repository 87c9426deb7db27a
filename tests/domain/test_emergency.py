"""An emergency allows something from its declaration until it is ended or expires, and is owed a review from then on."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from zlh_hooks.domain.emergency import (
    DECLARED,
    ENDED,
    REVIEWED,
    EmergencyBook,
    EmergencyState,
    Untold,
    describe_emergency,
)
from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.window_rule import Component

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DATA = {
    "id": "e1",
    "component": "template",
    "reason": "a hole is being used",
    "reference": "CVE-2026-1",
    "author": "ann@desk",
    "until": (NOW + 2 * HOUR).isoformat(),
    "without_canary": None,
}


def write(name: str, at: datetime, **data: Any) -> Entry:
    return Entry(1, at, Kind.COMMAND, name, "", None, data, "", "")


def read(*more: Entry) -> EmergencyBook:
    return EmergencyBook().add([write(DECLARED, NOW, **DATA), *more])


def end(at: datetime) -> Entry:
    return write(ENDED, at, id="e1", reason="done", author="bob@desk")


def review(at: datetime) -> Entry:
    return write(REVIEWED, at, id="e1", text="we patch sooner", author="bob@desk")


@pytest.mark.parametrize(
    ("after", "is_open"),
    [(-timedelta(seconds=1), False), (timedelta(0), True), (2 * HOUR - timedelta.resolution, True), (2 * HOUR, False)],
)
def test_it_is_open_from_its_declaration_until_it_expires(after: timedelta, is_open: bool) -> None:
    found = read().find_open(Component.TEMPLATE, NOW + after)
    assert (found is not None) is is_open


def test_it_allows_nothing_from_the_moment_at_which_a_person_ends_it() -> None:
    (known,) = read(end(NOW + HOUR)).emergencies.values()
    assert known.is_open(NOW + HOUR - timedelta.resolution)
    assert not known.is_open(NOW + HOUR)
    assert known.closes_at == NOW + HOUR


def test_an_end_that_comes_after_it_expired_changes_nothing() -> None:
    (known,) = read(end(NOW + 3 * HOUR)).emergencies.values()
    assert (known.closes_at, known.state(NOW + 3 * HOUR)) == (NOW + 2 * HOUR, EmergencyState.EXPIRED)


def test_it_concerns_no_other_component() -> None:
    assert read().find_open(Component.EDGE, NOW) is None


def test_what_is_recorded_of_it_is_read_back_whole() -> None:
    (known,) = read().emergencies.values()
    assert describe_emergency(known) == DATA
    assert (known.declared_at, known.author) == (NOW, "ann@desk")


def test_a_review_is_due_so_long_after_its_end_and_paid_once_it_is_written() -> None:
    book = read(end(NOW + HOUR))
    (debt,) = book.emergencies["e1"].debts(NOW + HOUR, 3 * DAY)
    assert (debt.kind, debt.due) == ("review", NOW + HOUR + 3 * DAY)
    book.add([review(NOW + DAY)])
    assert book.emergencies["e1"].debts(NOW + DAY, 3 * DAY) == ()
    assert book.emergencies["e1"].state(NOW + DAY) is EmergencyState.REVIEWED


def test_a_customer_who_was_not_told_is_owed_a_notice_at_once_and_each_only_one() -> None:
    (known,) = read().emergencies.values()
    untold = [Untold("r1", 5001, "ann", NOW + HOUR), Untold("r1", 5003, "ann", NOW), Untold("r1", 5002, None, NOW)]
    notices = [debt for debt in known.debts(NOW + HOUR, DAY, untold) if debt.kind == "notice"]
    assert [(debt.what, debt.due) for debt in notices] == [
        ("the owner of guest 5002, not known yet, was not told of r1", NOW),
        ("customer ann was not told of r1", NOW),
    ]


def test_words_about_an_emergency_that_is_not_known_are_passed_over() -> None:
    assert EmergencyBook().add([end(NOW), review(NOW)]).emergencies == {}
