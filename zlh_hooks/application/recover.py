"""With the ledger lost: what a rollout left on Proxmox, found from Proxmox alone, and the way back or forward.

Every guest in work carries ``zlh-rollout.<id>``, ``zlh-old-root.<id>.<volume name>``, the versions it goes from and to,
and what the root beside its own was when it was put there; scratch guests carry a number of the policy's range and a
note. That is enough to say for each guest which root is the old one and which the new, and what runs in each. What
cannot be told from a customer's volume is never freed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from zlh_hooks.application import busy, mark, root_step, scratch
from zlh_hooks.application.interlock import Interlock
from zlh_hooks.application.journal import Journal
from zlh_hooks.application.ports import Clock, Cluster
from zlh_hooks.application.retag import CANARY_TAG
from zlh_hooks.application.start import assure_startable
from zlh_hooks.domain import tag
from zlh_hooks.domain.busy import needed_to_restart, render_sign
from zlh_hooks.domain.errors import HeldUp, NotAllowed, TargetError
from zlh_hooks.domain.guest import GuestConfig, GuestRef, GuestSummary, render_size
from zlh_hooks.domain.interlock import find_work
from zlh_hooks.domain.kept_volume import KeptVolume
from zlh_hooks.domain.policy import Policy, VmidRange
from zlh_hooks.domain.progress import LEFT, UNMARK, name_recovery


class Mode(StrEnum):
    """How far the exchange of a guest had come."""

    MARKED = "marked"  # nothing was staged yet, or it was taken away again
    STAGED = "staged"  # the new root waits as an unused volume
    PENDING = "pending"  # the new root comes with the next restart
    EXCHANGED = "exchanged"  # it is on the new root, the old one is kept
    SCRATCH = "scratch"  # a temporary guest that outlived its rollout
    OFFERED = "offered"  # a template that new guests are still cloned from on trial


@dataclass(frozen=True, slots=True)
class Remnant:
    """One guest or template that a rollout left in work. ``old``, ``new``: volume ids, empty where there is none.

    ``kept``: what the root beside its own was when it was put aside, if a tag says so.
    """

    ref: GuestRef
    name: str
    rollout: str
    mode: Mode
    old: str
    new: str
    kept: KeptVolume | None = None

    @property
    def ways(self) -> tuple[str, ...]:
        """What can be done with it."""
        return ("back", "forward") if self.mode in (Mode.PENDING, Mode.EXCHANGED) else ("back",)


@dataclass(frozen=True, slots=True)
class Recovery:
    """Finds remnants, and takes them back or forward.

    ``insists``: a guest is restarted whatever others do meanwhile; ``say`` tells what they do.
    """

    cluster: Cluster
    clock: Clock
    policy: Policy
    insists: bool = False
    say: Callable[[str], None] = lambda _: None

    @property
    def numbers(self) -> VmidRange:
        """Those of temporary guests."""
        return self.policy.scratch_vmids

    def list_remnants(self) -> tuple[Remnant, ...]:
        """Every guest in work, every scratch guest and every candidate of a line, by number."""
        found = (self._find(guest) for guest in sorted(self.cluster.inventory.list_guests(), key=lambda g: g.ref))
        return tuple(remnant for group in found for remnant in group)

    def _find(self, guest: GuestSummary) -> Sequence[Remnant]:
        rollouts = tag.values_of(tag.ROLLOUT, guest.tags)
        if guest.template and CANARY_TAG in guest.tags:
            return (Remnant(guest.ref, guest.name, "", Mode.OFFERED, "", ""),)
        if guest.template or not guest.is_container or not (rollouts or guest.vmid in self.numbers):
            return ()
        config = scratch.read_if_there(self.cluster, guest.ref)
        if config is None:
            return ()
        is_being_made = guest.vmid in self.numbers and config.lock == scratch.BEING_MADE
        if is_being_made or scratch.is_scratch(config, self.numbers):
            return (Remnant(guest.ref, guest.name, ", ".join(rollouts), Mode.SCRATCH, "", ""),)
        return tuple(self._read(guest, config, rollout) for rollout in rollouts)

    def _read(self, guest: GuestSummary, config: GuestConfig, rollout: str) -> Remnant:
        name = next(iter(tag.values_of(f"{tag.OLD_ROOT}{rollout}.", config.tags)), "")
        coming = root_step.pending_root(self.cluster, guest.ref)
        old = next((volume for volume in _list_roots(config) if name and mark.name_volume(volume) == name), "")
        kept = mark.parse_kept(rollout, config.tags, guest.ref)
        mode, new = self._judge(config, old, coming, kept)
        beside = old if mode is Mode.EXCHANGED else new
        return Remnant(guest.ref, guest.name, rollout, mode, old, new, kept.get(mark.name_volume(beside)))

    def _judge(
        self, config: GuestConfig, old: str, coming: str | None, kept: Mapping[str, KeptVolume]
    ) -> tuple[Mode, str]:
        if not old:
            return Mode.MARKED, ""
        if config.rootfs.volume != old:
            return Mode.EXCHANGED, config.rootfs.volume
        if coming:
            return Mode.PENDING, coming
        staged = (volume for volume in _list_roots(config)[1:] if mark.name_volume(volume) in kept)
        new = next(staged, "")
        return (Mode.STAGED, new) if new else (Mode.MARKED, "")

    def take_back(self, remnant: Remnant, journal: Journal) -> str:
        """The guest as it was before the rollout: old root in force, new one freed, marks off.

        Returns why something was left alone; empty if nothing was.
        """
        ref, act = remnant.ref, name_recovery("back", remnant.ref.vmid)
        if remnant.mode is Mode.SCRATCH:
            self._remove_scratch(remnant, journal)
            return ""
        if remnant.mode is Mode.OFFERED:
            journal.retry(root_step.WriteTags(f"{act}.withdraw", self.cluster, ref, drop=(CANARY_TAG,)))
            return ""
        if remnant.mode in (Mode.PENDING, Mode.EXCHANGED):
            self._put_back(remnant, journal, act)
        # what was in force a moment ago is known by that
        known = self._look_at(ref, remnant.new) if remnant.mode is Mode.EXCHANGED else remnant.kept
        left = self._free(remnant, journal, act, remnant.new, known)
        self._unmark(remnant, journal, act, tag.FROM_VERSION)
        return left

    def _put_back(self, remnant: Remnant, journal: Journal, act: str) -> None:
        ref, old, size, is_exchanged = remnant.ref, remnant.old, self._size_of(remnant), remnant.mode is Mode.EXCHANGED
        if is_exchanged and self.cluster.inventory.read_power(ref).running:
            self._assure_restartable(ref, journal, goes_back=True)
        known, sign = remnant.kept if is_exchanged else None, render_sign(self.policy.rollout, self.clock.now())
        put = root_step.PutRoot(f"{act}.put", self.cluster, ref, remnant.new, old, size, known, sign)
        if journal.retry(put)["pending"]:
            self._restart(ref, journal, act, old)

    def _assure_restartable(self, ref: GuestRef, journal: Journal, *, goes_back: bool) -> None:
        """``HeldUp`` says what is in the way: going back, work on this very guest alone, for it may be a bad one."""
        assure_startable(self.cluster, self.clock, ref)
        conflict = self._open_interlock(journal).find(ref, needed_to_restart(self.policy.rollout))
        if conflict is None:
            return
        work = find_work(self.cluster.tasks.list_active(ref.node), ref)
        if (work or not goes_back) and not self.insists:
            raise HeldUp(f"left alone, for {work or conflict.reason}; again when that is over, or at once with --now")
        self.say(f"guest {ref} is restarted all the same: {conflict.reason}")

    def _open_interlock(self, journal: Journal) -> Interlock:
        """Only what runs counts: which of the guests that were made lately are ours, nobody knows without a ledger."""
        rules, numbers = self.policy.rollout.interlock, self.numbers
        rules = rules.model_copy(update={"provisioning_time": timedelta(0)})
        return Interlock(rules, self.cluster, self.clock, journal, lambda vmid: vmid in numbers)

    def _restart(self, ref: GuestRef, journal: Journal, act: str, root: str) -> None:
        """Signed as in work, also if a lock is to be waited for first."""
        rules = self.policy.rollout
        needed, name = needed_to_restart(rules), f"{act}.sign"
        busy.sign(self.cluster, self.clock, rules, ref, journal, needed, name, waits=True)
        journal.retry(root_step.Restart(f"{act}.restart", self.cluster, ref, root, rules.shutdown_timeout))

    def _look_at(self, ref: GuestRef, volume: str) -> KeptVolume | None:
        return root_step.look_at(self.cluster, ref, volume)

    def _free(self, remnant: Remnant, journal: Journal, act: str, volume: str, known: KeptVolume | None) -> str:
        if not volume:
            return self._find_unknown(remnant)
        step = root_step.FreeVolume(f"{act}.free", self.cluster, remnant.ref, volume, known)
        return str(journal.retry(step).get(LEFT, ""))

    def _find_unknown(self, remnant: Remnant) -> str:
        """A worker that died right after it had staged a root could not say which one."""
        unused = _list_roots(self.cluster.inventory.read_config(remnant.ref))[1:]
        said = "unused volumes were left alone, for nothing shows that one was staged:"
        return f"{said} {', '.join(unused)}" if unused and remnant.mode is Mode.MARKED else ""

    def go_forward(self, remnant: Remnant, journal: Journal) -> str:
        """The guest on its new root for good: a pending one is brought by a restart, the old one freed, marks off.

        Returns why something was left alone; empty if nothing was.
        """
        if "forward" not in remnant.ways:
            raise NotAllowed(f"guest {remnant.ref} is {remnant.mode}: it can only go back")
        ref, act = remnant.ref, name_recovery("forward", remnant.ref.vmid)
        if remnant.mode is Mode.PENDING:
            self._assure_restartable(ref, journal, goes_back=False)
            self._restart(ref, journal, act, remnant.new)
        known = self._look_at(ref, remnant.old) if remnant.mode is Mode.PENDING else remnant.kept
        left = self._free(remnant, journal, act, remnant.old, known)
        self._unmark(remnant, journal, act, tag.TO_VERSION)
        return left

    def _size_of(self, remnant: Remnant) -> str | None:
        """The old root's size as its storage knows it: the config of an unused volume does not keep it."""
        storage = remnant.old.partition(":")[0]
        volumes = self.cluster.storage.list_volumes(remnant.ref.node, storage, remnant.ref.vmid)
        size = next((volume.size for volume in volumes if volume.volid == remnant.old), None)
        return None if size is None else render_size(size)

    def _unmark(self, remnant: Remnant, journal: Journal, act: str, kept: str) -> None:
        """Take the marks off; of the two versions the ``kept`` one is the guest's."""
        tags = self.cluster.inventory.read_config(remnant.ref).tags
        drop = mark.find_marks(remnant.rollout, tags)
        versions = tuple(tag.VERSION + v for v in tag.values_of(f"{kept}{remnant.rollout}.", tags))
        if any(t.startswith(tag.TO_VERSION) for t in drop):
            drop += tuple(t for t in tags if t.startswith(tag.VERSION) and t not in versions)
        journal.retry(root_step.WriteTags(act + UNMARK, self.cluster, remnant.ref, add=versions, drop=drop))

    def _remove_scratch(self, remnant: Remnant, journal: Journal) -> None:
        config = self.cluster.inventory.read_config(remnant.ref)
        if config.lock:
            raise TargetError(
                f"scratch guest {remnant.ref} is locked ({config.lock}): when no task works on it, unlock it"
            )
        act = name_recovery("scratch", remnant.ref.vmid)
        journal.retry(root_step.Stop(f"{act}.stop", self.cluster, remnant.ref, timedelta(seconds=10)))
        journal.retry(scratch.DestroyScratch(f"{act}.destroy", self.cluster, remnant.ref, self.numbers, None))


def _list_roots(config: GuestConfig) -> list[str]:
    """What may be a root of the guest, the present one first: all lie on its storage, and none is in use as data.

    On another storage, and among the guest's data, there may be a volume of the same name.
    """
    unused = (m.volume for m in config.unused if m.storage == config.rootfs.storage)
    return [config.rootfs.volume, *unused]
