"""Releases as archives, for tests that need no real agent."""

import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

from agent_plugin.wanted import Wanted

NAME = "game-base"
"""The line that guests are of."""


@dataclass(frozen=True)
class Release:
    """An archive and what it is called."""

    version: str
    archive: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.archive).hexdigest()

    @property
    def wanted(self) -> Wanted:
        return Wanted(self.version, self.sha256, len(self.archive))

    @property
    def name(self) -> str:
        return self.wanted.release


def pack(version: str, files: Mapping[str, bytes]) -> Release:
    """``zlh-agent`` is executable, everything else is not."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755 if name == "zlh-agent" else 0o644
            tar.addfile(member, io.BytesIO(content))
    return Release(version, packed.getvalue())
