"""A guest takes back what a wish brought when a later wish says so: once, exactly that, and nothing that came after it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent_plugin import patch
from agent_plugin.fault import NotNow
from agent_plugin.patch_act import Patching
from agent_plugin.patch_wanted import Package, PatchWanted
from agent_plugin.wish import Wish
from agent_plugin.wish_book import WishBook
from tests.agent.conftest import need_guests_client
from tests.agent.patch_world import GAME, FolderPackages, list_leftovers
from tests.agent.repository_bench import RepositoryBench
from tests.agent.test_patch_follow import ONE, TWO, Power, hands, lose_power
from tests.agent.update_server import UpdateServer
from tests.agent.wish_bench import SECURITY, WishGuest, back_from, wish

need_guests_client()


@pytest.fixture
def guest(tmp_path: Path, bench: RepositoryBench, server: UpdateServer) -> Iterator[WishGuest]:
    made = WishGuest(tmp_path / "guest", bench, server)
    yield made
    made.world.close()


def state_of(guest: WishGuest, one: Wish) -> str:
    tried = WishBook(guest.place.wishes).find(one.id)
    return tried.state if tried else ""


def test_what_a_wish_brought_is_taken_back_once_at_any_hour_while_the_game_runs(guest: WishGuest) -> None:
    guest.wish(wish(1))
    assert guest.versions() == TWO
    back = back_from(wish(1), 2)
    assert guest.wish(back, windows=()) == 0
    assert (guest.versions(), guest.told().state, guest.last().outcome) == (ONE, "done", "reverted")
    assert state_of(guest, wish(1)) == "failed", "it is not brought again under its own wish"
    txn = guest.last().txn
    assert guest.check() == 0
    assert (guest.last().txn, guest.versions()) == (txn, ONE)
    assert guest.packages.read()["running"][GAME] == "game-1"
    assert list_leftovers(hands(guest), keeps=False) == []


def test_what_was_taken_back_comes_again_under_a_new_wish(guest: WishGuest) -> None:
    guest.wish(wish(1))
    guest.wish(back_from(wish(1), 2))
    assert guest.wish(wish(3)) == 0
    assert (guest.versions(), guest.told().state) == (TWO, "done")


def never_wished(guest: WishGuest) -> None:
    guest.check()


def had_it_all(guest: WishGuest) -> None:
    guest.packages.write(offered={})
    guest.wish(wish(1))


def went_back_by_itself(guest: WishGuest) -> None:
    guest.packages.write(faults=["helper-falls"])
    guest.wish(wish(1))


def a_person_took_it_back(guest: WishGuest) -> None:
    guest.wish(wish(1))
    patch.take_back(hands(guest))


def could_not_be_brought(guest: WishGuest) -> None:
    guest.packages.write(faults=["road"])
    guest.wish(wish(1))


def waited_for_a_window(guest: WishGuest) -> None:
    guest.packages.write(touches=[GAME])
    guest.wish(wish(1), windows=())


def did_another_wish(guest: WishGuest) -> None:
    guest.wish(wish(7))
    guest.packages.write(offered={})


@pytest.mark.parametrize(
    "before",
    [
        *(never_wished, had_it_all, went_back_by_itself, a_person_took_it_back),
        *(could_not_be_brought, waited_for_a_window, did_another_wish),
    ],
)
def test_a_guest_with_nothing_to_take_back_does_nothing_and_is_done(guest: WishGuest, before: object) -> None:
    before(guest)  # type: ignore[operator]
    versions, patched = guest.versions(), guest.place.patched.exists()
    assert guest.wish(back_from(wish(1), 8)) == 0
    assert (guest.versions(), guest.told().state, guest.told().txn) == (versions, "done", "")
    assert guest.place.patched.exists() == patched


def test_what_changed_since_is_not_undone_and_the_reason_is_told(guest: WishGuest) -> None:
    guest.wish(wish(1))
    guest.packages.write(installed={"aa": "3", "bb": "2"})
    assert guest.wish(back_from(wish(1), 2)) == 1
    assert (guest.versions(), guest.told().state) == ({"aa": "3", "bb": "2"}, "failed")
    assert guest.told().reason.startswith("aa changed since the patch")


def test_a_way_back_that_could_not_look_is_tried_at_the_next_check(
    guest: WishGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object) -> None:
        raise NotNow("dpkg-query did not end within 120 s")

    guest.wish(wish(1))
    with monkeypatch.context() as patched:
        patched.setattr(FolderPackages, "read_installed", busy)
        assert guest.wish(back_from(wish(1), 2)) == 1
    assert (guest.versions(), guest.told().number, guest.told().state) == (TWO, 2, "")
    assert guest.check() == 0
    assert (guest.versions(), guest.told().state) == (ONE, "done")


def test_what_is_not_kept_any_more_cannot_be_taken_back_and_that_is_told(guest: WishGuest) -> None:
    guest.wish(wish(1))
    guest.packages.write(offered={"bb": "3"})
    guest.wish(wish(2, PatchWanted(packages=(Package("bb", "3"),))))
    assert guest.wish(back_from(wish(1), 3)) == 1
    assert (guest.versions(), guest.told().state) == ({"aa": "2", "bb": "3"}, "failed")
    assert "not kept" in guest.told().reason


def test_kept_packages_that_are_gone_leave_the_new_ones_and_a_guest_that_is_stuck(guest: WishGuest) -> None:
    guest.wish(wish(1))
    shutil.rmtree(guest.place.packages)
    assert guest.wish(back_from(wish(1), 2)) == 1
    assert (guest.versions(), guest.told().state, guest.last().outcome) == (TWO, "failed", "stuck")


def test_a_way_back_that_was_stuck_and_that_a_person_has_finished_is_done(guest: WishGuest) -> None:
    guest.wish(wish(1))
    guest.packages.write(faults=["no-way-back"])
    assert guest.wish(back_from(wish(1), 2)) == 1
    guest.packages.write(faults=[])
    patch.take_back(hands(guest))
    assert guest.check() == 0
    assert (guest.versions(), guest.told().state) == (ONE, "done")


def test_a_patch_that_is_stuck_is_taken_back_too(guest: WishGuest) -> None:
    guest.packages.write(faults=["helper-falls", "no-way-back"])
    guest.wish(wish(1))
    assert guest.last().outcome == "stuck"
    guest.packages.write(faults=[])
    assert guest.wish(back_from(wish(1), 2)) == 0
    assert (guest.versions(), guest.told().state) == (ONE, "done")


def is_wished_something(guest: WishGuest) -> None:
    assert guest.wish(wish(2)) == 1
    assert (guest.told().number, guest.told().state) == (2, "")


def is_asked_for_fixes(guest: WishGuest) -> None:
    with pytest.raises(NotNow, match="the last patch is stuck: zlh-agent-plugin patch revert first"):
        patch.bring(hands(guest), SECURITY)


def is_asked_what_waits(guest: WishGuest) -> None:
    with pytest.raises(NotNow, match="the last patch is stuck: zlh-agent-plugin patch revert first"):
        patch.bring(hands(guest), PatchWanted())


def takes_back_what_it_never_had(guest: WishGuest) -> None:
    assert guest.wish(back_from(wish(7), 8)) == 0


@pytest.mark.parametrize(
    ("meanwhile", "who"),
    [
        (is_wished_something, "a wish"),
        (is_asked_for_fixes, "a person"),
        (is_asked_what_waits, "a wish"),
        (takes_back_what_it_never_had, "a person"),
    ],
)
def test_whatever_is_wished_or_asked_after_a_stuck_patch_its_way_back_still_works(
    guest: WishGuest, meanwhile: "Callable[[WishGuest], None]", who: str
) -> None:
    guest.packages.write(faults=["script-fails", "no-way-back"])
    guest.wish(wish(1))
    assert guest.last().outcome == "stuck"
    guest.packages.write(faults=[])
    meanwhile(guest)
    if who == "a person":
        assert patch.take_back(hands(guest)).outcome == "reverted"
    else:
        assert guest.wish(back_from(wish(1), 9)) == 0
    assert (guest.versions(), list_leftovers(hands(guest), keeps=False)) == (ONE, [])


def test_a_wish_that_a_stuck_patch_held_up_is_followed_once_that_is_taken_back(guest: WishGuest) -> None:
    guest.packages.write(faults=["helper-falls", "no-way-back"])
    guest.wish(wish(1))
    guest.packages.write(faults=[])
    assert guest.wish(wish(2)) == 1
    patch.take_back(hands(guest))
    assert guest.check() == 0
    assert (guest.versions(), guest.told().state) == (TWO, "done")


def test_a_patch_before_the_stuck_one_is_taken_back_after_it(guest: WishGuest) -> None:
    first = wish(1, PatchWanted(packages=(Package("aa", "2"),)))
    guest.wish(first)
    guest.packages.write(faults=["script-fails", "no-way-back"])
    guest.wish(wish(2))
    guest.packages.write(faults=[])
    assert guest.wish(back_from(first, 3)) == 1
    assert guest.told().state == ""
    assert patch.take_back(hands(guest)).outcome == "reverted"
    assert guest.versions() == {"aa": "2", "bb": "1"}
    assert guest.check() == 0
    assert (guest.versions(), guest.told().state, guest.place.patched.exists()) == (ONE, "done", False)


def test_a_stuck_patch_whose_old_packages_are_gone_holds_up_nobody(guest: WishGuest) -> None:
    guest.packages.write(faults=["helper-falls", "no-way-back"])
    guest.wish(wish(1))
    guest.packages.write(faults=[], offered={"aa": "3", "bb": "3"})
    shutil.rmtree(guest.place.packages)
    assert guest.wish(wish(2)) == 0
    assert guest.versions() == {"aa": "3", "bb": "3"}


def test_a_way_back_that_lost_its_power_is_finished_though_it_is_wished_no_more(
    guest: WishGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest.wish(wish(1))
    with monkeypatch.context() as patched, pytest.raises(Power):
        patched.setattr(Patching, "_discard", lose_power)
        guest.wish(back_from(wish(1), 2))
    guest.wish()
    assert (guest.versions(), guest.last().is_open) == (ONE, False)
    assert state_of(guest, back_from(wish(1), 2)) == "done"
    assert list_leftovers(hands(guest), keeps=False) == []


def test_a_book_that_took_no_word_of_a_way_back_learns_it_from_the_patch(
    guest: WishGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    guest.wish(wish(1))
    with monkeypatch.context() as patched:
        patched.setattr(WishBook, "end", full)
        guest.wish(back_from(wish(1), 2))
    assert guest.told().state == ""
    txn = guest.last().txn
    assert guest.check() == 0
    assert (guest.told().state, guest.last().txn, state_of(guest, wish(1))) == ("done", txn, "failed")


def test_a_wish_whose_own_way_back_the_book_never_heard_of_has_nothing_to_take_back(
    guest: WishGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    guest.packages.write(faults=["helper-falls"])
    with monkeypatch.context() as patched:
        patched.setattr(WishBook, "end", full)
        guest.wish(wish(1))
    assert guest.wish(back_from(wish(1), 2)) == 0
    assert (guest.versions(), guest.told().state) == (ONE, "done")


def test_while_packages_move_the_wish_is_called_failed_and_the_patch_is_told_as_under_way(
    guest: WishGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, pytest.raises(Power):
        patched.setattr(Patching, "_restart", lose_power)
        guest.wish(wish(1))
    told = guest.status()
    assert told.patch is not None
    assert (told.patch.step, told.patch.outcome) == ("RESTART", "")
    tried = WishBook(guest.place.wishes).find(wish(1).id)
    assert tried is not None and (tried.state, tried.txn) == ("failed", told.patch.txn)


def test_a_plugin_that_knows_ways_back_says_so(guest: WishGuest) -> None:
    guest.check()
    assert guest.status().abilities == ("revert-wish",)
