"""Files that come into being whole: a reader sees nothing, or all of it, also after a crash."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zlh_hooks.domain.errors import NotAllowed, SettingsError


def write_new(path: Path, text: str, mode: int) -> None:
    """Make the file; ``NotAllowed`` if it exists, however it came there. Folders above it are made."""
    with _translated(path), _scratch(path, text, mode) as scratch:
        try:
            os.link(scratch, path)
        except FileExistsError as error:
            raise NotAllowed(f"{path} exists and is left as it is; move it away, or point elsewhere") from error


def write_over(path: Path, text: str, mode: int = 0o644) -> None:
    """Make the file or replace it. Folders above it are made."""
    with _translated(path), _scratch(path, text, mode) as scratch:
        scratch.rename(path)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(str(path), "file", reason, "a place that can be written") from error


@contextmanager
def _scratch(path: Path, text: str, mode: int) -> Iterator[Path]:
    """The content in a file beside it, on the disk; gone afterwards unless it was renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
        scratch = Path(new.name)
        try:
            new.write(text)
            os.fchmod(new.fileno(), mode)
            new.flush()
            os.fsync(new.fileno())
            yield scratch
        finally:
            scratch.unlink(missing_ok=True)
