"""The temporary guests of one rollout: made where staging and smoke tests need them, destroyed when they are done."""

import threading
from dataclasses import dataclass, field

from zlh_hooks.application import scratch
from zlh_hooks.application.journal import ARRIVAL, POLL, Journal
from zlh_hooks.application.ports import Cluster
from zlh_hooks.application.step import Data, Underway
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import HeldUp, TargetError
from zlh_hooks.domain.guest import GuestRef


class BeingMade(HeldUp):
    """A scratch guest cannot be destroyed yet: its clone is still at work."""


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
        self._remove_failed(journal, name, source.node)
        with self._lock_of(source):
            done = journal.retry(scratch.CloneScratch(name, self.cluster, self.numbers, source, storage, note))
        return GuestRef(done["vmid"], source.node)

    def _remove_failed(self, journal: Journal, name: str, node: str) -> None:
        """A clone that was given up may have been made all the same: the next one has another number."""
        if journal.failure(name) is not None:
            made = self.find_made(journal, name, node)
            if made is not None:
                journal.redo(
                    scratch.DestroyScratch(f"{name}.again", self.cluster, made, self.numbers.numbers, self.rollout)
                )

    def find_made(self, journal: Journal, clone: str, node: str) -> GuestRef | None:
        """The guest that the step ``clone`` made, ready to be destroyed; None if there is none, or none of ours.

        ``BeingMade`` while a clone that a worker began, and did not see the end of, is at work.
        """
        intent = journal.intent_of(clone)
        if intent is None:
            return None
        self._conclude(journal, clone, intent, node)
        ref = GuestRef(intent["vmid"], node)
        config = scratch.read_if_there(self.cluster, ref)
        if config is None or not scratch.is_scratch(config, self.numbers.numbers, self.rollout):
            if config is not None and config.lock == scratch.BEING_MADE:
                raise BeingMade(f"scratch guest {ref} is locked ({config.lock}): it is still being made")
            return None
        if config.flag("protection"):  # its template's, of which nobody had come to free it
            journal.clear(scratch.TameScratch(f"{clone}.tame", self.cluster, ref, self.rollout))
        return ref

    def _conclude(self, journal: Journal, name: str, intent: Data, node: str) -> None:
        """The clone comes to its outcome, and is not asked for again."""
        if not journal.is_open(name):
            return
        source = GuestRef(intent["source"], node)
        step = scratch.CloneScratch(name, self.cluster, self.numbers, source, intent["storage"], intent["note"])
        try:
            found = _find_outcome(journal, step, intent)
        except BeingMade:
            raise
        except TargetError as error:
            journal.write(Kind.FAILED, name, {"reason": str(error)})
        else:
            said = {"reason": f"{name}: nothing came of it, and it is not wanted any more"}
            journal.write(*((Kind.FAILED, name, said) if found is None else (Kind.DONE, name, found)))

    def destroy(self, journal: Journal, name: str, ref: GuestRef, *, rests: bool = False) -> None:
        """Destroy a scratch guest of this rollout. ``rests``: one that cannot be is tried less and less often."""
        step = scratch.DestroyScratch(name, self.cluster, ref, self.numbers.numbers, self.rollout)
        (journal.clear if rests else journal.retry)(step)

    def _lock_of(self, source: GuestRef) -> threading.Lock:
        with self._guard:
            return self._source_locks.setdefault(source, threading.Lock())


def _find_outcome(journal: Journal, step: scratch.CloneScratch, intent: Data) -> Data | None:
    """What became of it, when its request must have arrived; ``BeingMade`` if its task has not ended."""
    clock, now = journal.clock, journal.clock.monotonic()
    arrived = now + (0 if journal.was_requested(step.name) else ARRIVAL.total_seconds())
    while (found := step.find(intent)) is None and clock.monotonic() < arrived:
        clock.sleep(POLL)
    if isinstance(found, Underway):
        raise BeingMade(f"scratch guest {intent['vmid']} is still being made")
    return found
