"""A last look at what others do on a guest's node, right before it is restarted.

A token that may not read backup jobs is no reason to stop: ``ready`` names the right that is missing, and the rollout
says once that jobs are not looked at. The config lock is waited for in any case.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from zlh_hooks.application.journal import Journal
from zlh_hooks.application.ports import Clock, Cluster
from zlh_hooks.application.verdict import Refused, Skipped
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import HeldUp, RightMissing
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.interlock import (
    ActiveTask,
    BackupJob,
    Conflict,
    InterlockRules,
    Surroundings,
    find_conflict,
    find_work,
    name_owner,
)

UNSEEN = "interlock.unseen"
"""Note: why backup jobs are not looked at."""


@dataclass(frozen=True, slots=True)
class Interlock:
    """Shared by the threads of a rollout. ``journal`` is the rollout's; ``is_ours`` knows guests in our work."""

    rules: InterlockRules
    cluster: Cluster
    clock: Clock
    journal: Journal
    is_ours: Callable[[int | None], bool]

    def assure_undisturbed(self, guest: GuestRef, need: timedelta) -> None:
        """``HeldUp``, ``Skipped`` or ``Refused``, as policy says, while others are at work or soon will be."""
        conflict = self.find(guest, need)
        if conflict is not None:
            kinds = {"wait": HeldUp, "skip": Skipped, "refuse": Refused}
            raise kinds[conflict.answer](conflict.reason)

    def find(self, guest: GuestRef, need: timedelta) -> Conflict | None:
        """What speaks against a restart that takes ``need`` until its proof."""
        now = self.clock.now()
        jobs = [job for job in self._list_jobs() if job.is_due(now, need)]
        pool = self._read_pool(guest) if any(job.pool for job in jobs) else None
        active, lately = self.cluster.tasks.list_active(guest.node), self._list_lately(guest.node, now)
        around = Surroundings(guest, pool, active, jobs, self.is_ours, lately)
        return find_conflict(around, self.rules, now, need)

    def _list_lately(self, node: str, now: datetime) -> Sequence[ActiveTask]:
        """What may have made a guest that is not ready yet, but what our token asked for, in other rollouts too."""
        rules = self.rules
        if rules.provisioning == "ignore" or not rules.provisioning_time:
            return ()
        ours = {name_owner(upid) for upid in self.journal.upids}
        begun = self.cluster.tasks.list_begun(node, now - rules.provisioning_time)
        return [task for task in begun if name_owner(task.upid) not in ours]

    def _list_jobs(self) -> Sequence[BackupJob]:
        if self.rules.backup_due == "ignore":
            return ()
        try:
            return self.cluster.backups.list_backup_jobs()
        except RightMissing as error:
            if not self.journal.has_note(UNSEEN):
                self.journal.write(Kind.NOTE, UNSEEN, {"reason": f"whether backups are due is not seen: {error}"})
            return ()

    def _read_pool(self, guest: GuestRef) -> str | None:
        return next((one.pool for one in self.cluster.inventory.list_guests() if one.vmid == guest.vmid), None)


def assure_alone(cluster: Cluster, guest: GuestRef, ours: Collection[str]) -> None:
    """``HeldUp`` while a task of others is at work on this very guest. ``ours``: task ids.

    For ways back: a guest that is bad does not wait for what may be nothing to it.
    """
    others = [task for task in cluster.tasks.list_active(guest.node) if task.upid not in ours]
    if work := find_work(others, guest):
        raise HeldUp(work)
