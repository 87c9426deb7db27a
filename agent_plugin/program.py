"""Running the distribution's own programs: no shell, no input, a deadline, and no process left behind."""

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent_plugin.fault import NotNow
from agent_plugin.words import hide_secrets, make_printable

MANNERS_SECONDS = 30.0
"""So long a program that is asked to end may take: dpkg must not die in the middle of a file."""
LONGEST_WORDS = 500
MOST_BYTES = 16 << 20
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}


@dataclass(frozen=True)
class Done:
    """How a program ended. ``code`` None: it had to be ended; ``output`` and ``errors``: at most 16 MiB each."""

    command: tuple[str, ...]
    code: "int | None"
    output: str
    errors: str

    @property
    def is_well(self) -> bool:
        """Whether it ended with 0."""
        return self.code == 0

    @property
    def words(self) -> str:
        """What it was, how it ended, and the end of what it said: printable, without passwords of addresses."""
        ended = "did not end in time" if self.code is None else f"ended with {self.code}"
        said = make_printable(hide_secrets(self.errors.strip() or self.output.strip()))[-LONGEST_WORDS:]
        return f"{' '.join(self.command[:2])} {ended}: {said or 'it said nothing'}"

    def or_not_now(self) -> "Done":
        """``NotNow`` with its words unless it ended well."""
        if not self.is_well:
            raise NotNow(self.words)
        return self


def run(
    *command: str,
    seconds: float,
    environment: "Mapping[str, str] | None" = None,
    folder: Path = Path("/"),
    is_strange: bool = False,
) -> Done:
    """Run it in ``folder`` to its end; ``NotNow`` if it cannot be started.

    Of a strange one, nothing stays alive: what it started ends with it, and it is not asked to end, but ended. Others
    may start services, and get the time that their manners need.

    Its output goes to memory and not through a pipe, which a service that a package's script starts may keep open.
    """
    with os.fdopen(os.memfd_create("output"), "wb") as output, os.fdopen(os.memfd_create("errors"), "wb") as errors:
        try:
            started = subprocess.Popen(  # noqa: S603 (no shell; callers check every foreign word)
                command,
                cwd=folder,
                env={**ENVIRONMENT, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise NotNow(f"{command[0]} cannot be started: {error}") from error
        code = _wait(started, seconds, () if is_strange else (signal.SIGTERM,))
        if is_strange:
            _signal(started, signal.SIGKILL)
        return Done(command, code, _read(output.fileno()), _read(errors.fileno()))


def _wait(started: "subprocess.Popen[bytes]", seconds: float, before_the_last: "tuple[int, ...]") -> "int | None":
    """Its exit code; None if it and all of its group had to be ended, by these signals and then by the last one."""
    with suppress(subprocess.TimeoutExpired):
        return started.wait(seconds)
    for number in (*before_the_last, signal.SIGKILL):
        _signal(started, number)
        with suppress(subprocess.TimeoutExpired):
            started.wait(MANNERS_SECONDS)
    return None


def _signal(started: "subprocess.Popen[bytes]", number: int) -> None:
    """To all of its group, if there still is one."""
    with suppress(ProcessLookupError):
        os.killpg(started.pid, number)


def _read(handle: int) -> str:
    return os.pread(handle, MOST_BYTES, 0).decode(errors="replace")
