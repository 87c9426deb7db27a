"""What became of each wish in this guest, over the plugin's own death: none that was decided here is tried twice.

Written by the patch itself, before it touches anything and when it has ended.
"""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from agent_plugin.fault import BadInput
from agent_plugin.record import load_record, save_record

BEGUN = "begun"
TAKEN_BACK = "taken-back"
"""How a patch ends for the wish that took it back; for the wish that it had brought it is ``reverted``."""
DONE = ("installed", "nothing", TAKEN_BACK)
UNTOUCHED = ("failed", "waits")
"""How a patch ends that has changed nothing, and that is tried again."""
STATES = ("done", "failed", "again", "waits")
"""What is told of a wish that was tried."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=10), timedelta(days=1)
MOST_WISHES = 100
"""The oldest are forgotten: a number is never given twice, so that they hardly come again."""


@dataclass(frozen=True)
class Tried:
    """The last patch for a wish. ``outcome``: ``begun`` once packages may have been touched, then how the patch ended.

    ``tries``: how often it ended untouched; ``at``: when, UTC, ISO 8601.
    """

    txn: str
    outcome: str
    reason: str = ""
    tries: int = 0
    at: str = ""

    @property
    def state(self) -> str:
        """``done``; ``failed``, and not tried again; ``again`` or ``waits`` for a window, and tried again."""
        done, failed, again, waits = STATES
        if self.outcome in UNTOUCHED:
            return again if self.outcome == "failed" else waits
        return done if self.outcome in DONE else failed

    @property
    def told(self) -> str:
        """Why it is as it is, for people."""
        if self.outcome == BEGUN:
            return "packages were touched, and how that ended is not known"
        return self.reason

    def may_try(self, is_open: bool, now: datetime) -> bool:
        """Whether the wish is tried now (aware): rarer and rarer, but one that waits for a window at once in it."""
        if self.outcome not in UNTOUCHED:
            return False
        if self.outcome == "waits" and is_open:
            return True
        ended = datetime.fromisoformat(self.at)
        return not ended <= now < ended + pause_after(self.tries)  # a clock that was set back holds nobody up


def pause_after(tries: int) -> timedelta:
    """How long after so many ends that changed nothing; the first is tried again at the next check."""
    return min(FIRST_PAUSE * 2 ** min(tries - 1, 16), LONGEST_PAUSE) if tries > 1 else timedelta(0)


class WishBook:
    """All methods raise ``BadInput`` for a file that is damaged: a wish that failed must not come again by that."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, wish: str) -> "Tried | None":
        """By the wish's id; None if it was never tried."""
        return self._read().get(wish)

    def begin(self, wish: str, txn: str) -> None:
        """From now on packages may be touched for it."""
        old = self.find(wish)
        self._write(wish, Tried(txn, BEGUN, tries=old.tries if old else 0, at=_now()))

    def end(self, wish: str, txn: str, outcome: str, reason: str) -> None:
        """How that patch ended; telling it again changes nothing."""
        old = self.find(wish) or Tried("", "")
        if (old.txn, old.outcome, old.reason) != (txn, outcome, reason):
            self._write(wish, Tried(txn, outcome, reason, old.tries + (outcome in UNTOUCHED), _now()))

    def _read(self) -> "dict[str, Tried]":
        try:
            return load_record(self._path, _parse) or {}
        except ValueError as error:
            raise BadInput(
                f"{error}; no package is brought: remove the file, and what failed may be tried again"
            ) from error

    def _write(self, wish: str, tried: Tried) -> None:
        others = {name: one for name, one in self._read().items() if name != wish}
        newest = list({**others, wish: tried}.items())[-MOST_WISHES:]
        save_record(self._path, {name: asdict(one) for name, one in newest})


def _parse(found: "dict[str, Any]") -> "dict[str, Tried]":
    return {wish: _parse_tried(dict(entry)) for wish, entry in found.items()}


def _parse_tried(entry: "dict[str, Any]") -> Tried:
    tried = Tried(**entry)
    if not all(isinstance(text, str) for text in (tried.txn, tried.outcome, tried.reason)):
        raise ValueError(f"{entry} holds what is no text")
    if type(tried.tries) is not int or datetime.fromisoformat(tried.at).tzinfo is None:
        raise ValueError(f"{entry} is no end of a patch")
    return tried


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
