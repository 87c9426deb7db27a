"""The result of a check: a release to install, or why there is nothing to do."""

from dataclasses import dataclass
from datetime import datetime

from agent_plugin.desired import Ruling


@dataclass(frozen=True)
class Wanted:
    """A release that operators and release keys agree on: SHA-256 in hex, size in bytes.

    ``back_to``: the versions that a guest may go back to from it. ``pin`` is the pin's number: a version that failed
    is tried again under a new number only.
    """

    version: str
    sha256: str
    size: int
    back_to: tuple[str, ...] = ()
    pin: int = 0
    rule: str = ""


@dataclass(frozen=True)
class Nothing:
    """Nothing to do now. ``rule`` says why; ``opens`` when the guest may start, where a window is waited for."""

    ruling: Ruling
    rule: str
    opens: datetime | None = None
