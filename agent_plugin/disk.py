"""Changes on disk that survive a crash: whoever looks afterwards finds the old or the new, never a half."""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """A rename is on disk only when its folder is."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_file(path: Path, content: bytes) -> None:
    """Replace the file at once, readable by its owner alone. ``OSError`` leaves the old one and nothing beside it."""
    new = _beside(path)
    try:
        _write_new(new, content)
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def remove_halves(*folders: Path) -> None:
    """Remove what a crash left of unfinished changes; only for whoever holds the lock."""
    for folder in folders:
        for half in folder.glob(".*.new"):
            half.unlink()


def _write_new(new: Path, content: bytes) -> None:
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def swap_link(link: Path, target: str) -> None:
    """Let ``link`` name ``target``; there is no moment without the link."""
    new = _beside(link)
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)
    sync_folder(link.parent)


def rename(old: Path, new: Path) -> None:
    """Rename within one folder."""
    old.replace(new)
    sync_folder(new.parent)


def remove_file(path: Path) -> None:
    """Remove it if it is there."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_tree(folder: Path) -> None:
    """Bring to disk what somebody else wrote below the folder."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        sync_folder(Path(place))
