"""Rules of what the ledger says of watched points: an outage ends with who saw it, and what nobody saw is told apart."""

from datetime import UTC, datetime, timedelta
from typing import Any

from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.sight import Turn
from zlh_hooks.domain.span import Span
from zlh_hooks.domain.watch_book import WATCH_BEGAN, WATCH_ENDED, PointHistory, WatchBook

START = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
DAY = 1440


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def span(begin: int, end: int) -> Span:
    return Span(at(begin), at(end))


def write(minute: int, name: str, **data: Any) -> Entry:
    return Entry(1, at(minute), Kind.EVIDENCE, name, "", None, data, "", "")


def began(minute: int, *points: str, seen: int | None = None) -> Entry:
    said = at(seen).isoformat() if seen is not None else None
    return write(minute, WATCH_BEGAN, points=list(points or ["router"]), seen=said)


def turn(minute: int, what: Turn, since: int | None = None, point: str = "router") -> Entry:
    return write(minute, what, point=point, at=at(minute if since is None else since).isoformat())


def tell(*entries: Entry, until: int = DAY, point: str = "router") -> PointHistory:
    return WatchBook().add(entries).tell(point, at(until))


def test_a_point_that_nobody_ever_watched_is_unwatched_and_not_away() -> None:
    history = tell(began(0, "edge"))
    assert history == PointHistory((), (), (), False)
    assert history.list_unwatched(span(0, DAY)) == (span(0, DAY),)


def test_an_outage_is_away_and_all_else_was_watched() -> None:
    history = tell(began(0), turn(12, Turn.OUTAGE_BEGAN, since=10), turn(30, Turn.OUTAGE_ENDED))
    assert (history.away, history.unseen, history.is_away) == ((span(10, 30),), (), False)
    assert history.list_unwatched(span(0, DAY)) == ()


def test_an_outage_that_goes_on_lasts_until_now() -> None:
    history = tell(began(0), turn(12, Turn.OUTAGE_BEGAN, since=10), until=60)
    assert (history.away, history.is_away) == ((span(10, 60),), True)


def test_an_outage_of_a_later_time_makes_none_of_an_earlier_one_open() -> None:
    first = (turn(12, Turn.OUTAGE_BEGAN, since=10), turn(30, Turn.OUTAGE_ENDED))
    history = tell(began(0), *first, turn(90, Turn.OUTAGE_BEGAN), until=60)
    assert (history.away, history.is_away) == ((span(10, 30),), False)


def test_a_watcher_that_was_killed_leaves_a_gap_from_its_last_sign_of_life_to_the_next_one() -> None:
    away = turn(12, Turn.OUTAGE_BEGAN, since=10)
    history = tell(began(0), away, began(100, seen=40))
    assert (history.away, history.is_away) == ((span(10, 40),), False)
    assert history.list_unwatched(span(0, DAY)) == (span(40, 100),)


def test_one_that_is_dead_still_was_alive_until_it_was_last_seen() -> None:
    history = tell(began(0), turn(12, Turn.OUTAGE_BEGAN, since=10), until=40)
    assert history.away == (span(10, 40),)
    assert history.list_unwatched(span(0, 90)) == (span(40, 90),)


def test_one_that_ended_in_order_watched_until_then() -> None:
    history = tell(began(0), write(50, WATCH_ENDED), began(80))
    assert history.list_unwatched(span(0, DAY)) == (span(50, 80),)


def test_a_point_that_is_not_among_those_of_the_next_watcher_is_unwatched() -> None:
    history = tell(began(0, "router", "edge"), write(50, WATCH_ENDED), began(50, "edge"))
    assert history.list_unwatched(span(0, 100)) == (span(50, 100),)


def test_what_could_not_be_seen_within_an_outage_is_no_part_of_it() -> None:
    entries = [
        began(0),
        turn(12, Turn.OUTAGE_BEGAN, since=10),
        turn(20, Turn.UNSEEN_BEGAN),
        turn(25, Turn.UNSEEN_ENDED),
    ]
    history = tell(*entries, turn(30, Turn.OUTAGE_ENDED))
    assert (history.away, history.unseen) == ((span(10, 20), span(25, 30)), (span(20, 25),))


def test_points_do_not_mix() -> None:
    entries = [began(0, "router", "edge"), turn(12, Turn.OUTAGE_BEGAN, point="edge")]
    assert tell(*entries).away == ()
    assert tell(*entries, until=20, point="edge").away == (span(12, 20),)
