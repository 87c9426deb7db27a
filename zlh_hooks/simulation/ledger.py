"""A ledger in memory, with the chain of the real one."""

import json
from dataclasses import replace
from datetime import datetime
from threading import RLock

from zlh_hooks.application.ports import Clock
from zlh_hooks.domain.entry import GENESIS, Draft, Entry, chain_digest
from zlh_hooks.domain.guest_change import ADDRESS, TOLD, is_change
from zlh_hooks.domain.note_book import choose_last, is_note


class SimulatedLedger:
    """Entries of one process and all its threads; gone when it ends."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: list[Entry] = []
        self._mutex = RLock()

    def append(self, draft: Draft) -> Entry:
        """Record. Data must be JSON: what is not raises TypeError."""
        with self._mutex:
            draft = replace(draft, data=json.loads(json.dumps(draft.data)))
            sequence, now = len(self._entries) + 1, self._clock.now()
            previous = self._entries[-1].digest if self._entries else GENESIS
            digest = chain_digest(sequence, now, draft, previous)
            place = (draft.kind, draft.name, draft.rollout, draft.target, draft.data)
            self._entries.append(Entry(sequence, now, *place, previous, digest))
            return self._entries[-1]

    def read(self, rollout: str | None = None, after: int = 0) -> tuple[Entry, ...]:
        """Oldest first."""
        return tuple(one for one in self._entries[after:] if rollout is None or one.rollout == rollout)

    def has_note(self, node: str, file: str) -> bool:
        """Whether it is recorded."""
        return any(is_note(one, node, file) for one in self._entries)

    def find_last_note(self, guest: int) -> Entry | None:
        """The guest's latest."""
        return choose_last(self._entries, guest)

    def find_last_address(self, guest: int) -> Entry | None:
        """What was recorded last."""
        found = (one for one in reversed(self._entries) if (one.name, one.target) == (ADDRESS, guest))
        return next(found, None)

    def read_changes(self, since: datetime) -> tuple[Entry, ...]:
        """Of guests, and that they were told."""
        return tuple(one for one in self._entries if one.at >= since and (one.name == TOLD or is_change(one)))
