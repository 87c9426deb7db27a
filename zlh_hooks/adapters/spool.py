"""The folder in which a node's guest hook leaves its notes. What lies in it is not believed, and none of it is lost."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, count
from pathlib import Path

from zlh_hooks.adapters.file import enter
from zlh_hooks.application.ports import Clock
from zlh_hooks.domain.errors import RoadError, SettingsError
from zlh_hooks.domain.guest_note import LONGEST_BYTES

BAD = "bad"
"""The folder in it for what is no note."""
PATIENCE = timedelta(seconds=30)
"""How long to wait for another reader."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class FolderSpool:
    """The Spool port on an open folder. ``owner``: whose all notes must be."""

    path: Path
    folder: int
    owner: int

    def list_notes(self) -> tuple[str, ...]:
        """Everything in it, sorted; without the folder for what is bad, and what begins with a dot."""
        with _guarded(self.path):
            names = _list_names(self.folder)
        return tuple(sorted(name for name in names if name != BAD and not name.startswith(".")))

    def read_note(self, name: str) -> str:
        """The text; ``ValueError`` if it is no short text, or not the folder's owner's.

        A note is what a symlink names, which is never followed. Hooks of earlier versions wrote files.
        """
        with _guarded(self.path):
            status = os.stat(name, dir_fd=self.folder, follow_symlinks=False)
            self._check(status)
            read = _read_link if stat.S_ISLNK(status.st_mode) else _read_file
            content = read(self.folder, name)
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise ValueError("it is no text in UTF-8") from error

    def _check(self, status: os.stat_result) -> None:
        if not stat.S_ISLNK(status.st_mode) and not stat.S_ISREG(status.st_mode):
            raise ValueError("it is neither a symlink nor a regular file")
        if status.st_uid != self.owner:
            raise ValueError(f"it belongs to user {status.st_uid}; expected {self.owner}, whose the folder is")
        if status.st_size > LONGEST_BYTES:
            raise ValueError(f"it has {status.st_size} bytes; expected at most {LONGEST_BYTES}")

    def delete_note(self, name: str) -> None:
        """Take it away. It may come back if the machine fails at once."""
        with _guarded(self.path):
            os.unlink(name, dir_fd=self.folder)

    def set_aside(self, name: str) -> None:
        """Move it to where what is bad lies, under a name that is free there."""
        with _guarded(self.path):
            if BAD not in _list_names(self.folder):
                os.mkdir(BAD, 0o700, dir_fd=self.folder)
            bad = os.open(BAD, _FOLDER, dir_fd=self.folder)
            try:
                taken = _list_names(bad)
                names = chain([name], (f"{name}.{number}" for number in count(1)))
                free = next(one for one in names if one not in taken)
                os.rename(name, free, src_dir_fd=self.folder, dst_dir_fd=bad)
            finally:
                os.close(bad)


@contextmanager
def open_spool(path: Path, clock: Clock) -> Iterator[FolderSpool]:
    """The folder, for one reader at a time: ``NotAllowed`` if another one does not end in time.

    ``SettingsError`` if others than root or this user can have put something there.
    """
    folder = _open_folder(path)
    try:
        owner = _find_owner(path, os.fstat(folder))
        enter(folder, PATIENCE, clock, f"another intake is reading {path}, and takes these notes too")
        yield FolderSpool(path, folder, owner)
    finally:
        os.close(folder)


def _open_folder(path: Path) -> int:
    try:
        return os.open(path, _FOLDER)
    except OSError as error:
        found = error.strerror or str(error)
        raise SettingsError(str(path), "--spool", found, "the folder of a guest hook's notes, no link") from error


def _find_owner(path: Path, status: os.stat_result) -> int:
    mine = os.geteuid()
    if status.st_uid not in (0, mine) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        found = f"a folder of user {status.st_uid} with mode {stat.S_IMODE(status.st_mode):04o}"
        expected = f"one of root or of user {mine}, where nobody else may write"
        raise SettingsError(str(path), "--spool", found, expected)
    return status.st_uid


def _read_link(folder: int, name: str) -> bytes:
    return os.readlink(os.fsencode(name), dir_fd=folder)


def _read_file(folder: int, name: str) -> bytes:
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(handle, "rb") as file:
        return file.read(LONGEST_BYTES + 1)


def _list_names(folder: int) -> set[str]:
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries}


@contextmanager
def _guarded(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RoadError(f"{path}: {error.filename!a}: {error.strerror}") from error
