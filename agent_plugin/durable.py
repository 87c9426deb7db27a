"""Files that are there whole or not at all, also after the power failed."""

import os
from pathlib import Path


def write_durably(path: Path, data: bytes) -> None:
    """Replace the file; on disk when this returns."""
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    publish_durably(part, path)


def publish_durably(part: Path, path: Path) -> None:
    """Give a finished file its name; its content must be on disk already."""
    part.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """A name is on disk only when its folder is."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Bring to disk what somebody else wrote below the folder."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        sync_folder(Path(place))
