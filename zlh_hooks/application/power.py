"""By whose will a guest is off: its power belongs to its customer, and only what we have stopped we start again."""

from dataclasses import dataclass
from datetime import timedelta

from zlh_hooks.application.journal import POLL, Journal
from zlh_hooks.application.ports import Clock, Cluster, Upid
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.progress import RESTART
from zlh_hooks.domain.steps import TargetEvent

COMING_UP = timedelta(seconds=10)
"""How long a guest that restarts from inside, of which no task tells, may be off in between."""
_LOOK_BACK = timedelta(minutes=10)
_KINDS = ("vzstop", "vzshutdown", "vzreboot", "vzmigrate", "vzstart", "vzsuspend")


@dataclass(frozen=True, slots=True)
class PowerAction:
    """A power task for a guest that was not ours."""

    kind: str
    upid: Upid
    running: bool

    @property
    def starts(self) -> bool:
        """Whether the guest runs afterwards, if all is well."""
        return self.kind in ("vzstart", "vzreboot")


def list_others(
    cluster: Cluster, ref: GuestRef, journal: Journal, earlier: timedelta = timedelta(0)
) -> tuple[PowerAction, ...]:
    """What others have asked of its power since its exchange began, or somewhat ``earlier``, oldest first."""
    began = journal.event_at(TargetEvent.EXCHANGE_BEGAN)
    assert began is not None
    tasks, ours = cluster.tasks.list_tasks(ref.node, ref.vmid, began - earlier), journal.upids
    others = (task for task in tasks if task.kind in _KINDS and task.upid not in ours)
    return tuple(PowerAction(task.kind, task.upid, task.running) for task in others)


def wait_for_others(cluster: Cluster, clock: Clock, ref: GuestRef, journal: Journal, longest: timedelta) -> bool:
    """Until what others have begun with its power has ended, or the ``longest`` time. Whether there was any."""
    deadline, waited = clock.monotonic() + longest.total_seconds(), False
    while any(action.running for action in list_others(cluster, ref, journal, _LOOK_BACK)):
        if clock.monotonic() >= deadline:
            break
        clock.sleep(POLL)
        waited = True
    return waited


def comes_up(cluster: Cluster, clock: Clock, ref: GuestRef, *, was_running: bool) -> bool:
    """Whether it runs; one that ran before may be off for the moment of somebody else's restart."""
    deadline = clock.monotonic() + (COMING_UP.total_seconds() if was_running else 0)
    while not (running := cluster.inventory.read_power(ref).running) and clock.monotonic() < deadline:
        clock.sleep(POLL)
    return running


def fails_to_start(cluster: Cluster, ref: GuestRef, journal: Journal) -> bool:
    """Whether it is off although what others last asked for, since its exchange, was a start or a restart."""
    last = list_others(cluster, ref, journal)[-1:]
    wanted = any(action.starts and not action.running for action in last)
    return wanted and not cluster.inventory.read_power(ref).running


def explain_off(cluster: Cluster, ref: GuestRef, journal: Journal, *, was_running: bool) -> str | None:
    """By whose will a guest that does not run is off: such a one stays off. None: by our restart, or its own fault.

    ``was_running``: before its exchange. Of a proved guest that is off from inside nobody can say whether its customer
    shut it down or it broke down. It counts as shut down: to start what a customer has switched off cannot be undone.
    """
    if journal.has_event(TargetEvent.PROVED):
        return None if _failed_to_start(cluster, ref, journal) else "it was switched off after its proof"
    if fails_to_start(cluster, ref, journal):
        return None
    if not was_running:
        return "it was stopped and stays so"
    if not journal.was_requested(RESTART):
        return "it was switched off before we would have restarted it"
    return "somebody else stopped it" if list_others(cluster, ref, journal) else None


def _failed_to_start(cluster: Cluster, ref: GuestRef, journal: Journal) -> bool:
    """Whether what others last asked for was a start or a restart that went wrong; one that went well says nothing."""
    last = list_others(cluster, ref, journal)[-1:]
    return any(action.starts and not cluster.tasks.read_task(action.upid).ok for action in last)
