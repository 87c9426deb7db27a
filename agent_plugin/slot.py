"""Releases on disk: ``releases/<version>-<sha8>/``, whole only with ``.complete``; the links that choose one."""

import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from agent_plugin.disk import remove_file, rename, swap_link, sync_folder, write_file
from agent_plugin.fault import BadInput, NotNow
from agent_plugin.place import Place
from agent_plugin.wanted import Wanted

COMPLETE = ".complete"
PROGRAM = "zlh-agent"
"""Every release has this program at its top."""
NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_~-]*-[0-9a-f]{8}")


class Slots:
    """The releases of one guest."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def path(self, release: str) -> Path:
        """Where a release lies."""
        return self._place.releases / release

    def is_whole(self, release: str) -> bool:
        """Whether it was unpacked to the end."""
        return NAME.fullmatch(release) is not None and (self.path(release) / COMPLETE).is_file()

    def read_link(self, link: Path) -> str:
        """The release that a link names; empty if there is no such link, or it names nothing of ours."""
        try:
            folder, _, name = str(link.readlink()).rpartition("/")
        except OSError:
            return ""
        return name if folder == self._place.releases.name and NAME.fullmatch(name) else ""

    def find_current(self) -> str:
        """The release that the next start of the agent takes."""
        return self.read_link(self._place.current)

    def find_previous(self) -> str:
        """The one before it."""
        return self.read_link(self._place.previous)

    def link(self, link: Path, release: str) -> None:
        """Let a link name a release, at once; ``NotNow`` if that is not whole."""
        if not self.is_whole(release):
            raise NotNow(f"{self.path(release)} is not a whole release: {COMPLETE} is missing")
        swap_link(link, f"{self._place.releases.name}/{release}")

    def commit(self) -> None:
        """The way back becomes ``previous``. ``FileNotFoundError`` if a net has gone back."""
        rename(self._place.back, self._place.previous)

    def mark_whole(self, wanted: Wanted) -> None:
        """The last act of unpacking; the mark says which archive it was."""
        mark = {"version": wanted.version, "sha256": wanted.sha256, "size": wanted.size, "back_to": wanted.back_to}
        write_file(self.path(wanted.release) / COMPLETE, json.dumps(mark).encode())
        sync_folder(self._place.releases)

    def read_mark(self, release: str) -> Wanted:
        """The archive that a whole release came from; ``NotNow`` if its mark is damaged."""
        path = self.path(release) / COMPLETE
        try:
            mark = json.loads(path.read_bytes())
            return Wanted(mark["version"], mark["sha256"], mark["size"], tuple(mark["back_to"]))
        except (OSError, ValueError, KeyError, TypeError, BadInput) as error:
            raise NotNow(f"{path} does not say which archive the release came from: {error}") from error

    def remove(self, release: str) -> None:
        """Remove a release that nothing names: its mark first, so that what is left of it can never be chosen."""
        path = self.path(release)
        if not path.exists():
            return
        if release in self.list_named():
            raise NotNow(f"{path} is in use and stays")
        remove_file(path / COMPLETE)
        shutil.rmtree(path)
        sync_folder(self._place.releases)

    def list_named(self) -> "frozenset[str]":
        """Releases that a link, a release on trial or a running process names."""
        links = (self._place.current, self._place.previous, self._place.back)
        return frozenset({*map(self.read_link, links), *self.read_pending(), *self._list_running()} - {""})

    def read_pending(self) -> "tuple[str, ...]":
        """The release on trial and the one to go back to; empty if none is on trial."""
        try:
            return tuple(self._place.pending.read_text().splitlines()[:2])
        except OSError:
            return ()

    def clean(self) -> None:
        """Remove every release that nothing names."""
        named = self.list_named()
        for path in sorted(self._place.releases.iterdir()):
            if path.is_dir() and not path.is_symlink() and NAME.fullmatch(path.name) and path.name not in named:
                self.remove(path.name)

    def _list_running(self) -> "frozenset[str]":
        below = f"{self._place.releases.resolve()}/"
        found = (name for process in Path("/proc").glob("[0-9]*") for name in _list_files(process))
        return frozenset(name.removeprefix(below).split("/")[0] for name in found if name.startswith(below))

    def check_owner(self) -> None:
        """``NotNow`` if somebody else than this user could exchange what is started as root."""
        for path in (self._place.home, self._place.releases):
            found = path.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
                raise NotNow(f"{path} must be a folder that belongs to root and that no one else may write (chmod 755)")


def _list_files(process: Path) -> Iterator[str]:
    """What a process runs, where it stands and what it holds open; nothing if it is gone or not ours to see."""
    try:
        handles = list((process / "fd").iterdir())
    except OSError:
        handles = []
    for link in (process / "exe", process / "cwd", *handles):
        try:
            yield str(link.readlink())
        except OSError:
            continue
