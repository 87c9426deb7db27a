"""What the stories ask of the world. Each port has one to six methods and a role's name; adapters have products' names.

What stories of agents ask for is in ``agent_ports``.

Errors, for every method: :class:`~zlh_hooks.domain.errors.RoadError` when the way is broken; reads and writes of one
guest also raise ``GuestMissing``, writes ``GuestLocked`` and ``ConfigChanged``. A write whose answer was lost raises
``Unanswered`` and is never repeated by the adapter.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NewType, Protocol

from zlh_hooks.domain.dead_man import Memory
from zlh_hooks.domain.entry import Draft, Entry
from zlh_hooks.domain.evidence import Measurement
from zlh_hooks.domain.guest import GuestConfig, GuestRef, GuestSummary, Power, StorageSpace, Volume
from zlh_hooks.domain.interlock import ActiveTask, BackupJob
from zlh_hooks.domain.line import Promotion
from zlh_hooks.domain.notice import Bulletin, Customer, Message
from zlh_hooks.domain.outage import Gap, KnownGuest, Outage
from zlh_hooks.domain.probe import Probe
from zlh_hooks.domain.span import Span

Upid = NewType("Upid", str)
"""A Proxmox task id, ``UPID:node:pid:pstart:starttime:type:id:user:`` in full."""


@dataclass(frozen=True, slots=True)
class TaskResult:
    """How a task stands. ``ok`` counts ``OK`` and ``WARNINGS: n``; both are False-ish while ``running``.

    ``lock``: the config lock for which a task that failed did nothing, e.g. ``backup``. ``storage_away``: it failed for
    a storage that did not answer.
    """

    running: bool
    ok: bool
    exit_status: str
    lock: str | None = None
    storage_away: bool = False


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """One row of a node's task list. Clone and move tasks carry the source's VMID."""

    upid: Upid
    kind: str
    vmid: int | None
    started: datetime
    running: bool


@dataclass(frozen=True, slots=True)
class CloneOrder:
    """A full clone on the source's own node. ``note`` becomes the description and says whose scratch guest it is."""

    new_vmid: int
    storage: str
    hostname: str
    note: str


class Inventory(Protocol):
    """What guests there are and how they stand."""

    def list_guests(self) -> tuple[GuestSummary, ...]:
        """Every guest of the cluster in one request; seconds stale; unknown resource types are left out."""

    def list_nodes(self) -> tuple[str, ...]:
        """Every node of the cluster by name, also one that is off."""

    def read_config(self, guest: GuestRef) -> GuestConfig:
        """The values in force now, without pending changes."""

    def read_pending(self, guest: GuestRef) -> Mapping[str, str | None]:
        """Changes that wait for the next stop: key to new value, or None for a pending deletion."""

    def read_power(self, guest: GuestRef) -> Power:
        """Live, not from the list."""

    def read_address(self, guest: GuestRef) -> str | None:
        """An address at which a running guest answers: its first global IPv4 (else IPv6); None until it has one."""


class Storage(Protocol):
    """Storages and the volumes on them."""

    def list_storages(self, node: str) -> tuple[StorageSpace, ...]:
        """The storages that the node can reach."""

    def list_volumes(self, node: str, storage: str, owner: int) -> tuple[Volume, ...]:
        """The volumes there that belong to guest ``owner``, from the storage and not from configs.

        ``RightMissing`` if the token may not see them: nothing listed means that there is nothing.
        """


class GuestEditor(Protocol):
    """Changes to configs and volumes."""

    def write_config(
        self,
        guest: GuestRef,
        values: Mapping[str, str],
        digest: str | None,
        *,
        delete: Sequence[str] = (),
        revert: Sequence[str] = (),
    ) -> None:
        """One atomic config write; ``revert`` takes back pending changes. ``ConfigChanged`` if ``digest`` is stale."""

    def clone(self, source: GuestRef, order: CloneOrder) -> Upid:
        """Locks the source (lock ``disk``) until the task ends."""

    def move_volume(self, source: GuestConfig, key: str, target: GuestConfig, target_key: str) -> Upid:
        """Give ``source``'s volume to ``target`` as ``target_key``; both digests are sent."""

    def resize(self, guest: GuestConfig, key: str, size: int) -> Upid:
        """Grow the guest's volume, and the file system on it, to ``size`` bytes; the digest is sent. Never shrinks."""

    def destroy(self, guest: GuestRef) -> Upid:
        """Destroy the guest and every volume it references."""


class PowerSwitch(Protocol):
    """Power actions. Time-outs are for the guest's own shutdown."""

    def start(self, guest: GuestRef) -> Upid:
        """Start a stopped guest."""

    def reboot(self, guest: GuestRef, timeout: timedelta) -> Upid:
        """Shut down and start in one task; pending changes apply between. Stopped hard when ``timeout`` has passed."""

    def shutdown(self, guest: GuestRef, timeout: timedelta) -> Upid:
        """Shut down; when ``timeout`` has passed, stop hard."""

    def stop(self, guest: GuestRef) -> Upid:
        """Stop hard, at once."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """All that the stories ask of Proxmox, handed around as one value."""

    inventory: "Inventory"
    storage: "Storage"
    editor: "GuestEditor"
    power: "PowerSwitch"
    tasks: "Tasks"
    availability: "HighAvailability"
    backups: "Backups"


class Tasks(Protocol):
    """Proxmox's tasks."""

    def read_task(self, upid: Upid) -> TaskResult:
        """How the task stands, asked on the node named in its id."""

    def list_tasks(self, node: str, vmid: int, since: datetime) -> tuple[TaskSummary, ...]:
        """Running and finished tasks for the guest since then, oldest first."""

    def list_active(self, node: str) -> tuple[ActiveTask, ...]:
        """All that run on the node now, everybody's."""

    def list_begun(self, node: str, since: datetime) -> tuple[ActiveTask, ...]:
        """Everybody's on the node that began since then and run, or have ended well."""


class Backups(Protocol):
    """The cluster's plan of backups."""

    def list_backup_jobs(self) -> tuple[BackupJob, ...]:
        """Those that are enabled. ``RightMissing`` if the token may not see them."""


class HighAvailability(Protocol):
    """The HA manager's claim on a guest."""

    def write_ha_state(self, vmid: int, state: str) -> None:
        """``ignored`` keeps the manager off; the recorded state (``started``, ``stopped``) gives the guest back.

        ``TargetError`` if the guest is no HA resource.
        """


class Rights(Protocol):
    """What the token may do."""

    def read_rights(self, path: str | None = None) -> Mapping[str, frozenset[str]]:
        """ACL path to effective privileges; without ``path``, of all paths on which rights were given.

        What holds on any other path depends on propagation, pools and NoAccess: ask for that ``path``.
        """


class Prober(Protocol):
    """Asks health questions. Never raises for what it finds: an unanswerable question is a Measurement too."""

    def measure(self, probe: Probe, guest: GuestRef, address: str | None) -> Measurement:
        """Ask once, within the probe's time-out. ``address`` None means the guest has none yet: unhealthy."""


class Ledger(Protocol):
    """The append-only record. An entry is on disk when ``append`` returns."""

    def append(self, draft: Draft) -> Entry:
        """Record; raises ``LeaseLost`` in a worker whose lease was taken over."""

    def read(self, rollout: str | None = None, after: int = 0) -> tuple[Entry, ...]:
        """Entries with a sequence above ``after``, oldest first; of one rollout, or of all if None."""


class NoteRecord(Protocol):
    """What the record holds of guests that were noted. An answer takes as long after years as on the first day."""

    def append(self, draft: Draft) -> Entry:
        """Record, as the Ledger does."""

    def has_note(self, node: str, file: str) -> bool:
        """Whether it is recorded. A node's names are its own: none can take another's note for recorded."""

    def find_last_note(self, guest: int) -> Entry | None:
        """The guest's latest (:func:`~zlh_hooks.domain.note_book.choose_last`) that says at which node it was."""

    def find_last_address(self, guest: int) -> Entry | None:
        """What was recorded last of where the guest answers."""

    def read_changes(self, since: datetime) -> tuple[Entry, ...]:
        """Of changes of guests, and that the operator was told of them (``domain/guest_change``), oldest first."""


@dataclass(frozen=True, slots=True)
class LeaseHolder:
    """Who executes, until when (aware UTC). ``number`` grows with every take-over and fences off the one before."""

    holder: str
    number: int
    until: datetime


class WorkerLease(Protocol):
    """The right to execute what one ledger holds; kept alive by renewing."""

    def take(self, holder: str, length: timedelta) -> LeaseHolder:
        """Take a free or expired lease; ``NotAllowed`` names the holder and until when."""

    def renew(self, lease: LeaseHolder, length: timedelta) -> LeaseHolder:
        """Extend; ``LeaseLost`` if somebody else took it."""

    def release(self, lease: LeaseHolder) -> None:
        """Give it back; nothing happens if it is lost already."""

    def read(self) -> LeaseHolder | None:
        """The holder, also an expired one; None if the lease was never taken or was given back."""


class PromotionHook(Protocol):
    """Somebody who wants to know when a line's stable version moves, e.g. the platform that creates guests."""

    @property
    def name(self) -> str:
        """For tables and the ledger, without secrets."""

    def send_promotion(self, promotion: Promotion) -> None:
        """Tell it; the same promotion may be sent again, so it must be safe to repeat."""


class CustomerDirectory(Protocol):
    """Who has which guests, and how to reach them."""

    def list_customers(self) -> tuple[Customer, ...]:
        """All of them; ``RoadError`` if the source cannot be read, ``SettingsError`` if what it says makes no sense."""


class NoticeChannel(Protocol):
    """One way to a customer. What it cannot know it does not claim: delivered means accepted by the server."""

    @property
    def name(self) -> str:
        """For tables and the ledger."""

    def find_address(self, customer: Customer) -> str | None:
        """Where this channel reaches the customer; None if it does not."""

    def send_notice(self, address: str, message: Message) -> str:
        """Send once; the server's answer, for the ledger.

        ``TargetError`` when the server refuses this address for good, ``RoadError`` when another attempt may succeed,
        ``Unanswered`` when nobody knows whether it was accepted.
        """


class Alarm(Protocol):
    """One way to one who is on duty."""

    @property
    def name(self) -> str:
        """For what was told by it, without secrets."""

    def raise_alarm(self, message: Message) -> None:
        """Tell it once; ``RoadError`` or ``TargetError`` if it was not taken."""


class Pulse(Protocol):
    """Somebody elsewhere who tells a person when we are silent."""

    def beat(self) -> None:
        """A sign of life; ``RoadError`` if it was not taken."""


class DeadManMemory(Protocol):
    """What one look of the dead man's switch hands on to the next."""

    def read(self) -> Memory:
        """As it was left; empty if nothing is there."""

    def write(self, memory: Memory) -> None:
        """Replace it; ``SettingsError`` if it cannot be kept."""


class StatusFeed(Protocol):
    """What everybody may read of changes to come and in work."""

    def write_bulletins(self, bulletins: Sequence[Bulletin], now: datetime) -> None:
        """Replace what is shown; a reader sees the old state or the new one. ``RoadError`` if it cannot be written."""


class OutageSource(Protocol):
    """Somebody who knows of outages. Each is asked by itself; what they say of one guest is laid over one another."""

    def list_outages(self, guests: Sequence[KnownGuest], within: Span) -> Iterable[Outage]:
        """All that these guests had and that touch the time; they may reach out of it at its begin."""

    def list_gaps(self, guests: Sequence[KnownGuest], within: Span) -> Iterable[Gap]:
        """When, in that time, it should have known how these guests are, and did not."""


class Spool(Protocol):
    """Where guest hooks leave a file for each phase of a guest. ``RoadError`` if it cannot be read or changed."""

    def list_notes(self) -> tuple[str, ...]:
        """The names of all that lies there, sorted: notes come in the order in which they were written."""

    def read_note(self, name: str) -> str:
        """Its text; ``ValueError`` says why it can be no note."""

    def delete_note(self, name: str) -> None:
        """Take it away, once what it says is recorded."""

    def set_aside(self, name: str) -> None:
        """Keep it where it is not listed any more, for a person to look at."""


class Clock(Protocol):
    """Time. ``now`` for people and windows, ``monotonic`` for durations."""

    def now(self) -> datetime:
        """Aware, UTC."""

    def monotonic(self) -> float:
        """Seconds, never set back."""

    def sleep(self, length: timedelta) -> None:
        """Let time pass."""


class Timekeeper(Protocol):
    """Somebody who knows whether the clock is kept right."""

    def read_synchronised(self) -> bool | None:
        """Whether it is synchronised; None if that cannot be known."""
