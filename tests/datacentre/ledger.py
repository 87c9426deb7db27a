"""The ledger and the worker's lease in memory, with the chain and the fencing of the real ones."""

import json
from dataclasses import replace
from datetime import timedelta

from tests.datacentre.fault import Call, Faults
from zlh_hooks.application.ports import Clock, LeaseHolder
from zlh_hooks.domain.entry import GENESIS, Draft, Entry, chain_digest
from zlh_hooks.domain.errors import LeaseLost, NotAllowed


class MemoryLease:
    """One lease for one ledger. A dead process keeps it until it expires, as it would on disk."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: LeaseHolder | None = None
        self._number = 0

    def take(self, holder: str, length: timedelta) -> LeaseHolder:
        """Free or expired: yours, with the next number."""
        now = self._clock.now()
        if self._held is not None and self._held.until > now:
            raise NotAllowed(f"{self._held.holder} executes", self._held.until)
        self._number += 1
        self._held = LeaseHolder(holder, self._number, now + length)
        return self._held

    def renew(self, lease: LeaseHolder, length: timedelta) -> LeaseHolder:
        """Yours still, even if it had expired and nobody took it."""
        self.check(lease)
        self._held = replace(lease, until=self._clock.now() + length)
        return self._held

    def release(self, lease: LeaseHolder) -> None:
        """Gone, if it was still yours."""
        if self._held is not None and self._held.number == lease.number:
            self._held = None

    def read(self) -> LeaseHolder | None:
        """The holder, expired or not."""
        return self._held

    def check(self, lease: LeaseHolder) -> None:
        """LeaseLost unless this lease is the one in force."""
        if self._held is None or self._held.number != lease.number:
            raise LeaseLost(f"{lease.holder} does not execute any more")


class MemoryLedger:
    """Entries of all processes. ``fenced`` gives a worker its view, in which a lost lease forbids to append."""

    def __init__(self, clock: Clock, faults: Faults | None = None) -> None:
        self._clock = clock
        self._faults = faults
        self._entries: list[Entry] = []
        self._fence: tuple[MemoryLease, LeaseHolder] | None = None

    def fenced(self, lease: MemoryLease, holder: LeaseHolder) -> "MemoryLedger":
        """The same ledger for the worker that holds the lease."""
        view = MemoryLedger(self._clock, self._faults)
        view._entries, view._fence = self._entries, (lease, holder)
        return view

    def append(self, draft: Draft) -> Entry:
        """Record; ``append`` is a fault point too. Data must be JSON: what is not raises TypeError."""
        call = Call(("append",), frozenset({draft.target} - {None}), draft.target, False, (draft,))  # type: ignore[arg-type]
        fired = self._faults.at(call) if self._faults else ()
        for act in [order.before for order in fired if order.before]:
            act()
        entry = self._record(draft)
        for act in [order.after for order in fired if order.after]:
            act()
        return entry

    def read(self, rollout: str | None = None, after: int = 0) -> tuple[Entry, ...]:
        """Oldest first."""
        return tuple(one for one in self._entries[after:] if rollout is None or one.rollout == rollout)

    def _record(self, draft: Draft) -> Entry:
        if self._fence is not None:
            self._fence[0].check(self._fence[1])
        draft = replace(draft, data=json.loads(json.dumps(draft.data)))
        sequence, now = len(self._entries) + 1, self._clock.now()
        previous = self._entries[-1].digest if self._entries else GENESIS
        digest = chain_digest(sequence, now, draft, previous)
        place = (draft.kind, draft.name, draft.rollout, draft.target, draft.data)
        self._entries.append(Entry(sequence, now, *place, previous, digest))
        return self._entries[-1]
