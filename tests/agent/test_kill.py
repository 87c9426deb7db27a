"""The plugin is killed (SIGKILL, a process of its own) before each of its acts on disk and each program it starts.

Generated: a first run counts the acts of a story, then each gets its own death. What follows the death is another plugin,
a boot of the guest and another plugin, or no plugin at all but the deadline. Afterwards one whole release answers.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from agent_plugin.slot import Slots
from agent_plugin.state import load_transaction
from agent_plugin.steps import Step
from agent_plugin.wire import parse_status
from tests.agent.release import Release
from tests.agent.swap_world import World, build, hurry, open_folder
from tests.forked import run_module

ONE, TWO = build("1.0"), build("2.0")
FEW = 9
"""Without the mark ``matrix`` every ninth act is a death."""


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture
def world(folder: Path) -> Iterator[World]:
    hurry()
    made = World(folder / "guest")
    yield made
    made.close()


def run(world: World, verb: str, life: int, *words: str) -> "CompletedProcess[str]":
    return run_module("tests.agent.doomed", world.root, world.port, verb, life, *words)


def bring(world: World, release: "Release | None") -> "tuple[str, ...]":
    """Lay the archive ready; the words that name it."""
    if release is None:
        return ()
    (world.root / "archive.tar.gz").write_bytes(release.archive)
    return release.version, release.sha256


def plugin_again(world: World) -> None:
    assert run(world, "update", 0).returncode == 0


def boot_and_plugin(world: World) -> None:
    """Power was lost: systemd starts whatever ``current`` names, and later the plugin."""
    world.systemd.start(0)
    plugin_again(world)


def deadline_only(world: World) -> None:
    """No plugin comes again, and the guest's agent is restarted by somebody once more."""
    world.systemd.go_back("deadline")
    world.systemd.start(0)


STORIES: "dict[str, tuple[str, Release | None, tuple[Release, ...]]]" = {
    "first": ("install", ONE, ()),
    "good": ("install", TWO, (ONE,)),
    "wrong version": ("install", build("2.0", "wrong-version"), (ONE,)),
    "exits": ("install", build("2.0", "exit"), (ONE,)),
    "taken back": ("revert", None, (ONE, TWO)),
}
AFTERWARDS = {"plugin": plugin_again, "boot": boot_and_plugin, "deadline": deadline_only}


def snapshot(world: World, before: Path) -> "Callable[[], None]":
    shutil.copytree(world.root, before, symlinks=True)

    def restore() -> None:
        shutil.rmtree(world.root)
        shutil.copytree(before, world.root, symlinks=True)

    return restore


def live_through(world: World, story: str, before: Path) -> "tuple[int, Callable[[], None]]":
    """The number of acts of a story that nobody disturbs, and the way to its beginning."""
    verb, release, releases = STORIES[story]
    world.begin(*releases)
    restore = snapshot(world, before)
    done = run(world, verb, 0, *bring(world, release))
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1]), restore


def kill_at(world: World, story: str, afterwards: str, lives: Sequence[int], restore: "Callable[[], None]") -> None:
    verb, release, _ = STORIES[story]
    for life in lives:
        restore()
        assert run(world, verb, life, *bring(world, release)).returncode == -9
        AFTERWARDS[afterwards](world)
        assert_explained(world, story, afterwards, life)


def assert_explained(world: World, story: str, afterwards: str, life: int) -> None:
    where = f"{story}, act {life}, then {afterwards}"
    slots, swap = Slots(world.place), load_transaction(world.place.transaction)
    current = slots.find_current()
    if story == "first" and not current:  # it died before there was anything to start
        assert not world.place.pending.exists(), where
        return
    assert slots.is_whole(current), where
    if story != "first":
        assert world.answered() == (200, current.rpartition("-")[0]), where
        assert world.systemd.read_running()["release"] == current, where
    assert not world.place.pending.exists(), where
    if afterwards != "deadline":
        assert world.list_leftovers() == [], where
        assert swap is None or swap.step is Step.END, where
        told = parse_status(world.place.status.read_bytes()) if world.place.status.exists() else None
        assert told is None or (told.txn, told.step) == (swap.txn if swap else "", "END"), where
        assert swap is None or (swap.outcome == "installed") == (swap.release == current), where


def points(acts: int, step: int) -> "range":
    return range(1, acts + 1, step)


@pytest.mark.parametrize("story", STORIES)
def test_a_plugin_killed_at_any_act_is_finished_or_taken_back_by_the_next_one(
    world: World, folder: Path, story: str, record_property: "Callable[[str, object], None]"
) -> None:
    acts, restore = live_through(world, story, folder / "before")
    kill_at(world, story, "plugin", points(acts, FEW), restore)
    record_property("points", len(points(acts, FEW)))


@pytest.mark.matrix
@pytest.mark.timeout(900)
@pytest.mark.parametrize("afterwards", AFTERWARDS)
@pytest.mark.parametrize("story", STORIES)
def test_after_death_at_every_act_one_whole_release_answers(
    world: World, folder: Path, story: str, afterwards: str, record_property: "Callable[[str, object], None]"
) -> None:
    acts, restore = live_through(world, story, folder / "before")
    kill_at(world, story, afterwards, points(acts, 1), restore)
    record_property("points", acts)
