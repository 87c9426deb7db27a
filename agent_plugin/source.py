"""The seam between what chooses and brings a release, and what swaps it."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from agent_plugin.fault import BadInput, NotNow

VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_~-]{0,63}")
SHA256 = re.compile(r"[0-9a-f]{64}")
CHUNK = 1 << 20


@dataclass(frozen=True)
class Wanted:
    """A release that shall run here. ``size``: bytes of the archive; ``back_to``: versions to which it may go back."""

    version: str
    sha256: str
    size: int
    back_to: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        """``BadInput`` if it can name no directory."""
        if not VERSION.fullmatch(self.version):
            raise BadInput(f"version {self.version!r}: letters, digits and . + _ ~ - are allowed, at most 64")
        if not SHA256.fullmatch(self.sha256):
            raise BadInput(f"sha256 {self.sha256[:80]!r}: 64 hexadecimal digits in lower case are wanted")
        if self.size < 1:
            raise BadInput(f"size {self.size}: an archive has at least one byte")

    @property
    def release(self) -> str:
        """The release's name; another build of the same version has another one."""
        return f"{self.version}-{self.sha256[:8]}"

    def refuse_way_back(self, version: str) -> None:
        """``NotNow`` if whoever published it says that it cannot be taken back to this version."""
        if self.back_to and version not in self.back_to:
            raise NotNow(f"{self.version} cannot be taken back to {version}, only to {', '.join(self.back_to)}")


def version_of(release: str) -> str:
    """The version in a release's name."""
    return release.rpartition("-")[0]


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
