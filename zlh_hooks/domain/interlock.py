"""What others do on a guest's node, and what of it speaks against restarting the guest now. Pure.

A guest's config lock is another matter: it is always waited for. A vzdump of several guests names none of them in its
task (its id is empty), so it may be about to lock this one; clones carry the number of their source.

The hosting platform clones a guest, starts it, and then asks its agent for up to ten minutes whether it is ready, which
no task shows. A token of Proxmox's does not hear the agent, and a container's config does not say when it was made. So
a guest counts as being provisioned from its making in the task log on, for as long as policy says.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from pydantic import Field

from zlh_hooks.domain.duration import Duration, render_duration
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.value import Value

Answer = Literal["wait", "skip", "refuse", "ignore"]
_ORDER: Sequence[Answer] = ("refuse", "skip", "wait")
_CONTAINERS, _MACHINES = "vz", "qm"
"""How Proxmox's tasks begin, of containers and of virtual machines."""


def _kinds(*acts: str) -> tuple[str, ...]:
    return tuple(guests + act for guests in (_CONTAINERS, _MACHINES) for act in acts)


_MAKING = _kinds("clone", "create", "restore")
_PROVISIONING = (*_MAKING, *_kinds("start"))
_SNAPSHOTS = _kinds("snapshot", "delsnapshot", "rollback")
_VOLUMES = ("move_volume", "qmmove", "resize")
_MIGRATIONS = ("vzmigrate", "qmigrate")  # one m less than its family's name would make
_WORK = (*_SNAPSHOTS, *_VOLUMES, *_MAKING, *_MIGRATIONS, *_kinds("template", "destroy"))
_OVERDUE = timedelta(minutes=10)
"""A job that was due for longer and has not begun does not come now."""


class Subject(StrEnum):
    """What kind of thing others do."""

    WORK = "work"  # on the guest itself: always waited for
    BACKUP = "backup"
    BACKUP_DUE = "backup_due"
    PROVISIONING = "provisioning"


class InterlockRules(Value):
    """What becomes of a guest's turn while others are at work. `refuse` pauses the rollout until a person resumes."""

    backup: Answer = Field(default="wait", description="A backup runs, of this guest or of several on its node.")
    backup_due: Answer = Field(default="wait", description="A backup job is due before the guest would be done.")
    provisioning: Answer = Field(default="wait", description="A new guest is made or started on the same node.")
    provisioning_time: Duration = Field(
        default=timedelta(minutes=10),
        description="So long from its making on a guest counts as new, though no task runs; `0s`: only tasks count.",
    )

    def answer(self, subject: Subject) -> Answer:
        """What policy says of it."""
        answers: dict[Subject, Answer] = {
            Subject.BACKUP: self.backup,
            Subject.BACKUP_DUE: self.backup_due,
            Subject.PROVISIONING: self.provisioning,
        }
        return answers.get(subject, "wait")


@dataclass(frozen=True, slots=True)
class ActiveTask:
    """A task on a node. ``vmid``: the guest in its id (of a clone or move its source); None without one."""

    upid: str
    kind: str
    vmid: int | None


@dataclass(frozen=True, slots=True)
class BackupJob:
    """An enabled backup job. ``due``: when it runs next, aware; None if never.

    It takes the guests of ``vmids``, of ``pool``, or (``takes_all``) all but ``excluded``; with a ``node``, only there.
    """

    name: str
    due: datetime | None
    node: str | None = None
    vmids: frozenset[int] = frozenset()
    pool: str | None = None
    takes_all: bool = False
    excluded: frozenset[int] = frozenset()

    def takes(self, guest: GuestRef, pool: str | None) -> bool:
        """Whether the guest, which is in ``pool``, is among its guests. Those of pools within a pool are not."""
        if self.node not in (None, guest.node):
            return False
        if self.pool is not None:
            return pool == self.pool
        return guest.vmid in self.vmids or (self.takes_all and guest.vmid not in self.excluded)

    def is_due(self, now: datetime, within: timedelta) -> bool:
        """Whether it comes in that time, or should have come just now."""
        return self.due is not None and now - _OVERDUE <= self.due <= now + within


@dataclass(frozen=True, slots=True)
class Surroundings:
    """All that counts around a guest, read at one moment. ``is_ours``: whether a guest's start is no provisioning.

    ``lately``: others' tasks that began within policy's ``provisioning_time``, those that have ended well too.
    """

    guest: GuestRef
    pool: str | None
    tasks: Sequence[ActiveTask]
    jobs: Sequence[BackupJob]
    is_ours: Callable[[int | None], bool]
    lately: Sequence[ActiveTask] = ()


@dataclass(frozen=True, slots=True)
class Conflict:
    """One thing that others do, and what policy answers."""

    subject: Subject
    reason: str
    answer: Answer


def find_conflict(around: Surroundings, rules: InterlockRules, now: datetime, need: timedelta) -> Conflict | None:
    """The gravest of what is not to be ignored while something is done that takes ``need``; None if nothing is."""
    found = (*_list(around, now, need), *_list_new(around, rules.provisioning_time))
    answered = [Conflict(subject, reason, rules.answer(subject)) for subject, reason in found]
    return next((one for answer in _ORDER for one in answered if one.answer == answer), None)


def name_owner(upid: str) -> str:
    """Who asked for the task, as its id says: a user, or a user's token."""
    return "".join(upid.split(":")[7:8])


def find_work(tasks: Sequence[ActiveTask], guest: GuestRef) -> str | None:
    """What others certainly do to this very guest; None if nothing. A backup that has not locked it may wait for it."""
    found = (task.kind for task in tasks if task.vmid == guest.vmid and task.kind in _WORK)
    return next((f"somebody else's task is at work on it: {kind}" for kind in found), None)


def _list(around: Surroundings, now: datetime, need: timedelta) -> Iterator[tuple[Subject, str]]:
    guest = around.guest
    for task in around.tasks:
        if task.kind == "vzdump" and task.vmid in (None, guest.vmid):
            whose = "its backup" if task.vmid else "a backup of several guests, perhaps of this one,"
            yield Subject.BACKUP, f"{whose} runs on {guest.node}"
        elif work := find_work([task], guest):
            yield Subject.WORK, work
        elif task.kind in _PROVISIONING and not around.is_ours(task.vmid):
            yield Subject.PROVISIONING, f"a new guest is being made or started on {guest.node}: {task.kind} {task.vmid}"
    for job in around.jobs:
        if job.is_due(now, need) and job.takes(guest, around.pool):
            yield Subject.BACKUP_DUE, f"backup job {job.name} is due at {job.due:%Y-%m-%d %H:%M} UTC, before it is done"


def _list_new(around: Surroundings, time: timedelta) -> Iterator[tuple[Subject, str]]:
    """Of a clone only its source is known."""
    age, node = render_duration(time), around.guest.node
    for task in around.lately:
        if task.kind in _MAKING and not around.is_ours(task.vmid):
            told = f"a new guest on {node} is younger than {age} and may not be ready: {task.kind} {task.vmid}"
            yield Subject.PROVISIONING, told
