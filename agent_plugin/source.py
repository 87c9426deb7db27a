"""The seam between what chooses and brings a release, and what swaps it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent_plugin.fault import NotNow
from agent_plugin.wanted import Wanted

CHUNK = 1 << 20


class Source(Protocol):
    """Who brings archives."""

    def download(self, wanted: Wanted, to: Path) -> None:
        """Write the archive to ``to``, where a part of it may be; it is verified later. ``NotNow`` if it fails."""


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
