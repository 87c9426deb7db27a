"""Unpacking a release: an archive is a stranger's list of wishes, and only harmless ones are granted.

Files and folders are made by this code with modes of its own, never by :mod:`tarfile`'s extraction, whose filters are
missing in some Pythons from 3.10 on. Links are made last, so that nothing is ever written through one.
"""

import gzip
import os
import re
import shutil
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from agent_plugin.disk import sync_folder
from agent_plugin.fault import BadRelease, NotNow
from agent_plugin.slot import COMPLETE
from agent_plugin.source import CHUNK

MOST_BYTES = 1 << 30
MOST_MEMBERS = 20_000
LONGEST_PATH = 512
_PLAIN = re.compile(r"[^\x00-\x1f\x7f\\]+")


@dataclass
class _Bounded:
    """A decompressed stream that ends with an error where a bomb would go on."""

    stream: "IO[bytes]"
    left: int

    def read(self, size: int = CHUNK) -> bytes:
        data = self.stream.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise BadRelease(f"the archive unpacks to more than {MOST_BYTES} bytes")
        return data


def unpack(archive: Path, target: Path, reserve: int) -> None:
    """Unpack a ``.tar.gz`` into a new folder, everything synced. ``reserve`` bytes of the disk stay free.

    ``BadRelease`` names the member that is not wanted; ``NotNow`` if the disk cannot take it.
    """
    target.mkdir(mode=0o755)
    unpacking = _Unpacking(target, reserve, {})
    try:
        with gzip.open(archive, "rb") as plain, _open_tar(_Bounded(plain, MOST_BYTES)) as tar:  # type: ignore[arg-type]
            for count, member in enumerate(tar):
                unpacking.take(tar, member, count)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadRelease(f"the archive is not a whole .tar.gz: {error}") from error
    for path, destination in unpacking.links.items():
        (target / path).symlink_to(destination)
    for path in unpacking.links:
        _check_link(target / path, target.resolve())
    for folder, _, _ in os.walk(target):
        sync_folder(Path(folder))


def _check_link(link: Path, target: Path) -> None:
    """Looked at as the kernel does, too: a link through another link may lead elsewhere than its words say."""
    try:
        inside = link.resolve(strict=True).is_relative_to(target)
    except (OSError, RuntimeError):
        inside = False
    if not inside:
        raise BadRelease(f"the link {link.name!r} leads out of the release, or to nothing")


def _open_tar(stream: "IO[bytes]") -> tarfile.TarFile:
    return tarfile.open(fileobj=stream, mode="r|")


@dataclass
class _Unpacking:
    """One archive on its way into ``target``; ``links`` are made at the end."""

    target: Path
    reserve: int
    links: "dict[PurePosixPath, str]"

    def take(self, tar: tarfile.TarFile, member: tarfile.TarInfo, count: int) -> None:
        """Grant one member."""
        if count >= MOST_MEMBERS:
            raise BadRelease(f"the archive has more than {MOST_MEMBERS} members")
        path = choose_path(member)
        if path == PurePosixPath():
            return
        if any(parent in self.links for parent in (path, *path.parents)):
            raise BadRelease(f"{member.name!r} would be written through a link of the same archive")
        try:
            self._make(tar, member, path)
        except (FileExistsError, NotADirectoryError) as error:
            raise BadRelease(f"{member.name!r} is in the archive twice, as different things") from error

    def _make(self, tar: tarfile.TarFile, member: tarfile.TarInfo, path: PurePosixPath) -> None:
        (self.target / path.parent).mkdir(mode=0o755, parents=True, exist_ok=True)
        if member.isdir():
            (self.target / path).mkdir(mode=0o755, exist_ok=True)
        elif not member.issym():
            self._write(tar, member, self.target / path)
        elif (self.target / path).exists():
            raise FileExistsError(path)
        else:
            self.links[path] = choose_destination(path, member)

    def _write(self, tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
        content = tar.extractfile(member)
        if content is None or member.size < 0:
            raise BadRelease(f"{member.name!r} has no content")
        if shutil.disk_usage(self.target).free < member.size + self.reserve:
            raise NotNow(f"{member.name!r} has {member.size} bytes, and {self.reserve} of the disk must stay free")
        mode = 0o755 if member.mode & 0o111 else 0o644
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(handle, "wb") as file:
            shutil.copyfileobj(content, file, CHUNK)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())


def choose_path(member: tarfile.TarInfo) -> PurePosixPath:
    """Where a member may lie, relative to the release; ``BadRelease`` if nowhere."""
    name = member.name
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE):
        raise BadRelease(f"{name!r} is neither a file, a folder nor a symbolic link")
    if member.mode & 0o7000:
        raise BadRelease(f"{name!r} has a set-id or sticky bit")
    if not _PLAIN.fullmatch(name) or len(name) > LONGEST_PATH:
        raise BadRelease(f"{name[:80]!r} is not a plain path of at most {LONGEST_PATH} characters")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise BadRelease(f"{name!r} leads out of the release")
    if path.parts[:1] == (COMPLETE,):
        raise BadRelease(f"{name!r} is the mark that only the plugin sets")
    return path


def choose_destination(path: PurePosixPath, member: tarfile.TarInfo) -> str:
    """What a symbolic link may name: something inside the release; ``BadRelease`` otherwise."""
    if not _PLAIN.fullmatch(member.linkname) or PurePosixPath(member.linkname).is_absolute():
        raise BadRelease(f"the link {member.name!r} does not name a path inside the release")
    depth = len(path.parts) - 1
    for part in PurePosixPath(member.linkname).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            raise BadRelease(f"the link {member.name!r} leads out of the release")
    return member.linkname
