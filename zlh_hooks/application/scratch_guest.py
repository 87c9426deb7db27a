"""The temporary guests of one rollout: made where staging and smoke tests need them, destroyed when they are done."""

import threading
from dataclasses import dataclass, field

from zlh_hooks.application import scratch
from zlh_hooks.application.journal import Journal
from zlh_hooks.application.ports import Cluster
from zlh_hooks.domain.guest import GuestRef


@dataclass(slots=True)
class ScratchGuests:
    """``numbers`` hands out VMIDs. Shared by the threads of a rollout."""

    rollout: str
    cluster: Cluster
    numbers: scratch.ScratchNumbers
    _source_locks: dict[GuestRef, threading.Lock] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def clone(self, journal: Journal, name: str, source: GuestRef, storage: str, purpose: str) -> GuestRef:
        """Clones from one source go one after another: Proxmox locks it meanwhile."""
        note = scratch.render_note(self.rollout, purpose)
        with self._lock_of(source):
            done = journal.retry(scratch.CloneScratch(name, self.cluster, self.numbers, source, storage, note))
        return GuestRef(done["vmid"], source.node)

    def destroy(self, journal: Journal, name: str, ref: GuestRef) -> None:
        """Destroy a scratch guest of this rollout."""
        journal.retry(scratch.DestroyScratch(name, self.cluster, ref, self.numbers.numbers, self.rollout))

    def _lock_of(self, source: GuestRef) -> threading.Lock:
        with self._guard:
            return self._source_locks.setdefault(source, threading.Lock())
