"""Letting a release test itself where it lies, before anything points to it."""

import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from agent_plugin.fault import BadRelease
from agent_plugin.slot import PROGRAM

SECONDS = 20
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


def run_self_test(release: Path, seconds: float = SECONDS) -> None:
    """``zlh-agent --self-test`` must end with 0; ``BadRelease`` with its last words otherwise."""
    with tempfile.TemporaryFile() as words:
        try:
            started = subprocess.Popen(  # noqa: S603 (no shell; the archive was verified)
                [release / PROGRAM, "--self-test"],
                cwd=release,
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                start_new_session=True,
            )
        except OSError as error:
            raise BadRelease(f"{PROGRAM} --self-test cannot be started: {error}") from error
        code = _wait(started, seconds)
        if code != 0:
            ended = _render_code(code, seconds)
            raise BadRelease(f"{PROGRAM} --self-test {ended}: {_read_end(words.fileno())}")


def _wait(started: "subprocess.Popen[bytes]", seconds: float) -> "int | None":
    """Its exit code; None if it had to be killed. Whatever it started ends with it."""
    try:
        return started.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def _render_code(code: "int | None", seconds: float) -> str:
    return f"did not end within {seconds:g} s" if code is None else f"ended with {code}"


def _read_end(handle: int) -> str:
    size = os.fstat(handle).st_size
    return os.pread(handle, 500, max(0, size - 500)).decode(errors="replace").strip() or "it said nothing"
