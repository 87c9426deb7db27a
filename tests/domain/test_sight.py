"""Rules of what is seen of a point: when a failure is an outage, since when, and what says nothing."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from zlh_hooks.domain.sight import Change, PointSight, Sight, Turn

START = datetime(2026, 11, 1, tzinfo=UTC)
LETTERS = {"u": Sight.UP, "d": Sight.DOWN, "?": Sight.UNSEEN}


def look(course: str, needed: int = 3) -> list[tuple[str, int]]:
    """What is recorded of measurements that are a minute apart: what changed, and since which of them."""
    sight = PointSight("router", needed)
    found: list[Change] = []
    for minute, letter in enumerate(course):
        found += sight.see(LETTERS[letter], START + timedelta(minutes=minute))
    return [(one.turn.value, (one.at - START) // timedelta(minutes=1)) for one in found]


def test_too_few_failures_in_a_row_are_no_outage() -> None:
    assert look("uddudduu") == []


def test_an_outage_counts_from_the_first_failure_to_the_first_success() -> None:
    assert look("uuddddduu") == [("outage.began", 2), ("outage.ended", 7)]


def test_what_fails_from_the_start_is_away_since_it_was_first_asked() -> None:
    assert look("ddd") == [("outage.began", 0)]


def test_what_cannot_be_seen_neither_counts_nor_excuses() -> None:
    assert look("d??dd") == [("unseen.began", 1), ("unseen.ended", 3), ("outage.began", 0)]
    assert look("???") == [("unseen.began", 0)]


def test_an_outage_goes_on_behind_what_cannot_be_seen_until_a_success() -> None:
    assert look("ddd?u") == [("outage.began", 0), ("unseen.began", 3), ("unseen.ended", 4), ("outage.ended", 4)]


def test_a_time_without_measurements_is_unseen_until_the_next_one() -> None:
    sight = PointSight("router", 1)
    assert sight.lose(START) == (Change("router", Turn.UNSEEN_BEGAN, START),)
    assert sight.lose(START + timedelta(minutes=1)) == ()
    later = START + timedelta(minutes=5)
    assert sight.see(Sight.UP, later) == (Change("router", Turn.UNSEEN_ENDED, later),)


@given(st.text("ud?", max_size=60), st.integers(1, 4))
def test_what_begins_ends_before_it_begins_again(course: str, needed: int) -> None:
    for kind in ("outage", "unseen"):
        turns = [turn for turn, _ in look(course, needed) if turn.startswith(kind)]
        assert turns[::2] == [f"{kind}.began"] * len(turns[::2])
        assert turns[1::2] == [f"{kind}.ended"] * len(turns[1::2])
