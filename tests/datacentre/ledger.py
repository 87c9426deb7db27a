"""The ledger and the worker's lease in memory, with the chain and the fencing of the real ones."""

from dataclasses import replace
from datetime import timedelta

from tests.datacentre.fault import Call, Faults
from zlh_hooks.application.ports import Clock, LeaseHolder
from zlh_hooks.domain.entry import Draft, Entry
from zlh_hooks.domain.errors import LeaseLost, NotAllowed
from zlh_hooks.simulation.ledger import SimulatedLedger


class MemoryLease:
    """One lease for one ledger. A dead process keeps it until it expires, as it would on disk."""

    def __init__(self, clock: Clock, faults: Faults) -> None:
        self._clock = clock
        self._faults = faults
        self._held: LeaseHolder | None = None
        self._number = 0

    def take(self, holder: str, length: timedelta) -> LeaseHolder:
        """Free or expired: yours, with the next number."""
        self._faults.refuse_the_dead()
        now = self._clock.now()
        if self._held is not None and self._held.until > now:
            raise NotAllowed(f"{self._held.holder} executes", self._held.until)
        self._number += 1
        self._held = LeaseHolder(holder, self._number, now + length)
        return self._held

    def renew(self, lease: LeaseHolder, length: timedelta) -> LeaseHolder:
        """Yours still, even if it had expired and nobody took it."""
        self._faults.refuse_the_dead()
        self.check(lease)
        self._held = replace(lease, until=self._clock.now() + length)
        return self._held

    def release(self, lease: LeaseHolder) -> None:
        """Gone, if it was still yours."""
        self._faults.refuse_the_dead()
        if self._held is not None and self._held.number == lease.number:
            self._held = None

    def read(self) -> LeaseHolder | None:
        """The holder, expired or not."""
        return self._held

    def check(self, lease: LeaseHolder) -> None:
        """LeaseLost unless this lease is the one in force."""
        if self._held is None or self._held.number != lease.number:
            raise LeaseLost(f"{lease.holder} does not execute any more")


class MemoryLedger(SimulatedLedger):
    """The entries of all processes. With a ``fence``, appends are those of a worker and end when its lease does."""

    def __init__(self, clock: Clock, faults: Faults | None = None, fence: LeaseHolder | None = None) -> None:
        super().__init__(clock)
        self._faults = faults or Faults(clock)
        self._fence = fence
        self.lease = MemoryLease(clock, self._faults)
        self.watch_lease = MemoryLease(clock, self._faults)

    def fenced(self, lease: LeaseHolder) -> "MemoryLedger":
        """The same ledger for the worker that holds the lease."""
        view = MemoryLedger(self._clock, self._faults, lease)
        view._entries, view._mutex, view.lease = self._entries, self._mutex, self.lease
        view.watch_lease = self.watch_lease
        return view

    def append(self, draft: Draft) -> Entry:
        """Record; ``append`` is a fault point too. Data must be JSON: what is not raises TypeError."""
        targets = frozenset() if draft.target is None else frozenset({draft.target})
        fired = self._faults.at(Call(("append",), targets, draft.target, False, (draft,)))
        for act in [order.before for order in fired if order.before]:
            act()
        with self._mutex:
            if self._fence is not None:
                self.lease.check(self._fence)
            entry = super().append(draft)
        for act in [order.after for order in fired if order.after]:
            act()
        return entry
