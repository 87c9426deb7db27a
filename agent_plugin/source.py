"""The seam between what chooses and brings a release, and what swaps it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent_plugin.fault import NotNow
from agent_plugin.wanted import Wanted

CHUNK = 1 << 20


def part_of(to: Path) -> Path:
    """Where what was brought of an archive lies until it is whole."""
    return to.with_name(f"{to.name}.part")


def size_of_part(to: Path) -> int:
    """Its bytes; 0 if there is none."""
    try:
        return part_of(to).stat().st_size
    except OSError:
        return 0


class Source(Protocol):
    """Who brings archives."""

    def download(self, wanted: Wanted, to: Path) -> None:
        """Write the archive to ``to``, going on with its part if there is one; ``NotNow`` if it fails.

        It is verified later.
        """


@dataclass(frozen=True)
class FileSource:
    """An archive that a person has put on this machine."""

    file: Path

    def download(self, wanted: Wanted, to: Path) -> None:
        """Copy it, so that nobody can change it after it was verified."""
        try:
            with self.file.open("rb") as old, to.open("wb") as new:
                while (chunk := old.read(CHUNK)) and new.tell() <= wanted.size:  # a file that grows is refused later
                    new.write(chunk)
                new.flush()
                os.fsync(new.fileno())
        except OSError as error:
            raise NotNow(f"{self.file} could not be copied: {error}") from error
