"""When a change may start: times that the host resolved to instants, and each guest's own moment in them. Pure."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

Extra = Mapping[str, Any]
"""Fields that this program does not know; they are kept."""


@dataclass(frozen=True)
class Opening:
    """A time in which a change may start: from ``start`` until just before ``last_start``."""

    name: str
    start: datetime
    last_start: datetime
    extra: Extra = field(default_factory=dict)


def delay_of(vmid: int, what: str, longest: timedelta) -> timedelta:
    """How long after a window's start the guest begins, so that not all do at once; another one for each change."""
    seconds = int(longest.total_seconds())
    return timedelta(seconds=hash_of(f"zlh-jitter:{vmid}:{what}") % seconds if seconds > 0 else 0)


def hash_of(text: str) -> int:
    """The same number on every machine, 0 to 2**64 - 1."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def find_first_start(
    openings: Iterable[Opening], vmid: int, what: str, jitter: timedelta, now: datetime
) -> "datetime | None":
    """The first moment from ``now`` on at which the guest may start ``what``; None if no opening is left."""
    starts = [_find_start_in(opening, vmid, what, jitter, now) for opening in openings]
    return min((start for start in starts if start is not None), default=None)


def _find_start_in(opening: Opening, vmid: int, what: str, jitter: timedelta, now: datetime) -> "datetime | None":
    """A jitter that is longer than the opening is cut to it: everybody has a turn."""
    spread = min(jitter, opening.last_start - opening.start)
    start = max(opening.start + delay_of(vmid, what, spread), now)
    return start if start < opening.last_start else None
