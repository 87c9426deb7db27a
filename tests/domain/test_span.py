"""Rules of spans: half-open, disjoint when they come back, and nothing lost or counted twice."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_hooks.domain.span import Span, intersect, make_spans, measure, subtract, unite

START = datetime(2026, 11, 1, tzinfo=UTC)


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def spans(*bounds: tuple[int, int]) -> tuple[Span, ...]:
    return tuple(Span(at(begin), at(end)) for begin, end in bounds)


bounds = st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda pair: Span(at(pair[0]), at(pair[0] + pair[1])))
many = st.lists(bounds, max_size=8)


def minutes_of(found: object) -> set[int]:
    """Each minute that lies in one of them: another way to say the same."""
    return {m for m in range(100) if any(one.begin <= at(m) < one.end for one in found)}  # type: ignore[attr-defined]


def assert_tidy(found: tuple[Span, ...]) -> None:
    assert all(before.end < after.begin for before, after in pairwise(found))


def test_what_touches_becomes_one_and_the_end_does_not_belong_to_it() -> None:
    assert unite(spans((0, 5), (5, 9), (20, 30), (22, 25))) == spans((0, 9), (20, 30))
    assert intersect(spans((0, 5)), spans((5, 9))) == ()


def test_a_span_that_ends_before_it_begins_is_none() -> None:
    assert make_spans(at(5), at(5)) == ()
    with pytest.raises(ValueError, match="ends after it begins"):
        Span(at(5), at(5))


def test_what_is_cut_out_of_the_middle_leaves_both_sides() -> None:
    assert subtract(spans((0, 30)), spans((10, 20), (25, 40))) == spans((0, 10), (20, 25))


@given(many)
def test_overlaps_count_once(ones: list[Span]) -> None:
    assert_tidy(unite(ones))
    assert measure(ones) == timedelta(minutes=len(minutes_of(ones)))


@given(many, many)
def test_common_and_rest_make_the_whole_and_share_nothing(ones: list[Span], others: list[Span]) -> None:
    common, rest = intersect(ones, others), subtract(ones, others)
    assert_tidy(common)
    assert_tidy(rest)
    assert minutes_of(common) == minutes_of(ones) & minutes_of(others)
    assert minutes_of(rest) == minutes_of(ones) - minutes_of(others)
    assert measure(common) + measure(rest) == measure(ones)
