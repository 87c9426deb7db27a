"""Waiting for a condition, and asking a guest's agent."""

import json
import time
from collections.abc import Callable
from typing import TypeVar

from tests.lab.lab import Lab

Found = TypeVar("Found")


def until(look: Callable[[], Found | None], seconds: float, what: str, pause: float = 0.02) -> Found:
    """The first true answer of ``look``, asked again after ``pause`` seconds.

    AssertionError says what did not come within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(pause)
    raise AssertionError(f"within {seconds:g} s: no {what}")


def read_agent(lab: Lab, address: str, path: str = "/status") -> dict[str, str] | None:
    """The agent's JSON answer; None unless it answers 200."""
    asked = lab.run("curl", "--silent", "--fail", "--max-time", "1", f"http://{address}:18888{path}")
    found: dict[str, str] | None = json.loads(asked.stdout) if asked.returncode == 0 else None
    return found
