"""A guest that had to be left half-way (locked, switched off, out of reach) comes to its end as soon as that can be.

While its rollout still runs, and in the soak after it: nobody stays on a new root that nobody looks at.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from zlh_hooks.application import pending_root
from zlh_hooks.application.journal import Journal
from zlh_hooks.application.power import fails_to_start
from zlh_hooks.application.root_driver import PUT, RootDriver
from zlh_hooks.application.verdict import Deferred, Inconclusive, Replaced, Skipped
from zlh_hooks.application.way_back import WayBack
from zlh_hooks.domain.errors import GuestMissing, HeldUp, StorageAway, TargetError
from zlh_hooks.domain.health import Facts
from zlh_hooks.domain.plan import PlannedTarget
from zlh_hooks.domain.progress import RESTART
from zlh_hooks.domain.steps import TargetEvent

Fail = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Finish:
    """``GuestMissing`` and ``RoadError`` pass."""

    driver: RootDriver
    way_back: WayBack

    def attempt(self, target: PlannedTarget, journal: Journal, candidate: Facts, fail: Fail, *, leaves: bool) -> None:
        """Do what can be done now. ``fail`` is called with the reason for which the guest must go back.

        ``leaves``: if its exchange still waits for a restart, that is taken back and the guest left as it was.
        """
        try:
            if journal.is_in(TargetEvent.REVERT_BEGAN):
                self.way_back.revert(target, journal, journal.last_reason())
            else:
                self._go_forward(target, journal, candidate, fail, leaves=leaves)
        except HeldUp as error:
            if not journal.is_in(TargetEvent.EXCHANGE_BEGAN):  # for that it was left, and the reason was said then
                journal.defer(f"waits: {error}")

    def _go_forward(
        self, target: PlannedTarget, journal: Journal, candidate: Facts, fail: Fail, *, leaves: bool
    ) -> None:
        try:
            if journal.is_in(TargetEvent.EXCHANGE_BEGAN):
                self._take_up(target, journal, leaves=leaves)
            if journal.is_in(TargetEvent.EXCHANGED):
                self._prove(target, journal, candidate)
        except (Deferred, Inconclusive) as error:
            journal.defer(str(error))
        except (HeldUp, GuestMissing):
            raise
        except Skipped as error:
            self.way_back.leave(target, journal, str(error))
        except Replaced as error:
            self.way_back.let_go(target, journal, str(error))
        except TargetError as error:
            fail(str(error))

    def _take_up(self, target: PlannedTarget, journal: Journal, *, leaves: bool) -> None:
        """A restart may have brought its new root; else it can be left as it was."""
        if self.driver.has_come_up(target, journal):
            self._note_exchanged(target, journal)
        elif leaves:
            self.leave(target, journal, f"left when its turn was: {journal.last_deferral()}")
        elif self._is_torn(target, journal):
            self.leave(target, journal, "somebody took back one half of its exchange, which was pending")

    def _is_torn(self, target: PlannedTarget, journal: Journal) -> bool:
        ref, inventory = self.driver.locate(target), self.driver.cluster.inventory
        is_pending = journal.done(PUT) is not None and not self.way_back.is_withdrawing(journal)
        return is_pending and pending_root.is_torn(inventory, ref, self.driver.new_root(journal))

    def leave(self, target: PlannedTarget, journal: Journal, reason: str) -> bool:
        """Whether the guest was left as it was, for no restart has brought its new root. ``HeldUp``: not yet."""
        if not waits(journal) or self.driver.has_come_up(target, journal):
            return False
        is_left = self.way_back.withdraw(target, journal, reason, leaves=True)
        if is_left:
            self.way_back.leave(target, journal, reason)
        return is_left

    def withdraw(self, target: PlannedTarget, journal: Journal, reason: str) -> None:
        """Its new root may not come now: if it still waits for a restart its turn comes again. ``HeldUp``: not yet."""
        if not journal.is_in(TargetEvent.EXCHANGE_BEGAN) or self.driver.has_come_up(target, journal):
            return
        try:
            is_back = self.way_back.withdraw(target, journal, reason, leaves=False)
        except HeldUp:
            if not journal.is_open(RESTART):  # a node that dies meanwhile shall not leave the guest down
                with suppress(TargetError):  # tried again in the next round
                    self.driver.give_back_to_ha(self.driver.locate(target), journal, "withdraw.ha")
            raise
        if is_back:
            self.way_back.stand_down(target, journal, reason)

    def _note_exchanged(self, target: PlannedTarget, journal: Journal) -> None:
        """A write or restart of ours whose outcome nobody knows is looked for first: else it counts as somebody else's.

        One that a storage kept from bringing the guest up again is made good: it is started.
        """
        left_off = isinstance(journal.failure(RESTART), StorageAway)
        if left_off:
            self.driver.assure_free(self.driver.locate(target))
        if left_off or journal.is_open(PUT) or journal.is_open(RESTART):
            self.driver.apply(target, journal)
        else:
            self.driver.mark_exchanged(target, journal)

    def _prove(self, target: PlannedTarget, journal: Journal, candidate: Facts) -> None:
        """A guest that was stopped is proved, or goes back, once somebody starts it."""
        ref = self.driver.locate(target)
        self.driver.assure_free(ref)  # else each look would end at its tags, after all of a proof
        if self.driver.is_running(target) or fails_to_start(self.driver.cluster, ref, journal):
            self.driver.prove(target, journal, candidate)


def waits(journal: Journal) -> bool:
    """Whether nobody has asked for the restart that brings its new root, nor has any come."""
    return journal.is_waiting() and not journal.was_requested(RESTART)
