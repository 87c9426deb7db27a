"""Rules of recurrences: which RRULEs a window takes, and what a refusal says."""

from datetime import date

import pytest

from zlh_hooks.domain.recurrence import check_recurrence, list_dates, why_anchored


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY",
        "FREQ=WEEKLY;BYDAY=TU,TH",
        "FREQ=MONTHLY;BYDAY=1SU,-1SU",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
        "FREQ=YEARLY;BYMONTH=3,9;BYMONTHDAY=-1;WKST=SU",
        "FREQ=YEARLY;BYWEEKNO=1,53;BYDAY=MO",
        "FREQ=DAILY;UNTIL=20271231",
        "INTERVAL=2;FREQ=WEEKLY;BYDAY=SU",
    ],
)
def test_a_rule_of_days_is_taken_as_it_is(rule: str) -> None:
    assert check_recurrence(rule) == rule


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("FREQ=HOURLY", "once a day at most"),
        ("FREQ=MINUTELY;INTERVAL=5", "once a day at most"),
        ("FREQ=DAILY;BYHOUR=4", "no BYHOUR: the time of day is `start`"),
        ("FREQ=DAILY;BYMINUTE=0", "no BYMINUTE"),
        ("FREQ=DAILY;BYSECOND=0", "no BYSECOND"),
        ("FREQ=DAILY;COUNT=5", "no COUNT"),
        ("DTSTART=20260101;FREQ=DAILY", "no DTSTART"),
        ("DTSTART:20260101T000000\nRRULE:FREQ=DAILY", "no DTSTART"),
        ("RRULE:FREQ=DAILY", "an RRULE such as"),
        ("FREQ=DAILY;INTERVAL=0", "another INTERVAL than 0"),
        ("FREQ=MONTHLY;BYMONTHDAY=32", "another BYMONTHDAY than 32"),
        ("FREQ=YEARLY;BYMONTH=13;BYMONTHDAY=1", "another BYMONTH than 13"),
        ("FREQ=WEEKLY;BYDAY=XX", "another BYDAY than XX"),
        ("FREQ=WEEKLY;BYDAY=1SU", "only with FREQ=MONTHLY or YEARLY"),
        ("FREQ=DAILY;BYSETPOS=1", "BYSETPOS only together"),
        ("FREQ=YEARLY;BYEASTER=0", "no BYEASTER"),
        ("FREQ=DAILY;UNTIL=20271399", "UNTIL=YYYYMMDD"),
        ("FREQ=DAILY;UNTIL=20271231T000000Z", "another UNTIL"),
        ("FREQ=DAILY;FREQ=WEEKLY", "an RRULE such as"),
        ("BYDAY=MO", "FREQ in the rule"),
        ("every tuesday", "an RRULE such as"),
        ("", "an RRULE such as"),
    ],
)
def test_what_is_no_rule_of_days_is_refused_with_what_would_be_right(rule: str, expected: str) -> None:
    with pytest.raises(ValueError) as refused:
        check_recurrence(rule)
    assert expected in str(refused.value)


@pytest.mark.parametrize("rule", ["FREQ=WEEKLY", "FREQ=MONTHLY", "FREQ=YEARLY;BYMONTH=3", "FREQ=DAILY;INTERVAL=2"])
def test_a_rule_that_counts_from_a_date_needs_one(rule: str) -> None:
    assert why_anchored(rule)


@pytest.mark.parametrize("rule", ["FREQ=DAILY", "FREQ=WEEKLY;BYDAY=MO", "FREQ=MONTHLY;BYMONTHDAY=1;INTERVAL=1"])
def test_a_rule_that_names_its_days_needs_no_date_to_count_from(rule: str) -> None:
    assert why_anchored(rule) is None


def test_until_is_the_last_date_itself() -> None:
    found = list_dates("FREQ=DAILY;UNTIL=20261125", None, date(2026, 11, 24), date(2026, 11, 30))
    assert found == (date(2026, 11, 24), date(2026, 11, 25))


def test_an_anchor_is_the_first_date_and_sets_the_fortnight() -> None:
    found = list_dates("FREQ=WEEKLY;INTERVAL=2;BYDAY=SU", date(2026, 11, 22), date(2026, 11, 1), date(2026, 12, 31))
    assert found == (date(2026, 11, 22), date(2026, 12, 6), date(2026, 12, 20))


def test_a_leap_day_stays_a_leap_day() -> None:
    found = list_dates("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", None, date(2099, 1, 1), date(2104, 12, 31))
    assert found == (date(2104, 2, 29),)
