"""What the gate reads of the herald's work: who may be changed now, because they were told in time."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from zlh_hooks.application.ports import Ledger
from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.notice_book import NoticeBook
from zlh_hooks.domain.steps import TargetEvent

Answer = TypeVar("Answer")

TROUBLE = "herald"
"""Notes of a change: why customers cannot be told; an empty text when they can again."""
_PLACED = (TargetEvent.EXCHANGE_BEGAN, TargetEvent.SKIPPED, TargetEvent.VANISHED)


@dataclass(slots=True)
class NoticeBoard:
    """One change's notices as the ledger has them. For all threads of a rollout.

    ``check_herald`` raises if nobody writes them any more.
    """

    rollout: str
    ledger: Ledger
    check_herald: Callable[[], None] = lambda: None
    _book: NoticeBook = field(default_factory=NoticeBook)
    _cursor: int = 0
    _begun: set[int] = field(default_factory=set)
    _placed: set[int] = field(default_factory=set)
    _trouble: str = ""
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def find_obstacle(self, vmid: int, now: datetime) -> str | None:
        """Why the guest may not be changed now; the change as a whole does not start while anybody due is untold."""
        return self._ask(lambda: self._explain(vmid, now))

    def comes_later(self, vmid: int) -> bool:
        """Whether the guest was told of a later window than another one that still waits."""
        return self._ask(lambda: self._is_behind(vmid))

    def is_deferred(self, vmid: int, now: datetime) -> bool:
        """Whether another date was asked for, and has not come."""
        return self._ask(lambda: now < (self._book.wish_of(vmid) or now))

    def choose_next(self, vmids: Iterable[int]) -> frozenset[int]:
        """Those of the guests that were told of the earliest date, or of none yet."""
        return self._ask(lambda: self._choose_next(frozenset(vmids)))

    def find_unheard(self, vmid: int, now: datetime) -> str | None:
        """Why the guest's owner cannot know yet that it is changed in an emergency; it is for a moment only."""
        return self._ask(lambda: self._explain_unheard(vmid, now))

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        self.check_herald()
        with self._guard:
            for entry in self.ledger.read(self.rollout, after=self._cursor):
                self._take(entry)
            return question()

    def _take(self, entry: Entry) -> None:
        self._cursor = entry.sequence
        self._book.add([entry])
        if entry.kind is Kind.EVENT and entry.target is not None and entry.name in _PLACED:
            self._placed.add(entry.target)
            self._begun |= {entry.target} if entry.name == TargetEvent.EXCHANGE_BEGAN else set()
        if entry.kind is Kind.EVENT and entry.target is not None and entry.name == TargetEvent.WITHDRAWN:
            self._placed.discard(entry.target)
            self._begun.discard(entry.target)
        if entry.kind is Kind.NOTE and entry.name == TROUBLE:
            self._trouble = str(entry.data["text"])

    def _explain_unheard(self, vmid: int, now: datetime) -> str | None:
        mine = self._book.round_of(vmid)
        customer = mine.of(vmid) if mine is not None else None
        if mine is None or customer is None or not mine.start <= now < mine.end:
            return "its owner is being told of the emergency"
        knows = self._book.has_heard(customer, mine) or self._book.was_tried(customer, mine)
        return None if knows else f"customer {customer} is being told of the emergency"

    def _explain(self, vmid: int, now: datetime) -> str | None:
        mine = self._book.round_of(vmid)
        if mine is not None and mine.emergency and vmid in self._placed:
            return None  # begun in the emergency, and interrupted before its restart: there is no promise left to keep
        obstacle = self._book.find_obstacle(vmid, now)
        if obstacle is None and not self._begun:
            obstacle = self._book.find_untold(now)
        return f"{obstacle} ({self._trouble})" if obstacle and self._trouble else obstacle

    def _choose_next(self, vmids: frozenset[int]) -> frozenset[int]:
        dates = {vmid: self._book.date_of(vmid) for vmid in vmids}
        first = min((date for date in dates.values() if date is not None), default=None)
        return frozenset(vmid for vmid, date in dates.items() if date in (None, first))

    def _is_behind(self, vmid: int) -> bool:
        mine = self._book.date_of(vmid)
        waiting = (one for of in self._book.rounds.values() for vmids in of.guests.values() for one in vmids)
        dates = [self._book.date_of(one) for one in waiting if one not in self._placed]
        return mine is not None and any(other < mine for other in dates if other is not None)
