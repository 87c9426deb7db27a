"""Until a guest's turn has come: window and promise, players, locks and storages, its own health; then the gate again.

All that takes time comes before the gate's last word, so that nothing begins on an answer that has grown old.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from zlh_hooks.application.case import Case
from zlh_hooks.application.gate import LISTEN, Later
from zlh_hooks.application.interlock import Interlock
from zlh_hooks.application.journal import POLL, Journal, lose_patience
from zlh_hooks.application.players import is_empty
from zlh_hooks.application.root_driver import PUT
from zlh_hooks.application.standing import Standing
from zlh_hooks.application.start import START_AGAIN
from zlh_hooks.application.verdict import Refused, Skipped
from zlh_hooks.domain.duration import render_duration
from zlh_hooks.domain.errors import GuestLocked, HeldUp
from zlh_hooks.domain.plan import PlannedTarget
from zlh_hooks.domain.steps import TargetEvent


@dataclass(slots=True)
class PlayerWait:
    """Until when (monotonic seconds) players keep a restart from a guest; None: nobody was waited for yet."""

    until: float | None = None


@dataclass(slots=True)
class Turn:
    """``first`` is the guest that tries the version first; ``last_success`` when one was last proved (monotonic)."""

    case: Case
    interlock: Interlock
    standing: Standing
    first: int | None = None
    last_success: float = 0.0
    _later: set[int] = field(default_factory=set)

    def take(self, target: PlannedTarget, journal: Journal) -> None:
        """Return when the guest may be begun, or restarted for a root that is pending, at this moment; or needs no turn
        any more. While it has to wait its root may be left pending.

        Orders are obeyed meanwhile. ``Later`` if others come first; ``Skipped`` and ``HeldUp`` say what is in the way.
        """
        self._pause_if_stalled()
        began, wait = self.case.clock.monotonic(), PlayerWait()
        while not self._is_come(target, journal, wait):
            pass
        if self.case.clock.monotonic() - began >= LISTEN.total_seconds():
            self.last_success = self.case.clock.monotonic()  # to wait for a window or for players is no standstill

    def may_go_on(self, target: PlannedTarget) -> bool:
        """Whether its turn still stands. Never waits."""
        return self.case.gate.may_begin(self.standing.need(), target.vmid)

    def needs_none(self, target: PlannedTarget, journal: Journal) -> bool:
        """Whether somebody's restart has brought a root that was pending, or the guest has come to its end by that."""
        return not journal.is_waiting() or self.case.driver.has_come_up(target, journal)

    def _is_come(self, target: PlannedTarget, journal: Journal, wait: PlayerWait) -> bool:
        """Whether everything was right at one moment, or need not be."""
        waits: tuple[Callable[[], None], ...] = (
            lambda: self._wait_for_window(target, journal, wait),
            lambda: self._wait_for_players(target, journal, wait),
            lambda: self._wait_for_others(target, journal),
            lambda: self.prove_when_free(target, journal),
        )
        for wait_for_it in waits:
            wait_for_it()
            if self.needs_none(target, journal):
                return True
        is_free = self._is_free_of_players(target, wait) and self._is_undisturbed(target)
        return is_free and self.may_go_on(target)

    def _wait_for_window(self, target: PlannedTarget, journal: Journal, wait: PlayerWait) -> None:
        case, began = self.case, self.case.clock.monotonic()
        case.gate.wait_for_window(self.standing.need(), target.vmid, lambda: self._stand_by(target, journal))
        if case.clock.monotonic() - began >= LISTEN.total_seconds():
            wait.until = None  # in each window players are waited for anew
        if self._lacks_canary(target, journal):
            raise Later

    def _stand_by(self, target: PlannedTarget, journal: Journal) -> bool:
        """Whether its window need not be waited for. Until it opens its root is pending where policy allows that."""
        if self.standing.is_any_time and self.standing.is_due(target, journal) and not self.may_go_on(target):
            self.standing.put(target, journal)
        return self.needs_none(target, journal)

    def _lacks_canary(self, target: PlannedTarget, journal: Journal) -> bool:
        """Whether the emergency ended before the guest's turn: a first one goes before it, as in any rollout."""
        case = self.case
        is_free = not case.plan.without_canary or case.gate.is_emergency() or case.is_proved()
        return not is_free and target.vmid != self.first and not journal.has_event(TargetEvent.EXCHANGE_BEGAN)

    # --------------------------------------------------------------- players

    def _wait_for_players(self, target: PlannedTarget, journal: Journal, wait: PlayerWait) -> None:
        """In the window: who joins while it is waited for is waited for too."""
        longest, clock = self.case.plan.rules.wait_until_empty, self.case.clock
        if longest is None:
            return
        if wait.until is None:
            wait.until = clock.monotonic() + longest.total_seconds()
        if self._is_free_of_players(target, wait):
            return
        self.case.gate.tell(f"waiting until nobody plays on {target.vmid}, at most {render_duration(longest)}")
        left = timedelta(seconds=max(0.0, wait.until - clock.monotonic()))
        self.case.gate.wait_until(lambda: self._is_waited_for(target, journal), left)

    def _is_waited_for(self, target: PlannedTarget, journal: Journal) -> bool:
        """Whether the last player has left, or need not; until then the root is pending."""
        if self._is_empty(target) or not self.may_go_on(target):
            return True
        self._leave_pending(target, journal)
        return self.needs_none(target, journal)

    def _leave_pending(self, target: PlannedTarget, journal: Journal) -> None:
        """Its turn has come as far as time is concerned: its customer's own restart may bring the new root too."""
        if self.case.plan.rules.exchange_pending != "never" and self.standing.is_due(target, journal):
            self.standing.put(target, journal)

    def _is_free_of_players(self, target: PlannedTarget, wait: PlayerWait) -> bool:
        if wait.until is None or self.case.clock.monotonic() >= wait.until:
            return True
        return self._is_empty(target)

    def _is_empty(self, target: PlannedTarget) -> bool:
        driver = self.case.driver
        return is_empty(driver.cluster, driver.examiner, driver.locate(target), self.case.plan.line.probes)

    # ----------------------------------------------------- locks and storages

    def prove_when_free(self, target: PlannedTarget, journal: Journal) -> None:
        """Prove its health, once no lock and no storage that is away keeps it from that."""
        self.wait_while_held(target, lambda: self.case.driver.prove_baseline(target, journal))

    def wait_while_held(self, target: PlannedTarget, act: Callable[[], None]) -> None:
        """What holds it up goes by itself: ``lock_wait`` at most for each. What policy refuses pauses all."""
        case, longest = self.case, self.case.plan.rules.lock_wait
        deadline = case.clock.monotonic() + longest.total_seconds()
        while True:
            try:
                return act()
            except Refused as error:
                case.gate.pause(f"guest {target.vmid}: {error}")
                case.gate.check()
            except HeldUp as error:
                if case.clock.monotonic() >= deadline:
                    raise lose_patience(error, longest) from error
                case.gate.tell(f"waiting for guest {target.vmid}: {error}")
                case.gate.check()
                case.gate.wait(POLL if isinstance(error, GuestLocked) else START_AGAIN)

    # ----------------------------------------------------------------- others

    def _wait_for_others(self, target: PlannedTarget, journal: Journal) -> None:
        """A guest that policy leaves out now, and whose new root is pending, keeps its old one: that is taken back.

        What was waited for in vain may be over when all others are done: it has a second turn then.
        """
        was_pending = journal.may_be_done(PUT)
        try:
            self.wait_while_held(target, lambda: self._assure_undisturbed(target, journal))
        except Skipped as error:
            if journal.may_be_done(PUT):  # perhaps only since it waits
                raise HeldUp(str(error)) from error
            raise
        except HeldUp as error:
            if was_pending or target.vmid in self._later:
                raise
            self._later.add(target.vmid)
            self.case.gate.tell(f"guest {target.vmid} comes after the others: {error}")
            raise Later from error

    def _assure_undisturbed(self, target: PlannedTarget, journal: Journal) -> None:
        """Or that the guest needs no turn; while what others do is waited for, the root is pending."""
        if self.needs_none(target, journal):
            return
        try:
            self.interlock.assure_undisturbed(self.case.driver.locate(target), self.standing.need())
        except HeldUp:
            self._leave_pending(target, journal)
            raise

    def _is_undisturbed(self, target: PlannedTarget) -> bool:
        """Whether nothing has begun while its health was proved."""
        return self.interlock.find(self.case.driver.locate(target), self.standing.need()) is None

    # ------------------------------------------------------------- standstill

    def _pause_if_stalled(self) -> None:
        deadline, clock = self.case.plan.rules.progress_deadline, self.case.clock
        if clock.monotonic() - self.last_success > deadline.total_seconds():
            self.last_success = clock.monotonic()
            self.case.gate.pause(f"no guest became healthy within {deadline}")
            self.case.gate.check()
