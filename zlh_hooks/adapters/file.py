"""Files that others read while we write them: they see all of the old content or of the new, also after a crash.

What root writes belongs to whom its folder belongs to: a worker of less rights goes on with it.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

from zlh_hooks.application.ports import Clock
from zlh_hooks.domain.errors import NotAllowed, SettingsError

READABLE = 0o644
LOCK_POLL = timedelta(milliseconds=50)


def replace_files(contents: Mapping[Path, bytes]) -> None:
    """Replace each at once, readable by all.

    None is replaced before all are on disk under other names. ``OSError`` if it can't be done; nothing is left behind.
    """
    with ExitStack() as leftovers:
        news = [(_write_beside(path, content, READABLE, leftovers), path) for path, content in contents.items()]
        for new, path in news:
            new.replace(path)
    for folder in {path.parent for path in contents}:
        _sync_folder(folder)


def make_folders(path: Path, mode: int) -> None:
    """Make it and what is missing above it, with this mode whatever the umask says."""
    for folder in reversed([one for one in (path, *path.parents) if not one.is_dir()]):
        folder.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            give_to_owner(handle, folder.parent)
            os.fchmod(handle, mode)
        finally:
            os.close(handle)


def give_to_owner(handle: int, folder: Path) -> None:
    """If root has made it and the folder is somebody else's, so is the file."""
    owner = folder.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.fchown(handle, owner.st_uid, owner.st_gid)


def enter(handle: int, patience: timedelta, clock: Clock, refusal: str) -> None:
    """Lock it until it is closed, or the process ends; ``NotAllowed`` with the refusal if another one has it longer."""
    deadline = clock.monotonic() + patience.total_seconds()
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if clock.monotonic() >= deadline:
                raise NotAllowed(refusal) from error
        clock.sleep(LOCK_POLL)


@contextmanager
def held_folder(folder: Path, patience: timedelta, clock: Clock, refusal: str) -> Iterator[None]:
    """One process at a time is inside; ``NotAllowed`` with the refusal if another one does not leave in time."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        found = error.strerror or str(error)
        raise SettingsError(str(folder), "folder", found, "a folder that you may read") from error
    try:
        enter(handle, patience, clock, refusal)
        yield
    finally:
        os.close(handle)


def write_new(path: Path, text: str, mode: int) -> None:
    """Make the file; ``NotAllowed`` if it exists, however it came there. Folders above it are made."""
    with _written(path, text, mode) as new:
        try:
            os.link(new, path)
        except FileExistsError as error:
            raise NotAllowed(f"{path} exists and is left as it is; move it away, or point elsewhere") from error


def write_over(path: Path, text: str, mode: int = READABLE) -> None:
    """Make the file or replace it. Folders above it are made."""
    with _written(path, text, mode) as new:
        new.replace(path)


@contextmanager
def _written(path: Path, text: str, mode: int) -> Iterator[Path]:
    """The content in a file beside it, which is given its name meanwhile. ``SettingsError`` if it can't be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as leftovers:
            yield _write_beside(path, text.encode(), mode, leftovers)
        _sync_folder(path.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(str(path), "file", reason, "a place that can be written") from error


def _write_beside(path: Path, content: bytes, mode: int, leftovers: ExitStack) -> Path:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
        leftovers.callback(Path(new.name).unlink, missing_ok=True)
        new.write(content)
        give_to_owner(new.fileno(), path.parent)
        os.fchmod(new.fileno(), mode)
        new.flush()
        os.fsync(new.fileno())
    return Path(new.name)


def _sync_folder(folder: Path) -> None:
    """A rename is on disk only when its folder is."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
