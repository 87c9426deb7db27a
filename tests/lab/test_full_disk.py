"""A disk that is full, or has no more files to give, at every point of a swap: real file systems, filled to the last page."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent_plugin.slot import Slots
from agent_plugin.update import resume
from tests.agent.swap_world import World, build, hurry

pytestmark = pytest.mark.lab
PAGE = 4096
MOST_FREE = 24
"""With so many free pages or files every story ends as it should; the test sees to it."""
ONE = build("1.0")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    hurry()
    disk, outside = tmp_path / "disk", tmp_path / "outside"
    disk.mkdir()
    outside.mkdir()
    options = f"size={160 * PAGE},nr_inodes=120,mode=0755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=True)
    made = World(disk, outside)
    made.begin(ONE)
    yield made
    made.close()
    subprocess.run(["umount", disk], check=True)


def fill_space(disk: Path, left: int) -> "list[Path]":
    """All but so many pages."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(PAGE)) == PAGE:
                pass
        except OSError:
            pass
        file.truncate(max(0, file.tell() - left * PAGE))
    return [filler]


def fill_files(disk: Path, left: int) -> "list[Path]":
    """All but so many files."""
    made = []
    for number in range(1000):
        try:
            (disk / f"file-{number}").touch()
        except OSError:
            break
        made.append(disk / f"file-{number}")
    for path in made[len(made) - left :]:
        path.unlink()
    return made


@pytest.mark.parametrize("fill", [fill_space, fill_files], ids=["space", "files"])
@pytest.mark.parametrize("fault", ["", "exit", "wrong-version"])
def test_a_full_disk_never_leaves_a_guest_without_a_whole_release_that_answers(
    world: World,
    fill: "Callable[[Path, int], list[Path]]",
    fault: str,
    record_property: "Callable[[str, object], None]",
) -> None:
    outcomes = set()
    for left in range(MOST_FREE):
        release = build(f"2.{left}", fault)
        fillers = fill(world.root, left)
        before = Slots(world.place).find_current()
        outcomes.add(world.install(release).outcome)
        assert_one_whole_release(world, f"{left} left")
        if fault:
            assert Slots(world.place).find_current() == before
        for path in fillers:
            path.unlink(missing_ok=True)
        resume(world.hands())  # somebody has made room
        assert_one_whole_release(world, f"{left} left, then room")
        assert world.list_leftovers() == [], left
    assert {"failed", "reverted" if fault else "installed"} <= outcomes <= {"failed", "reverted", "installed"}
    record_property("points", MOST_FREE)


def assert_one_whole_release(world: World, where: str) -> None:
    slots = Slots(world.place)
    current = slots.find_current()
    assert slots.is_whole(current), where
    assert world.answered() == (200, current.rpartition("-")[0]), where
