"""What the ledger holds of one target of a rollout, or of the rollout itself: its steps, events, evidence and notes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from zlh_hooks.application.ports import Ledger, Upid
from zlh_hooks.application.step import Data, Record
from zlh_hooks.domain.entry import Draft, Entry, Kind
from zlh_hooks.domain.errors import TargetError
from zlh_hooks.domain.progress import DEFERRED
from zlh_hooks.domain.steps import (
    ROLLOUT_TABLE,
    TARGET_TABLE,
    RolloutEvent,
    RolloutState,
    TargetEvent,
    TargetState,
    follow,
)

_TRIES = (Kind.INTENT, Kind.REQUESTED, Kind.FAILED)
_STAGING = ("before", "staged.", "stage.")
"""How the evidence and steps are named that staging leaves: they stand when an exchange begins anew."""


@dataclass(slots=True, kw_only=True)
class Logbook:
    """Reads and appends. ``target`` None: the rollout itself.

    ``ordered_at``: when a person last asked for it: what failed or was said before that is tried, and said, again.
    """

    ledger: Ledger
    rollout: str
    target: int | None
    ordered_at: datetime | None = None
    _last: Entry | None = None
    _records: dict[str, Record] = field(default_factory=dict)
    _others: list[Entry] = field(default_factory=list)
    _upids: set[Upid] = field(default_factory=set)

    def load(self, entries: Sequence[Entry]) -> Self:
        """Take in what earlier workers recorded."""
        for entry in entries:
            if entry.rollout == self.rollout and entry.target == self.target:
                self._take(entry)
        return self

    def _take(self, entry: Entry) -> None:
        if entry.kind not in _TRIES:
            self._last = entry
        if entry.kind in (Kind.INTENT, Kind.REQUESTED, Kind.DONE, Kind.FAILED):
            self._records.setdefault(entry.name, Record()).add(entry)
            self._upids.update([Upid(entry.data["upid"])] if entry.data.get("upid") else [])
        else:
            self._others.append(entry)
        if entry.kind is Kind.EVENT and entry.name == TargetEvent.WITHDRAWN:
            self._begin_anew()

    def _begin_anew(self) -> None:
        """Its exchange was withdrawn: what was done and seen of it is history, and will be done and seen again."""
        self._records = {name: record for name, record in self._records.items() if name.startswith(_STAGING)}
        self._others = [e for e in self._others if e.kind is not Kind.EVIDENCE or e.name.startswith(_STAGING)]

    def write(self, kind: Kind, name: str, data: Data | None = None) -> Entry:
        """Append an entry for this target."""
        entry = self.ledger.append(Draft(kind, name, self.rollout, self.target, dict(data or {})))
        self._take(entry)
        return entry

    def event(self, name: str, reason: str = "", **data: Any) -> None:
        """Append a state transition. One that the table does not know is refused: nobody could read on after it."""
        self._follow([*self._events(), name])
        self.write(Kind.EVENT, name, {"reason": reason, **data} if reason else data)

    def defer(self, reason: str) -> None:
        """Say why the target has to wait; once, however often it is found out, and tried in vain in between."""
        last = self._last
        is_new = last is None or (last.name, last.data.get("reason")) != (DEFERRED, reason)
        if is_new or (last is not None and self._is_before_order(last.at)):
            self.write(Kind.NOTE, DEFERRED, {"reason": reason})

    def _is_before_order(self, at: datetime | None) -> bool:
        return at is not None and self.ordered_at is not None and at <= self.ordered_at

    def _follow(self, events: Sequence[str]) -> None:
        if self.target is None:
            follow(ROLLOUT_TABLE, RolloutState.PLANNED, map(RolloutEvent, events))
        else:
            follow(TARGET_TABLE, TargetState.PENDING, map(TargetEvent, events))

    def _events(self) -> list[str]:
        return [entry.name for entry in self._others if entry.kind is Kind.EVENT]

    def has_event(self, name: str) -> bool:
        """Whether the transition was recorded, since its last withdrawal if there was one."""
        return self.last_event(name) is not None

    def event_at(self, name: str) -> datetime | None:
        """When the transition was recorded (the latest, if several), or None; since its last withdrawal."""
        found = self.last_event(name)
        return None if found is None else found.at

    @property
    def upids(self) -> frozenset[str]:
        """Every task that these steps asked for."""
        return frozenset(self._upids)

    def is_in(self, name: str) -> bool:
        """Whether that transition is the latest one."""
        return self.last_name() == name

    def is_waiting(self) -> bool:
        """Whether its new root lies beside it, or is pending: no restart has brought it, and it was not left."""
        return self.last_name() in (TargetEvent.STAGED, TargetEvent.EXCHANGE_BEGAN, TargetEvent.WITHDRAWN)

    def last_reason(self) -> str:
        """The reason that the latest transition carries."""
        last = self.last_event()
        return str(last.data.get("reason", "")) if last else ""

    def last_name(self) -> str:
        """The name of the latest transition, empty if there was none."""
        last = self.last_event()
        return last.name if last else ""

    def last_deferral(self) -> str:
        """Why the target last had to wait."""
        notes = (e for e in reversed(self._others) if e.kind is Kind.NOTE and e.name == DEFERRED)
        return next((str(entry.data["reason"]) for entry in notes), "")

    def last_event(self, name: str | None = None) -> Entry | None:
        """The latest transition; or that of that name, since its last withdrawal if there was one."""
        for entry in reversed(self._others):
            if entry.kind is Kind.EVENT and name in (None, entry.name):
                return entry
            if entry.kind is Kind.EVENT and entry.name == TargetEvent.WITHDRAWN:
                return None
        return None

    def evidence(self, name: str) -> Data | None:
        """The latest evidence of that name."""
        found = (e for e in reversed(self._others) if e.kind is Kind.EVIDENCE and e.name == name)
        return next((entry.data for entry in found), None)

    def once(self, name: str, read: Callable[[], Data]) -> Data:
        """Evidence that is read once and then remembered."""
        known = self.evidence(name)
        if known is not None:
            return known
        data = read()
        self.write(Kind.EVIDENCE, name, data)
        return data

    def has_note(self, name: str) -> bool:
        """Whether a note of that name was ever written."""
        return any(entry.kind is Kind.NOTE and entry.name == name for entry in self._others)

    def done(self, name: str) -> Data | None:
        """The result of a step, or None if it has none."""
        record = self._records.get(name)
        return record.done if record else None

    def has_intent(self, name: str) -> bool:
        """Whether the step was ever begun."""
        return name in self._records

    def is_open(self, name: str) -> bool:
        """Whether the step was begun and nobody knows how it ended; not where a look before it failed."""
        record = self._records.get(name)
        return record is not None and record.intent is not None and record.done is None and record.failed is None

    def failure(self, name: str) -> TargetError | None:
        """How the step failed, if it did."""
        record = self._records.get(name)
        return record.failed if record else None

    def was_requested(self, name: str) -> bool:
        """Whether a request of the step was ever accepted."""
        record = self._records.get(name)
        return record is not None and (record.accepted is True or record.done is not None)

    def may_be_done(self, name: str) -> bool:
        """Whether the step's effect may be in the world, as far as the ledger knows."""
        record = self._records.get(name)
        return record is not None and record.may_be_done()

    def intent_of(self, name: str) -> Data | None:
        """What the step was going to do, if it was begun."""
        record = self._records.get(name)
        return record.intent.data if record and record.intent else None
