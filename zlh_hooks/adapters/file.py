"""Files that others read while we write them."""

import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

_MODE = 0o644


def replace_files(contents: Mapping[Path, bytes]) -> None:
    """Replace each at once, readable by all: a reader sees the old content or the new one, also after a crash.

    None is replaced before all are on disk under other names. ``OSError`` if it can't be done; nothing is left behind.
    """
    with ExitStack() as leftovers:
        for new, path in [(_write_beside(path, content, leftovers), path) for path, content in contents.items()]:
            new.replace(path)
    for folder in {path.parent for path in contents}:
        _sync_folder(folder)


def _write_beside(path: Path, content: bytes, leftovers: ExitStack) -> Path:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
        leftovers.callback(Path(new.name).unlink, missing_ok=True)
        new.write(content)
        os.fchmod(new.fileno(), _MODE)
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
