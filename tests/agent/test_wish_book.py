"""What became of each wish in a guest: kept over the plugin's death, and when it is tried again."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent_plugin.fault import BadInput
from agent_plugin.wish_book import BEGUN, LONGEST_PAUSE, STATES, Tried, WishBook, pause_after

NOW = datetime(2026, 12, 1, 3, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NUMBERS = ('"tries": "1"', '"tries": true')
TEXTS = ('"txn": 1', '"outcome": ["installed"]', '"reason": null')


@pytest.fixture
def book(tmp_path: Path) -> WishBook:
    return WishBook(tmp_path / "wishes.json")


def tried(outcome: str, tries: int = 1) -> Tried:
    return Tried("txn", outcome, "why", tries, NOW.isoformat())


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        ("installed", "done"),
        ("nothing", "done"),
        ("taken-back", "done"),
        ("failed", "again"),
        ("waits", "waits"),
        *((outcome, "failed") for outcome in ("reverted", "refused", "stuck", BEGUN, "a word of a later program")),
    ],
)
def test_only_what_changed_nothing_is_tried_again_whatever_the_time(outcome: str, state: str) -> None:
    found = tried(outcome)
    assert (found.state, state in STATES) == (state, True)
    assert found.may_try(True, NOW + timedelta(days=400)) == (state in ("again", "waits"))


def test_pauses_grow_to_a_day_and_no_further() -> None:
    minutes = [pause_after(tries) // MINUTE for tries in (0, 1, 2, 3, 4, 8, 9)]
    assert minutes == [0, 0, 20, 40, 80, 1280, 1440]
    assert pause_after(10**9) == LONGEST_PAUSE


@pytest.mark.parametrize("outcome", ["failed", "waits"])
def test_a_pause_is_kept_to_its_end(outcome: str) -> None:
    found = tried(outcome, tries=2)
    assert [found.may_try(False, NOW + minutes * MINUTE) for minutes in (0, 19, 20)] == [False, False, True]


def test_a_window_ends_the_pause_of_what_waited_for_it_and_not_that_of_a_road() -> None:
    assert tried("waits", tries=5).may_try(True, NOW)
    assert not tried("failed", tries=5).may_try(True, NOW)


def test_each_patch_counts_once_however_often_its_end_is_told(book: WishBook) -> None:
    for txn in ("one", "one", "two", "two"):
        book.end("wish", txn, "failed", "no road")
    found = book.find("wish")
    assert found is not None and (found.txn, found.tries) == ("two", 2)


def test_what_is_begun_keeps_its_count_and_what_ends_otherwise_adds_none(book: WishBook) -> None:
    book.end("wish", "one", "failed", "no road")
    book.begin("wish", "two")
    begun = book.find("wish")
    assert begun is not None and (begun.outcome, begun.tries, begun.state) == (BEGUN, 1, "failed")
    book.end("wish", "two", "reverted", "it fell")
    ended = book.find("wish")
    assert ended is not None and (ended.outcome, ended.tries) == ("reverted", 1)


def test_wishes_do_not_know_of_each_other(book: WishBook) -> None:
    book.end("one", "txn", "reverted", "")
    assert (book.find("two"), book.find("one") is not None) == (None, True)


@pytest.mark.parametrize("change", [*NUMBERS, *TEXTS, '"at": "2026-12-01T03:30:00"', '"at": 5'])
def test_an_entry_that_is_none_damages_the_book(book: WishBook, tmp_path: Path, change: str) -> None:
    name = change.partition(":")[0]
    whole = {f'"{text}"': f'"{text}": "failed"' for text in ("txn", "outcome", "reason")}
    whole |= {'"tries"': '"tries": 1', '"at"': '"at": "2026-12-01T03:30:00+00:00"', name: change}
    text = ", ".join(whole.values())
    (tmp_path / "wishes.json").write_text(f'{{"wish": {{{text}}}}}')
    for act in (lambda: book.find("wish"), lambda: book.begin("x", "t"), lambda: book.end("x", "t", "failed", "")):
        with pytest.raises(BadInput, match="remove the file, and what failed may be tried again"):
            act()
