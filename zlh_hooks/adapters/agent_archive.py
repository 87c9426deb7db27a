"""What a guest demands of a release's archive, asked on the host before anybody signs it."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from agent_plugin.archive import unpack
from agent_plugin.fault import BadRelease
from agent_plugin.slot import PROGRAM
from zlh_hooks.domain.errors import NotAllowed, SettingsError


def refuse_archive(data: bytes) -> None:
    """``NotAllowed`` says what guests would refuse. It is unpacked by their own code, beside nothing, and not run."""
    try:
        with TemporaryDirectory(prefix="zlh-release-") as folder:
            _try(data, Path(folder))
    except BadRelease as error:
        raise NotAllowed(f"guests would refuse this build: {error}") from error
    except OSError as error:
        raise SettingsError(gettempdir(), "folder", str(error), "room to unpack the build") from error


def _try(data: bytes, folder: Path) -> None:
    archive, release = folder / "build.tar.gz", folder / "release"
    archive.write_bytes(data)
    unpack(archive, release, reserve=0)
    program = release / PROGRAM
    if not program.is_file() or not os.access(program, os.X_OK):
        raise BadRelease(f"it has no program {PROGRAM} at its top that can be executed")
