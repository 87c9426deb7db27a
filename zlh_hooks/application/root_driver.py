"""The root driver: how one container is looked at, staged, exchanged, proved and settled. Back: ``way_back``.

Each method is idempotent and replayable: its steps answer from the journal once they are done. Errors: ``Skipped``
leaves the guest as it was; ``TargetError`` from ``apply`` and ``Unhealthy``/``Inconclusive`` from ``prove`` tell the
story to take the way back or to pause; ``Replaced`` to let it go; ``RoadError`` passes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from zlh_hooks.application import busy, high_availability, kept_root, mark, root_in_force, root_step, scratch
from zlh_hooks.application.journal import Journal
from zlh_hooks.application.look import find_storage_away, read_facts
from zlh_hooks.application.ports import Clock, Cluster
from zlh_hooks.application.power import comes_up, explain_off, fails_to_start, list_others, wait_for_others
from zlh_hooks.application.proof import Examiner, Proof, baseline_rules, expect_state, expect_version, merge_expected
from zlh_hooks.application.record import IDENTITY_CHANGES, GuestRecord, make_record, parse_record, read_record
from zlh_hooks.application.scratch_guest import ScratchGuests
from zlh_hooks.application.start import assure_startable, start
from zlh_hooks.application.verdict import Deferred, Inconclusive, Skipped, Unhealthy
from zlh_hooks.domain import tag
from zlh_hooks.domain.busy import needed_to_prove, needed_to_restart, render_sign
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import GuestLocked, GuestMissing, HeldUp, RoadError, StorageAway, TargetError
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.health import Expected, Facts, HealthRules, Outcome, is_installing
from zlh_hooks.domain.plan import Plan, PlannedTarget
from zlh_hooks.domain.precheck import Wishes, find_claim, find_obstacle
from zlh_hooks.domain.progress import RESTART
from zlh_hooks.domain.rollout_outage import AFTER, BASELINE, EXAMINED_SINCE, NOT_RUNNING
from zlh_hooks.domain.steps import TargetEvent

PUT = "exchange.put"
SETTLE_FREE = "settle.free"
IS_PROOF = "is_proof"
"""What the evidence of a proof says: whether it is one, so that only its record is missing if there is none."""


@dataclass(slots=True)
class RootDriver:
    """Everything needed to change one container at a time. Shared by the threads of a rollout.

    ``find_backup``: when a guest's last good backup ended. ``goes_back``: whether all shall go back, so that no proof
    is waited for any more.
    """

    plan: Plan
    cluster: Cluster
    examiner: Examiner
    clock: Clock
    scratch_guests: ScratchGuests
    find_backup: Callable[[int], datetime | None] = lambda _: None
    goes_back: Callable[[], bool] = lambda: False

    # ------------------------------------------------------------------ look

    def locate(self, target: PlannedTarget) -> GuestRef:
        """Where the guest is now; ``GuestMissing`` if it was deleted."""
        found = self.find(target)
        if found is None:
            raise GuestMissing(f"guest {target.vmid} was deleted")
        return found

    def find(self, target: PlannedTarget) -> GuestRef | None:
        """Where the guest is now, or None if it was deleted."""
        if scratch.read_if_there(self.cluster, target.ref) is not None:
            return target.ref
        here = (guest.ref for guest in self.cluster.inventory.list_guests() if guest.vmid == target.vmid)
        return next((ref for ref in here if scratch.read_if_there(self.cluster, ref) is not None), None)

    def check(self, target: PlannedTarget, staged: str | None = None) -> GuestRef:
        """Read all that an exchange depends on; ``Skipped`` says what stands in the way. ``staged``: the new root."""
        ref = self.locate(target)
        if ref != target.ref:
            raise Skipped(f"it moved from {target.node} to {ref.node} after the plan was made")
        rules = self.plan.rules
        backup = self.find_backup(ref.vmid) if rules.backup_within else None
        ignores_ha, now = rules.ha == "ignore", self.clock.now()
        wishes = Wishes(self.plan.line.data_paths, ignores_ha, now, staged, rules.backup_within, backup)
        obstacle = find_obstacle(read_facts(self.cluster, ref, self.plan.release, staged or ""), wishes)
        if obstacle:
            raise Skipped(obstacle)
        return ref

    # ----------------------------------------------------------------- stage

    def stage(self, target: PlannedTarget, journal: Journal, source: GuestRef) -> None:
        """Bring the new root to the guest as an unused volume while it runs. ``source`` is the line's twin."""
        ref = self.check(target)
        before = self._remember(ref, journal)
        journal.retry(root_step.WriteTags("stage.mark", self.cluster, ref, add=mark.list_marks(self.plan, before)))
        new = self._bring_root(ref, journal, source, before)
        journal.event(TargetEvent.STAGED, volume=new)

    def _remember(self, ref: GuestRef, journal: Journal) -> GuestRecord:
        return parse_record(journal.once("before", lambda: read_record(self.cluster, ref, {}).dump()))

    def _bring_root(self, ref: GuestRef, journal: Journal, source: GuestRef, before: GuestRecord) -> str:
        storage, size = before.root.partition(":")[0], root_step.read_root_size(self.cluster, ref)
        x = self.scratch_guests.clone(journal, "stage.clone", source, storage, f"stage {ref.vmid}")
        journal.retry(scratch.TameScratch("stage.tame", self.cluster, x, self.plan.id))
        journal.retry(root_step.GrowRoot("stage.grow", self.cluster, x, size))
        journal.retry(root_step.AddFiller("stage.filler", self.cluster, x, storage))
        swapped = journal.retry(root_step.DetachRoot("stage.detach", self.cluster, x))
        given = journal.retry(root_step.GiveRoot("stage.give", self.cluster, x, swapped["key"], ref))
        kept = kept_root.note(self.cluster, ref, journal, kept_root.STAGED, str(given["volume"]))
        known = mark.render_kept(self.plan.id, kept)
        journal.retry(root_step.WriteTags("stage.kept", self.cluster, ref, add=known))
        self.scratch_guests.destroy(journal, "stage.destroy", x)
        return str(given["volume"])

    def unmark(self, ref: GuestRef, journal: Journal, name: str) -> None:
        """Take this rollout's marks off the guest."""
        drop = mark.find_marks(self.plan.id, self.cluster.inventory.read_config(ref).tags)
        journal.clear(root_step.WriteTags(name, self.cluster, ref, drop=drop))

    # ----------------------------------------------------------------- apply

    def prove_baseline(self, target: PlannedTarget, journal: Journal) -> None:
        """A running guest must pass its probes before it is changed, or restarted; ``Skipped`` if it does not.

        ``HeldUp`` while it is locked, its storage is away or it is being installed; once its root is pending, always.
        """
        ref = self.locate(target)
        self.assure_free(ref)
        if not journal.has_event(TargetEvent.EXCHANGE_BEGAN):
            self._check_staged(target, ref, journal)
        elif not journal.may_be_done(PUT) or not self._is_on_old_root(ref, journal):
            return
        else:
            self._check_pending(target, journal)
        power = self.cluster.inventory.read_power(ref)
        facts = self._ask_healthy(ref, journal) if power.running else {}
        config = self.cluster.inventory.read_config(ref)
        record = make_record(config, power.running, power.uptime_seconds, facts)
        if record.root == self.baseline(journal).root:  # else somebody's restart has just brought the new one
            journal.write(Kind.EVIDENCE, BASELINE, record.dump())

    def find_claim(self, target: PlannedTarget) -> str | None:
        """Who wants no work of ours on the guest, wherever it is now; None if nobody."""
        read, template = self.cluster.inventory.read_config, self.plan.release.templates[target.node]
        return find_claim(read(self.locate(target)), read(GuestRef(template, target.node)), self.clock.now())

    def _is_on_old_root(self, ref: GuestRef, journal: Journal) -> bool:
        return self.cluster.inventory.read_config(ref).rootfs.volume == self.baseline(journal).root

    def _check_staged(self, target: PlannedTarget, ref: GuestRef, journal: Journal) -> None:
        staged, first = self.new_root(journal), self._remember(target.ref, journal)
        self.check(target, staged)
        if flaw := kept_root.find_staging_flaw(self.cluster, ref, journal, first.root, staged):
            raise Skipped(flaw)

    def _check_pending(self, target: PlannedTarget, journal: Journal) -> None:
        """As at a turn that begins; but before it is left out its pending root is taken back."""
        try:
            self.check(target, self.new_root(journal))
        except Skipped as error:
            raise HeldUp(str(error)) from error

    def _ask_healthy(self, ref: GuestRef, journal: Journal) -> Facts:
        """One whose new root waits for a restart already cannot be skipped at once: that is taken back first."""
        proof = self.examiner.examine(ref, self.plan.line.probes, baseline_rules(self.plan.line.probes), {})
        if proof.judgement.outcome is not Outcome.HEALTHY:
            kind = HeldUp if journal.has_event(TargetEvent.EXCHANGE_BEGAN) else Skipped
            raise kind(f"not healthy before the change: {proof.judgement.reason}")
        if is_installing(proof.facts):
            raise HeldUp("its agent is still installing: a restart would break that off")
        return proof.facts

    def assure_free(self, ref: GuestRef) -> None:
        """``HeldUp`` if the guest is locked, or a storage that it stands on is away: nothing could be done with it."""
        lock = self.cluster.inventory.read_config(ref).lock
        if lock:
            raise GuestLocked(f"guest {ref} is locked ({lock})", lock)
        if away := find_storage_away(self.cluster, ref):
            raise StorageAway(f"its storage {away} is not active on {ref.node}")

    def is_running(self, target: PlannedTarget) -> bool:
        """Whether the guest runs now."""
        return self.cluster.inventory.read_power(self.locate(target)).running

    def leave_pending(self, target: PlannedTarget, journal: Journal, sign: str | None = None) -> None:
        """Write the exchange and leave it to the guest's next restart, whoever causes it. ``sign``: at once."""
        ref = self.locate(target)
        before = self.baseline(journal)
        if not journal.has_event(TargetEvent.EXCHANGE_BEGAN):
            journal.event(TargetEvent.EXCHANGE_BEGAN, "" if sign else "its new root comes with its next restart")
        if sign is not None:  # until its restart a guest stays with the HA manager
            self.keep_ha_off(ref, journal, "ha.ignore")
        new = self.new_root(journal)
        size = (journal.done("stage.detach") or {}).get("size")
        kept = kept_root.find_known(journal, kept_root.STAGED)
        journal.run(root_step.PutRoot(PUT, self.cluster, ref, before.root, new, size, kept, sign))

    def has_come_up(self, target: PlannedTarget, journal: Journal) -> bool:
        """Whether somebody's restart has brought a root that was left pending."""
        if not journal.may_be_done(PUT):
            return False
        return self.cluster.inventory.read_config(self.locate(target)).rootfs.volume == self.new_root(journal)

    def find_loss(self, ref: GuestRef, journal: Journal) -> str | None:
        """Why no restart brings the new root any more; None if it waits for one, or is in force."""
        coming = root_step.pending_root(self.cluster, ref)  # read first: a stop in between brings it into force
        root = self.cluster.inventory.read_config(ref).rootfs.volume
        if self.new_root(journal) in (coming, root):
            return None
        return f"its root is {root} and no new one is pending: somebody changed that before its restart"

    def new_root(self, journal: Journal) -> str:
        """The volume that staging brought."""
        return str((journal.done("stage.give") or {})["volume"])

    def apply(self, target: PlannedTarget, journal: Journal) -> None:
        """Exchange the root: one write and, if the guest runs, one restart.

        ``Skipped`` if somebody took the write back, in the moment before the restart too.
        """
        try:
            self.leave_pending(target, journal, render_sign(self.plan.rules, self.clock.now()))
            if (journal.done(PUT) or {})["pending"]:
                self._restart(target, journal)
        except (HeldUp, GuestMissing):
            raise
        except TargetError as error:
            loss = self.find_loss(self.locate(target), journal) if journal.may_be_done(PUT) else None
            raise Skipped(loss) if loss else error from error
        self.mark_exchanged(target, journal)

    def mark_exchanged(self, target: PlannedTarget, journal: Journal) -> None:
        """The new root is in force: from here on the old one is kept, and known by more than its name."""
        if not journal.has_event(TargetEvent.EXCHANGED):
            old, ref = self.baseline(journal).root, self.locate(target)
            kept_root.note(self.cluster, ref, journal, kept_root.OLD, old)
            journal.event(TargetEvent.EXCHANGED)

    def _restart(self, target: PlannedTarget, journal: Journal) -> None:
        """A guest that somebody stopped meanwhile has the new root already and stays stopped."""
        ref = self.locate(target)
        if not journal.has_intent(RESTART) and not self.cluster.inventory.read_power(ref).running:
            return
        if self.wait_for_others(ref, journal) and not journal.may_wait() and not self.has_come_up(target, journal):
            raise HeldUp("somebody else's task delayed its restart until its turn was over")
        if not journal.has_intent(RESTART) and (loss := self.find_loss(ref, journal)):
            raise Skipped(loss)
        if not journal.was_requested(RESTART):
            self.assure_startable(ref)
            self.sign(ref, journal, needed_to_restart(self.plan.rules))
        timeout = self.plan.rules.shutdown_timeout
        try:
            journal.run(root_step.Restart(RESTART, self.cluster, ref, self.new_root(journal), timeout))
        except (GuestLocked, GuestMissing):
            raise
        except StorageAway:
            self._start_when_storage_is_back(ref, journal)
        except TargetError:
            if self.cluster.inventory.read_power(ref).running:
                raise
            if journal.was_requested(RESTART) and self._explain_off(ref, journal) is None:
                raise

    def _explain_off(self, ref: GuestRef, journal: Journal) -> str | None:
        return explain_off(self.cluster, ref, journal, was_running=self.baseline(journal).running)

    def _start_when_storage_is_back(self, ref: GuestRef, journal: Journal) -> None:
        """Its restart has stopped it, with the new root in force: only its start is missing, and no version is bad."""
        try:
            self.start(ref, journal, "exchange.start", StorageAway)
        except StorageAway as error:
            raise RoadError(f"guest {ref} is off until its storage is back and the rollout resumes: {error}") from error

    def start(self, ref: GuestRef, journal: Journal, name: str, passing: type[TargetError]) -> None:
        """Start it, again and again while that fails for what may pass. ``HeldUp`` while it is marked down."""
        assure_startable(self.cluster, self.clock, ref)
        start(self.cluster, self.clock, ref, journal, name, passing, self.plan.rules.start_timeout)

    def wait_for_others(self, ref: GuestRef, journal: Journal) -> bool:
        """What others have begun with its power ends first. Whether there was any."""
        longest = self.plan.rules.shutdown_timeout + self.plan.rules.start_timeout
        return wait_for_others(self.cluster, self.clock, ref, journal, longest)

    def sign(self, ref: GuestRef, journal: Journal, needed: timedelta) -> None:
        """Say on the guest that it is in work, unless it says so for as long as is ``needed``."""
        busy.sign(self.cluster, self.clock, self.plan.rules, ref, journal, needed)

    def assure_startable(self, ref: GuestRef) -> None:
        """``HeldUp`` while the guest is marked down: what we stopped would stay off."""
        assure_startable(self.cluster, self.clock, ref)

    def baseline(self, journal: Journal) -> GuestRecord:
        """The guest as it was when it was last seen before its exchange."""
        data = journal.evidence(BASELINE) or journal.evidence("before")
        assert data is not None
        return parse_record(data)

    def keep_ha_off(self, ref: GuestRef, journal: Journal, name: str) -> None:
        """Take the guest from the HA manager, if policy allows that."""
        if self.plan.rules.ha == "ignore":
            high_availability.keep_off(self.cluster, ref, journal, name)

    def give_back_to_ha(self, ref: GuestRef, journal: Journal, name: str) -> None:
        """Give the HA manager back what it had, if it was taken from it."""
        high_availability.give_back(self.cluster, ref, journal, name)

    # ----------------------------------------------------------------- prove

    def prove(self, target: PlannedTarget, journal: Journal, candidate: Facts) -> None:
        """The guest is healthy on the new root: record it. ``candidate`` is what the smoke guest reported."""
        if journal.has_event(TargetEvent.PROVED):
            return
        ref = self.locate(target)
        before, new = self.baseline(journal), self.new_root(journal)
        root_in_force.assure_new(self.cluster, ref, self.plan.id, before.root, new)
        if (journal.evidence(AFTER) or {}).get(IS_PROOF):
            return self._accept(ref, journal)  # only the record of it was missing
        kept_root.keep_room(self.cluster, ref, journal)
        self.wait_for_others(ref, journal)
        if not comes_up(self.cluster, self.clock, ref, was_running=before.running):
            self._explain_stopped(ref, journal)
        self.sign(ref, journal, needed_to_prove(self.plan.rules))
        known = {action.upid for action in list_others(self.cluster, ref, journal) if not action.running}
        expect = merge_expected(expect_version(candidate), expect_state(before.facts))
        proof = self._examine(ref, self._rules_left(ref, journal), expect)
        after = read_record(self.cluster, ref, proof.facts)
        reason = proof.judgement.reason
        is_proof = proof.judgement.outcome is Outcome.HEALTHY and after.running and after.root == new
        seen = {"judgement": reason, "note": IDENTITY_CHANGES, IS_PROOF: is_proof, **proof.times()}
        journal.write(Kind.EVIDENCE, AFTER, after.dump() | seen)
        root_in_force.assure_new(self.cluster, ref, self.plan.id, before.root, new)
        if is_proof:
            self._accept(ref, journal)
        elif proof.judgement.outcome is Outcome.INCONCLUSIVE:
            raise Inconclusive(reason)
        elif any(action.upid not in known for action in list_others(self.cluster, ref, journal)):
            raise Deferred("somebody else stopped or restarted it during the proof; proved when it runs again")
        else:
            raise Unhealthy(reason)

    def _examine(self, ref: GuestRef, rules: HealthRules, expect: Expected) -> Proof:
        proof = self.examiner.examine(ref, self.plan.line.probes, rules, expect, self.goes_back)
        if proof.judgement.outcome is Outcome.WAITING:
            raise Deferred("its proof was broken off, for all go back")
        return proof

    def health_rules(self) -> HealthRules:
        """How long a guest must be healthy to be proved, and by when."""
        rules = self.plan.rules
        return HealthRules(rules.min_healthy_time, rules.healthy_deadline)

    def _rules_left(self, ref: GuestRef, journal: Journal) -> HealthRules:
        """Who takes over an unfinished proof gives what is left of its time, and at least what asking takes.

        Else a bad root would stay for as long as workers die faster than its deadline.
        """
        rules, exchanged = self.health_rules(), journal.event_at(TargetEvent.EXCHANGED)
        if exchanged is None or journal.evidence(AFTER) is not None:
            return rules
        up = timedelta(seconds=self.cluster.inventory.read_power(ref).uptime_seconds)
        left = rules.healthy_deadline - min(up, self.clock.now() - exchanged)
        shortest = rules.min_healthy_time + baseline_rules(self.plan.line.probes).healthy_deadline
        return replace(rules, healthy_deadline=min(rules.healthy_deadline, max(left, shortest)))

    def _explain_stopped(self, ref: GuestRef, journal: Journal) -> None:
        off = self._explain_off(ref, journal)
        if off is not None:
            raise Deferred(f"{off}; proved at its next start")
        if fails_to_start(self.cluster, ref, journal):
            journal.write(Kind.EVIDENCE, NOT_RUNNING, {EXAMINED_SINCE: self.clock.now().isoformat()})
            raise Unhealthy("it does not run although somebody else started or restarted it")
        raise Unhealthy("it does not run any more after the exchange")

    def _accept(self, ref: GuestRef, journal: Journal) -> None:
        """What cannot be written now is written later: the guest is healthy, and nothing speaks against the version."""
        try:
            self._record_version(ref, journal)
        except (HeldUp, GuestMissing):
            raise
        except TargetError as error:
            raise Deferred(f"it is healthy, and that is not recorded on it yet: {error}") from error
        journal.event(TargetEvent.PROVED)

    def _record_version(self, ref: GuestRef, journal: Journal) -> None:
        self.give_back_to_ha(ref, journal, "ha.restore")
        kept = mark.render_kept(self.plan.id, kept_root.find_known(journal, kept_root.OLD))
        new = (tag.VERSION + self.plan.release.version, *kept)
        outdated = (tag.VERSION, f"{tag.KEPT_ROOT}{self.plan.id}.", tag.BUSY)
        tags = self.cluster.inventory.read_config(ref).tags
        drop = tuple(t for t in tags if t.startswith(outdated) and t not in new)
        journal.clear(root_step.WriteTags("proved.version", self.cluster, ref, add=new, drop=drop))

    # ---------------------------------------------------------------- settle

    def settle(self, target: PlannedTarget, journal: Journal) -> None:
        """The way back is given up: free the old root and take the marks off."""
        ref = self.locate(target)
        old, kept = self.baseline(journal).root, kept_root.find_known(journal, kept_root.OLD)
        kept_root.free(self.cluster, ref, journal, SETTLE_FREE, old, kept)
        self.unmark(ref, journal, "settle.unmark")
        journal.event(TargetEvent.SETTLED)
