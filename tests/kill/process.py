"""Worker processes: started as an operator starts them, or forked from a server that has imported everything already."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.forked import start_module

_ROOT = Path(__file__).parents[2]


class WorkerProcess:
    """One process of its own, whatever made it; its words go to ``log``."""

    def __init__(self, arguments: list[str], log: Path, forked: bool) -> None:
        self._log = log
        self._guard = threading.Lock()
        self._spawned: subprocess.Popen[bytes] | None = None
        if forked:
            self._process = start_module("tests.kill.launcher", arguments, log)
        else:
            with log.open("ab") as output:
                command = [sys.executable, "-m", "tests.kill.launcher", *arguments]
                self._spawned = subprocess.Popen(command, cwd=_ROOT, stdout=output, stderr=output)

    @property
    def pid(self) -> int:
        """Its number, as long as it lives and nobody has waited for it."""
        return self._spawned.pid if self._spawned else int(self._process.pid or 0)

    def poll(self) -> int | None:
        """Exit code, the negative signal if one ended it, or None while it runs."""
        with self._guard:
            return self._spawned.poll() if self._spawned else self._process.exitcode

    def wait(self, seconds: float) -> int:
        """The exit code of a process that ends in time."""
        deadline = time.monotonic() + seconds
        while (code := self.poll()) is None:  # never inside the guard: another thread may come to kill it
            assert time.monotonic() < deadline, f"the worker did not end: {self.said()}"
            time.sleep(0.01)
        return code

    def kill(self, seconds: float) -> None:
        """SIGKILL, and see it gone; nothing happens to one that has ended."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait(seconds)

    def said(self) -> str:
        """All that it printed."""
        return self._log.read_text()
