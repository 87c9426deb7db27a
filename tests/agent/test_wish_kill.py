"""The timer's check is killed (SIGKILL, a process of its own) before each of its acts while it follows a wish.

Generated: a first run counts the acts of a story, then each gets its own death. The next check ends it, and the one after
that has nothing left to do.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from agent_plugin.patch_state import Patch, find_patch
from agent_plugin.patch_steps import PATCH
from agent_plugin.wish import Wish
from agent_plugin.wish_book import UNTOUCHED, WishBook
from tests.agent.conftest import need_guests_client
from tests.agent.patch_world import GAME, list_leftovers, make_hands
from tests.agent.repository_bench import RepositoryBench, make
from tests.agent.swap_world import open_folder
from tests.agent.update_server import update_server
from tests.agent.wish_bench import WishGuest, back_from, wish
from tests.forked import run_module

need_guests_client()

ONE, TWO = {"aa": "1", "bb": "1"}, {"aa": "2", "bb": "2"}
FEW = 17
"""Without the mark ``matrix`` every seventeenth act is a death."""

STORIES: "dict[str, tuple[dict[str, object], bool, str, dict[str, str]]]" = {
    "good": ({}, True, "done", TWO),
    "outside of windows": ({}, False, "done", TWO),
    "script fails": ({"faults": ["script-fails"]}, True, "failed", ONE),
    "helper falls": ({"faults": ["helper-falls"]}, True, "failed", ONE),
    "waits for a window": ({"touches": [GAME]}, False, "waits", ONE),
    "way back": ({}, False, "done", ONE),
}
"""What is peculiar in the guest, whether a window is open, and how the wish and the packages end in the end."""
WAY_BACK = "way back"
"""Here a wish was done before, and what is killed is the check that takes it back."""


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture
def bench(folder: Path) -> RepositoryBench:
    return make(folder / "host")


@pytest.fixture
def guest(folder: Path, bench: RepositoryBench) -> Iterator[WishGuest]:
    with update_server(bench.public) as server:
        made = WishGuest(folder / "guest", bench, server)
        yield made
        made.world.close()


def run(guest: WishGuest, life: int, times: int = 1) -> "CompletedProcess[str]":
    return run_module("tests.agent.wish_doomed", guest.root, guest.world.port, guest.url, life, times, timeout=120)


def kill_at_acts(guest: WishGuest, story: str, every: int) -> int:
    peculiar, is_open, state, versions = STORIES[story]
    if story == WAY_BACK:
        guest.wish(wish(1))
    wanted = back_from(wish(1), 2) if story == WAY_BACK else wish(1)
    guest.packages.write(**peculiar)
    guest.bench.wish(wanted, **({} if is_open else {"windows": ()}))
    before = guest.root.with_name("before")
    shutil.copytree(guest.root, before, symlinks=True)
    acts = int(run(guest, 0).stdout.split()[-1])
    every *= 2 if story == WAY_BACK else 1  # half of its acts are any check's, and are deaths in the other stories
    for life in range(1, acts + 1, every):
        shutil.rmtree(guest.root)
        shutil.copytree(before, guest.root, symlinks=True)
        assert run(guest, life).returncode == -9
        touched = find_touched(guest, wanted)
        again = run(guest, 0, 2)
        assert again.returncode == 0, again.stderr
        assert_ended(guest, f"{story}, act {life}", state, versions)
        first, second = (line for line in again.stdout.splitlines() if line.startswith("last: "))
        assert first == second or state == "waits", f"{story}, act {life}: tried once more"
        assert touched is None or f"last: {touched.txn}" == first, (
            f"{story}, act {life}: tried again after it was touched"
        )
    return len(range(1, acts + 1, every))


def find_touched(guest: WishGuest, wanted: Wish) -> "Patch | None":
    """The patch in whose life packages may have been touched."""
    tried, last = WishBook(guest.place.wishes).find(wanted.id), find_patch(guest.place.patch)
    may_be = tried is not None and tried.outcome not in UNTOUCHED
    return last if may_be and last is not None and last.step not in PATCH.untouched else None


def assert_ended(guest: WishGuest, where: str, state: str, versions: "dict[str, str]") -> None:
    told = guest.told()
    assert (told.state, guest.versions()) == (state, versions), where
    assert not guest.last().is_open, where
    assert (guest.status().patch or told).txn == told.txn, where
    assert guest.packages.read()["running"][GAME] == "game-1", where
    assert guest.packages.read()["outdated"] == [], where
    assert list_leftovers(make_hands(guest.root), keeps=versions is TWO) == [], where
    assert guest.world.answered() == (200, "1.4.2"), where


@pytest.mark.timeout(300)
@pytest.mark.parametrize("story", STORIES)
def test_a_check_killed_at_an_act_of_a_wish_is_ended_by_the_next_one(
    guest: WishGuest, story: str, record_property: "Callable[[str, object], None]"
) -> None:
    record_property("points", kill_at_acts(guest, story, FEW))


@pytest.mark.matrix
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("story", STORIES)
def test_after_death_at_every_act_of_a_check_with_a_wish_it_is_decided_once(
    guest: WishGuest, story: str, record_property: "Callable[[str, object], None]"
) -> None:
    record_property("points", kill_at_acts(guest, story, 1))
