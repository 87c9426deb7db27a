"""The system's clocks, and whether somebody keeps them right."""

import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta

_ANSWERS = {"yes": True, "no": False}


class SystemClock:
    """The Clock port on the machine's own clocks."""

    def now(self) -> datetime:
        """Aware, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds, never set back."""
        return time.monotonic()

    def sleep(self, length: timedelta) -> None:
        """Let time pass; a negative length is none."""
        time.sleep(max(0.0, length.total_seconds()))

    def read_synchronised(self, timeout: timedelta = timedelta(seconds=3)) -> bool | None:
        """Whether the kernel holds the clock for synchronised, by NTP or chrony; None if that cannot be known.

        ``timedatectl`` asks systemd-timedated, which reads ``adjtimex(2)``; in a container there may be neither.
        """
        program = shutil.which("timedatectl")
        if program is None:
            return None
        command = [program, "show", "-p", "NTPSynchronized", "--value"]
        try:
            answer = subprocess.run(  # noqa: S603
                command, capture_output=True, text=True, timeout=timeout.total_seconds(), check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return _ANSWERS.get(answer.stdout.strip()) if answer.returncode == 0 else None
