"""The way back of one container: what staging brought is discarded, an exchanged root is reverted, the marks come off.

A guest that is proved on its old root is ``REVERTED`` although a lock (a backup, say) keeps its new root from being
freed: that is owed then, and cleared away as soon as it can be. ``HeldUp`` passes at once: later means later, and
the others go back meanwhile.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from zlh_hooks.application import kept_root, pending_root, root_in_force, root_step
from zlh_hooks.application.interlock import assure_alone
from zlh_hooks.application.journal import Journal
from zlh_hooks.application.power import explain_off
from zlh_hooks.application.proof import expect_state, expect_version, merge_expected
from zlh_hooks.application.record import GuestRecord, find_difference, is_edited, parse_record, read_record
from zlh_hooks.application.root_driver import PUT, SETTLE_FREE, RootDriver
from zlh_hooks.application.scratch_guest import BeingMade
from zlh_hooks.application.verdict import Replaced
from zlh_hooks.domain import tag
from zlh_hooks.domain.busy import needed_to_restart, render_sign
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import GuestLocked, GuestMissing, HeldUp, TargetError, Unreadable
from zlh_hooks.domain.guest import GuestRef, render_size
from zlh_hooks.domain.health import Facts, Outcome
from zlh_hooks.domain.plan import PlannedTarget
from zlh_hooks.domain.progress import CLEARED, OWED, RESTART
from zlh_hooks.domain.rollout_outage import BACK
from zlh_hooks.domain.steps import TargetEvent

UNPROBED = "unprobed"
"""What the evidence of a way back says of a guest that is off by somebody's will, and was therefore not asked."""

WITHDRAW = "withdraw.put"


@dataclass(frozen=True, slots=True)
class WayBack:
    """Takes one container at a time back. Shared by the threads of a rollout."""

    driver: RootDriver

    # --------------------------------------------------------------- discard

    def leave(
        self, target: PlannedTarget, journal: Journal, reason: str, comes_again: Callable[[], bool] = lambda: False
    ) -> None:
        """The guest stays as it is: take away what staging left, or owe it if the guest is locked. ``SKIPPED``.

        ``comes_again``: whether the caller does while its scratch guest is still being made; else that is owed too.
        """
        try:
            self._discard(target, journal)
        except GuestMissing as error:
            journal.event(TargetEvent.VANISHED, str(error))
            return
        except (TargetError, Unreadable) as error:
            if isinstance(error, BeingMade) and comes_again():
                raise
            journal.write(Kind.NOTE, OWED, {"reason": str(error)})
        journal.event(TargetEvent.SKIPPED, reason)

    def clear_owed(self, target: PlannedTarget, journal: Journal) -> None:
        """Take away what could not be when the guest was left or reverted; ``HeldUp`` while it still cannot be."""
        self.driver.assure_free(self.driver.locate(target))
        began = journal.last_event(TargetEvent.REVERT_BEGAN)
        if journal.has_event(TargetEvent.REPLACED):
            self._forget(target, journal)
        elif began is None:
            self._discard(target, journal)
        else:
            self._clear(self.driver.locate(target), journal, f"revert-{began.sequence}")
        journal.write(Kind.NOTE, CLEARED)

    def withdraw(self, target: PlannedTarget, journal: Journal, reason: str, *, leaves: bool) -> bool:
        """Take back an exchange that still waits for a restart. False if a restart has brought it meanwhile.

        Somebody else may have done that already, or brought a backup back. ``HeldUp`` while it cannot be done.
        """
        ref, new = self.driver.locate(target), self.driver.new_root(journal)
        if journal.may_be_done(PUT):  # else a lock is nothing to it
            self.driver.assure_free(ref)
            self._find_out(ref, journal)
        if not journal.may_be_done(PUT):
            return True
        try:
            step = pending_root.WithdrawRoot(WITHDRAW, self.driver.cluster, ref, new, reason, leaves)
            return not journal.clear(step)["brought"]
        except (HeldUp, GuestMissing):
            raise
        except TargetError as error:
            raise HeldUp(f"its new root could not be taken back yet: {error}") from error

    def _find_out(self, ref: GuestRef, journal: Journal) -> None:
        """A write, or a restart, of which nobody knows may be on its way."""
        before, new = self.driver.baseline(journal), self.driver.new_root(journal)
        journal.find_out(root_step.PutRoot(PUT, self.driver.cluster, ref, before.root, new, None))
        timeout = self.driver.plan.rules.shutdown_timeout
        journal.find_out(root_step.Restart(RESTART, self.driver.cluster, ref, new, timeout))

    def is_withdrawing(self, journal: Journal) -> bool:
        """Whether that was begun: nothing is restarted for an exchange that is being taken back."""
        return journal.has_intent(WITHDRAW)

    def find_withdrawal(self, journal: Journal) -> str:
        """Why it is being taken back; empty if that was not begun."""
        return str((journal.intent_of(WITHDRAW) or {}).get("reason", ""))

    def is_leaving(self, journal: Journal) -> bool:
        """Whether that was begun to leave the guest as it was, and not until its turn comes again."""
        return bool((journal.intent_of(WITHDRAW) or {}).get("leaves"))

    def stand_down(self, target: PlannedTarget, journal: Journal, reason: str) -> None:
        """Its root was withdrawn: it is no guest in work any more, and its turn comes again. ``HeldUp`` as above."""
        ref = self.driver.locate(target)
        tags = self.driver.cluster.inventory.read_config(ref).tags
        signs = tuple(t for t in tags if t.startswith(tag.BUSY))
        try:
            self.driver.give_back_to_ha(ref, journal, "withdraw.ha")
            if signs:
                journal.clear(root_step.WriteTags("withdraw.sign", self.driver.cluster, ref, drop=signs))
        except (HeldUp, GuestMissing):
            raise
        except TargetError as error:
            raise HeldUp(f"its new root was withdrawn, and it is not as it was yet: {error}") from error
        journal.event(TargetEvent.WITHDRAWN, self.find_withdrawal(journal) or reason)

    def _discard(self, target: PlannedTarget, journal: Journal) -> None:
        """Take away what staging left: scratch guest, staged volume, marks. The guest itself is untouched."""
        intent, volume = journal.intent_of("stage.clone"), ""
        if intent is not None:
            volume = self._find_staged(target, GuestRef(intent["vmid"], target.node), journal)
            made = self.driver.scratch_guests.find_made(journal, "stage.clone", target.node)
            if made is not None:
                self.driver.scratch_guests.destroy(journal, "discard.scratch", made, rests=True)
        ref = self.driver.locate(target)
        self.driver.give_back_to_ha(ref, journal, "discard.ha")
        if volume:
            kept = kept_root.note(self.driver.cluster, ref, journal, kept_root.STAGED, volume)
            kept_root.free(self.driver.cluster, ref, journal, "discard.free", volume, kept)
        self.driver.unmark(ref, journal, "discard.unmark")

    def _find_staged(self, target: PlannedTarget, x: GuestRef, journal: Journal) -> str:
        """What staging brought; decided once, while its scratch guest is there. Empty: nothing, or to nobody."""
        ref = self.driver.find(target)
        if ref is None:
            return ""
        return str(journal.once("discard.staged", lambda: {"volume": self._staged_volume(ref, x, journal)})["volume"])

    def _staged_volume(self, ref: GuestRef, x: GuestRef, journal: Journal) -> str:
        given, intent = journal.done("stage.give"), journal.intent_of("stage.give")
        if given is not None:
            return str(given["volume"])
        if intent is None or not root_step.is_given(self.driver.cluster, x, intent["key"]):
            return ""
        return root_step.find_in_slot(self.driver.cluster, ref, intent) or ""

    # ---------------------------------------------------------------- let go

    def let_go(self, target: PlannedTarget, journal: Journal, reason: str) -> None:
        """Somebody brought it another root: it keeps that, and what is known to be ours is taken away. ``SKIPPED``."""
        try:
            self._forget(target, journal)
        except GuestMissing:
            raise
        except (TargetError, Unreadable) as error:
            journal.write(Kind.NOTE, OWED, {"reason": str(error)})
        journal.event(TargetEvent.REPLACED, reason)

    def _forget(self, target: PlannedTarget, journal: Journal) -> None:
        cluster, ref = self.driver.cluster, self.driver.locate(target)
        self.driver.give_back_to_ha(ref, journal, "replaced.ha")
        unused = {mount.volume for mount in cluster.inventory.read_config(ref).unused}
        old, new = self.driver.baseline(journal).root, self.driver.new_root(journal)
        for name, volid, noted in (("old", old, kept_root.OLD), ("new", new, kept_root.NEW)):
            if volid in unused:
                known = kept_root.find_known(journal, noted)
                kept_root.free(cluster, ref, journal, f"replaced.free_{name}", volid, known)
        self.driver.unmark(ref, journal, "replaced.unmark")

    # ---------------------------------------------------------------- revert

    def revert(self, target: PlannedTarget, journal: Journal, reason: str) -> None:
        """Take the guest back to its old root and prove it; else it is left ``STUCK``, or let go if somebody brought it
        another one.
        """
        if not journal.is_in(TargetEvent.REVERT_BEGAN):
            journal.event(TargetEvent.REVERT_BEGAN, reason)
        began = journal.last_event()
        assert began is not None
        try:
            difference = self._go_back(target, journal, f"revert-{began.sequence}")
        except (HeldUp, GuestMissing):
            raise
        except Replaced as replaced:
            return self.let_go(target, journal, str(replaced))
        except TargetError as error:
            difference = str(error)
        if difference:
            return journal.event(TargetEvent.REVERT_UNPROVED, difference)
        off = (journal.evidence(BACK) or {}).get(UNPROBED)
        journal.event(TargetEvent.REVERT_PROVED, f"{reason} ({off})" if off else reason)

    def _go_back(self, target: PlannedTarget, journal: Journal, act: str) -> str | None:
        cluster = self.driver.cluster
        ref = self.driver.locate(target)
        self.driver.assure_free(ref)
        assure_alone(cluster, ref, journal.upids)
        before, new = self.driver.baseline(journal), self.driver.new_root(journal)
        if not journal.has_intent(SETTLE_FREE):  # else it was ourselves who took its old root away
            root_in_force.assure_known(cluster, ref, self.driver.plan.id, before.root, new)
        leaving = self._look(ref, journal, before, act)
        self.driver.keep_ha_off(ref, journal, f"{act}.ignore")
        old = kept_root.find_known(journal, kept_root.OLD)
        size = render_size(old.size) if old is not None and old.size else before.root_size
        rules = self.driver.plan.rules
        sign = render_sign(rules, self.driver.clock.now())
        back = root_step.PutRoot(f"{act}.put", cluster, ref, new, before.root, size, old, sign)
        if journal.retry(back)["pending"]:
            if not journal.has_intent(f"{act}.unmark"):  # else only the last word of it is missing
                self.driver.sign(ref, journal, needed_to_restart(rules))
            self._force_restart(ref, journal, act, before.root)
        kept_root.note(cluster, ref, journal, kept_root.NEW, new)
        off = self._explain_off(ref, journal, act)
        if off is None and not cluster.inventory.read_power(ref).running:
            self.driver.start(ref, journal, f"{act}.start", TargetError)  # no server stays off for one failed start
        wanted = replace(before, fingerprint=leaving.fingerprint, data=leaving.data, running=off is None)
        difference = self._prove_back(ref, journal, wanted, leaving.facts, off)
        if difference is None:
            self._clear_or_owe(ref, journal, act)
        return difference

    def _look(self, ref: GuestRef, journal: Journal, before: GuestRecord, act: str) -> GuestRecord:
        """What others have edited since the exchange is theirs and stays, also what they edit between two tries."""
        name = f"{act}.leaving"
        seen = journal.evidence(name)
        last = before if seen is None else parse_record(seen)
        facts = self._ask(ref, journal) if seen is None else last.facts
        now = read_record(self.driver.cluster, ref, facts)
        if seen is None or is_edited(last, now):
            journal.write(Kind.EVIDENCE, name, now.dump())
        if is_edited(last, now):
            journal.write(Kind.NOTE, "edited", {"reason": "somebody edited its config after it was exchanged: kept"})
        return now

    def _ask(self, ref: GuestRef, journal: Journal) -> Facts:
        """What it reports before it goes back: since its proof the state of its server is its customer's doing."""
        proved = journal.has_event(TargetEvent.PROVED) and self.driver.cluster.inventory.read_power(ref).running
        return self.driver.examiner.ask_once(ref, self.driver.plan.line.probes) if proved else {}

    def _explain_off(self, ref: GuestRef, journal: Journal, act: str) -> str | None:
        """By whose will it is off and stays so; None if it runs, or is to run. What we have stopped we start again.

        An earlier way back that could not be proved is tried again for its proof, for which the guest has to run,
        unless it was off then already.
        """
        known = (journal.evidence(BACK) or {}).get(UNPROBED)
        stopped = any(journal.was_requested(f"{act}.{step}") for step in ("restart", "stop"))
        is_ours = stopped or (journal.has_event(TargetEvent.REVERT_UNPROVED) and not known)
        if is_ours or self.driver.cluster.inventory.read_power(ref).running:
            return None
        off = explain_off(self.driver.cluster, ref, journal, was_running=self.driver.baseline(journal).running)
        return None if off is None else f"off and not probed: {off}"

    def _force_restart(self, ref: GuestRef, journal: Journal, act: str, root: str) -> None:
        """The new root may be too broken to shut down; on the way back it is stopped hard if it must."""
        cluster, timeout = self.driver.cluster, self.driver.plan.rules.shutdown_timeout
        restart = root_step.Restart(f"{act}.restart", cluster, ref, root, timeout)
        stop = root_step.Stop(f"{act}.stop", cluster, ref, timeout)
        if not journal.has_intent(restart.name) and not cluster.inventory.read_power(ref).running:
            return
        if not journal.was_requested(restart.name):
            self.driver.assure_startable(ref)
        try:
            journal.run(restart)
        except GuestLocked:
            raise
        except TargetError:
            if journal.has_intent(stop.name) or cluster.inventory.read_power(ref).running:
                journal.retry(stop)

    def _prove_back(
        self, ref: GuestRef, journal: Journal, before: GuestRecord, leaving: Facts, off: str | None
    ) -> str | None:
        """``before``: what it must be again, which is to run unless somebody's will keeps it ``off``.

        The state of its server may also be the one that it was ``leaving`` in.
        """
        facts: Facts = {}
        times: dict[str, Any] = {}
        if before.running:
            expect = merge_expected(expect_state(before.facts, leaving), expect_version(before.facts))
            probes = self.driver.plan.line.probes
            proof = self.driver.examiner.examine(ref, probes, self.driver.health_rules(), expect)
            facts, times = proof.facts, proof.times()
            if proof.judgement.outcome is not Outcome.HEALTHY:
                return f"not healthy on its old root: {proof.judgement.reason}"
        after = read_record(self.driver.cluster, ref, facts)
        unprobed = {} if off is None else {UNPROBED: off}
        journal.write(Kind.EVIDENCE, BACK, after.dump() | times | unprobed)
        return find_difference(before, after)

    def _clear_or_owe(self, ref: GuestRef, journal: Journal, act: str) -> None:
        try:
            self._clear(ref, journal, act)
        except GuestMissing:
            raise
        except TargetError as error:
            journal.write(Kind.NOTE, OWED, {"reason": str(error)})

    def _clear(self, ref: GuestRef, journal: Journal, act: str) -> None:
        cluster, before = self.driver.cluster, self.driver.baseline(journal)
        self.driver.give_back_to_ha(ref, journal, f"{act}.restore")
        put_aside = kept_root.find_known(journal, kept_root.NEW)
        kept_root.free(cluster, ref, journal, f"{act}.free", self.driver.new_root(journal), put_aside)
        ours = tuple(t for t in cluster.inventory.read_config(ref).tags if t.startswith(tag.VERSION))
        kept = tuple(t for t in before.tags if t.startswith(tag.VERSION))
        drop = tuple(t for t in ours if t not in kept)
        journal.clear(root_step.WriteTags(f"{act}.version", cluster, ref, add=kept, drop=drop))
        self.driver.unmark(ref, journal, f"{act}.unmark")
