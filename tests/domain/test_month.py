"""Rules of months: local midnights, months of the right length where clocks change, and none lost between two."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_hooks.domain.month import Month, parse_month
from zlh_hooks.domain.span import Span, intersect, measure

HOUR = timedelta(hours=1)


def test_a_month_begins_and_ends_at_local_midnight() -> None:
    span = parse_month("2026-11").span_in("Europe/Berlin")
    assert span == Span(datetime(2026, 10, 31, 23, tzinfo=UTC), datetime(2026, 11, 30, 23, tzinfo=UTC))


@pytest.mark.parametrize(
    ("month", "zone", "length"),
    [
        ("2027-03", "Europe/Berlin", 31 * 24 * HOUR - HOUR),
        ("2026-10", "Europe/Berlin", 31 * 24 * HOUR + HOUR),
        ("2026-02", "Europe/Berlin", 28 * 24 * HOUR),
        ("2028-02", "UTC", 29 * 24 * HOUR),
        ("2027-04", "Australia/Lord_Howe", 30 * 24 * HOUR + HOUR / 2),
        ("2023-12", "America/Sao_Paulo", 31 * 24 * HOUR),
    ],
)
def test_it_is_as_long_as_it_is_where_clocks_change(month: str, zone: str, length: timedelta) -> None:
    assert parse_month(month).span_in(zone).length == length


def test_a_first_midnight_that_clocks_skip_is_the_moment_at_which_they_do() -> None:
    """Paraguay's clocks went forward at midnight of Sunday 1 October 2023."""
    began = parse_month("2023-10").span_in("America/Asuncion").begin
    assert began == datetime(2023, 10, 1, 4, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2026-13", "2026-00", "2026-1", "26-11", "1999-01", "2026-11-01", ""])
def test_what_is_no_month_is_refused_with_what_would_be_right(text: str) -> None:
    with pytest.raises(ValueError, match="a month such as 2026-11"):
        parse_month(text)


months = st.builds(Month, st.integers(2000, 2100), st.integers(1, 12))
zones = st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Tokyo", "Pacific/Apia", "America/Asuncion"])


@given(months, zones)
def test_one_month_ends_where_the_next_one_begins(month: Month, zone: str) -> None:
    assert month.span_in(zone).end == month.following.span_in(zone).begin
    assert parse_month(str(month)) == month


@given(months, zones, st.integers(-3000, 3000), st.integers(1, 4000))
def test_to_split_an_outage_at_months_loses_nothing(month: Month, zone: str, begin: int, hours: int) -> None:
    start = month.span_in(zone).begin + begin * HOUR
    outage = Span(start, start + hours * HOUR)
    parts, current = [], Month(month.year - 1, month.number)
    while current.span_in(zone).begin < outage.end:
        parts.append(measure(intersect([outage], [current.span_in(zone)])))
        current = current.following
    assert sum(parts, timedelta(0)) == outage.length
