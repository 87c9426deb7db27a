"""One side effect, and what a ledger holds of it: its intent, its request and its outcome."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Protocol

from zlh_hooks.application.ports import Upid
from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.errors import GuestLocked, GuestMissing, StorageAway, TargetError

Data = Mapping[str, Any]
SHORTEST_REST, LONGEST_REST = timedelta(seconds=10), timedelta(hours=1)
"""How long a clearing that failed rests before it is tried again: as long as it has been failing, within these."""


class Underway(Enum):
    """What ``Step.find`` answers while the deed is being done."""

    UNDERWAY = "underway"


UNDERWAY = Underway.UNDERWAY
Found = Data | Underway | None


class Step(Protocol):
    """One side effect. ``find`` decides by looking; ``act`` is only called when it finds nothing."""

    @property
    def name(self) -> str:
        """Unique among the steps of one target in one rollout."""

    def plan(self) -> Data:
        """What exactly will be asked for: becomes the intent. Reads only."""

    def find(self, intent: Data) -> Found:
        """The result if the world shows the deed done, UNDERWAY while it is being done, None if it is not."""

    def act(self, intent: Data) -> Upid | None:
        """Ask for it. Returns the task, or None for a change that is complete when it returns."""


class AdoptableStep(Step, Protocol):
    """A step that Proxmox itself would carry out twice if asked twice: its task is looked for before asking again."""

    def adopt(self, intent: Data, since: datetime) -> Upid | None:
        """A task begun since then that does what the intent says."""


_MARKS: Mapping[str, type[TargetError]] = {"missing": GuestMissing, "storage_away": StorageAway}
_REFUSED = "refused"


@dataclass(slots=True)
class Record:
    """What the ledger holds of one step: the latest intent and what became of it.

    ``accepted``: whether Proxmox took the request; None if nobody knows.
    """

    intent: Entry | None = None
    accepted: bool | None = None
    upid: Upid | None = None
    done: Data | None = None
    failed: TargetError | None = None
    failing_since: datetime | None = None
    failed_at: datetime | None = None

    def add(self, entry: Entry) -> None:
        """Take in the next entry of this step."""
        if entry.kind is Kind.INTENT:
            self.forget()
            self.intent = entry
        elif entry.kind is Kind.REQUESTED:
            self.accepted, self.upid = True, Upid(entry.data["upid"]) if entry.data.get("upid") else None
        elif entry.kind is Kind.DONE:
            self.done, self.failing_since = entry.data, None
        elif entry.kind is Kind.FAILED:
            self.failed, self.failed_at = parse_failure(entry.data), entry.at
            self.failing_since = self.failing_since or entry.at
            if isinstance(self.failed, GuestLocked) or entry.data.get(_REFUSED):
                self.refuse()

    def refuse(self) -> None:
        """It was refused, perhaps for a lock and in its task only: nothing was done."""
        self.accepted, self.upid = False, None

    def may_be_done(self) -> bool:
        """Whether its effect may be in the world: all but what was never begun, or was refused."""
        return self.done is not None or (self.intent is not None and self.accepted is not False)

    def render_failure(self, error: TargetError) -> Data:
        """How it failed, for the ledger."""
        more = {"lock": error.lock} if isinstance(error, GuestLocked) else {}
        marks = {mark: True for mark, kind in _MARKS.items() if isinstance(error, kind)}
        refused = {_REFUSED: True} if self.accepted is False else {}
        return {"reason": str(error), **more, **marks, **refused}

    def find_rested(self, now: datetime) -> TargetError | None:
        """The failure for which it is not tried again yet; None if it may be. A guest that moved is looked for at once.

        The longer it fails, the less often it is tried: a worker asks each second, for days if it must.
        """
        if self.failed is None or self.failing_since is None or self.failed_at is None:
            return None
        rest = min(max(self.failed_at - self.failing_since, SHORTEST_REST), LONGEST_REST)
        is_resting = self.failed_at <= now < self.failed_at + rest and not isinstance(self.failed, GuestMissing)
        return self.failed if is_resting else None

    def forget(self) -> None:
        """As if the step had never been begun."""
        self.intent, self.accepted, self.upid, self.done, self.failed = None, None, None, None, None

    def forget_failure(self) -> None:
        """As if a step that failed had never been begun."""
        if self.failed is not None:
            self.forget()


def parse_failure(data: Data) -> TargetError:
    """What is replayed says the same as it said first: a lock or a move speaks against no version."""
    if "lock" in data:
        return GuestLocked(data["reason"], data["lock"])
    kind = next((kind for mark, kind in _MARKS.items() if mark in data), TargetError)
    return kind(data["reason"])
