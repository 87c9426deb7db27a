"""A release that shall run in a guest. Nothing else is needed to swap it: no library beside Python's own."""

import re
from dataclasses import dataclass

from agent_plugin.fault import BadInput, NotNow

VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_~-]{0,63}")
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Wanted:
    """A release that shall run here: SHA-256 in hex, ``size`` in bytes of the archive.

    ``back_to``: the versions that a guest may go back to from it. ``pin`` is the pin's number: a version that failed
    is tried again under a new number only; ``rule`` is what decided.
    """

    version: str
    sha256: str
    size: int
    back_to: tuple[str, ...] = ()
    pin: int = 0
    rule: str = ""

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

    def is_same_archive(self, other: "Wanted") -> bool:
        """Whether both want the same bytes, be it by another pin."""
        return (self.version, self.sha256, self.size) == (other.version, other.sha256, other.size)

    def refuse_way_back(self, version: str) -> None:
        """``NotNow`` if whoever published it says that it cannot be taken back to this version."""
        if self.back_to and version not in self.back_to:
            raise NotNow(f"{self.version} cannot be taken back to {version}, only to {', '.join(self.back_to)}")


def version_of(release: str) -> str:
    """The version in a release's name."""
    return release.rpartition("-")[0]
