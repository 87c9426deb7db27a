"""A new site: its files come into being all together, and none that exists is touched."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zlh_hooks.domain.errors import NotAllowed, ZlhError


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to be made, and who may read it."""

    path: Path
    text: str
    mode: int


def refuse_existing(files: Sequence[NewFile]) -> None:
    """``NotAllowed`` names every file that is there already."""
    there = [str(file.path) for file in files if file.path.exists() or file.path.is_symlink()]
    if there:
        is_are = "exists and is" if len(there) == 1 else "exist and are"
        raise NotAllowed(
            f"{', '.join(there)} {is_are} left alone: change what is there, move it away, "
            "or point elsewhere with --config and --policy"
        )


def make_files(files: Sequence[NewFile], write_new: Callable[[Path, str, int], None]) -> None:
    """Make all of them, or none."""
    refuse_existing(files)
    made: list[Path] = []
    try:
        for file in files:
            write_new(file.path, file.text, file.mode)
            made.append(file.path)
    except ZlhError:
        for path in made:
            path.unlink(missing_ok=True)
        raise
