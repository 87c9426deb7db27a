"""Scratch guests: temporary clones with numbers from ``scratch_vmids`` and a note that says whose they are.

A scratch guest is ours only if its number lies in that range and its description begins with the note; nothing else is
ever destroyed.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from zlh_hooks.application.ports import CloneOrder, Cluster, Upid
from zlh_hooks.application.step import UNDERWAY, Data, Found
from zlh_hooks.domain import tag
from zlh_hooks.domain.errors import GuestMissing, RoadError, TargetError
from zlh_hooks.domain.guest import GuestConfig, GuestRef
from zlh_hooks.domain.policy import VmidRange

_NOTE = "zlh-hooks scratch guest"
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
BEING_MADE = "create"
"""The lock of a guest that is being cloned; until it is gone nothing shows whose it is."""
FILLER_PATH = "/zlh-filler"
FILLER_GIB = "0.05"


def render_note(rollout: str, purpose: str) -> str:
    """The description of a scratch guest, e.g. ``zlh-hooks scratch guest: rollout r1123-7kq2, stage 5001``."""
    return f"{_NOTE}: rollout {rollout}, {purpose}"


def is_scratch(config: GuestConfig, numbers: VmidRange, rollout: str | None = None) -> bool:
    """Whether the guest is a temporary one of ours (of that rollout, if one is given)."""
    wanted = _NOTE if rollout is None else f"{_NOTE}: rollout {rollout},"
    return config.ref.vmid in numbers and config.values.get("description", "").strip().startswith(wanted)


@dataclass(slots=True)
class ScratchNumbers:
    """Hands out free numbers of the range, each once while this worker lives."""

    cluster: Cluster
    numbers: VmidRange
    _taken: set[int] = field(default_factory=set)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def reserve(self, vmids: Sequence[int]) -> None:
        """Keep numbers that earlier intents named."""
        with self._guard:
            self._taken.update(vmids)

    def choose(self) -> int:
        """A number that no guest has and that was not handed out before."""
        with self._guard:
            used = self._taken | {guest.vmid for guest in self.cluster.inventory.list_guests()}
            number = next((vmid for vmid in self.numbers.numbers() if vmid not in used), None)
            if number is None:
                raise TargetError(f"no free number in scratch_vmids {self.numbers}")
            self._taken.add(number)
            return number


def find_task(cluster: Cluster, ref: GuestRef, kinds: Sequence[str], since: datetime) -> Upid | None:
    """The newest task of one of these kinds for the guest since then, running or ended."""
    tasks = [task for task in cluster.tasks.list_tasks(ref.node, ref.vmid, since) if task.kind in kinds]
    return tasks[-1].upid if tasks else None


def read_if_there(cluster: Cluster, ref: GuestRef) -> GuestConfig | None:
    """The guest's config, or None if there is no such guest on its node."""
    try:
        return cluster.inventory.read_config(ref)
    except GuestMissing:
        return None


@dataclass(frozen=True, slots=True)
class CloneScratch:
    """Clone a template, or a twin of it, into a scratch guest. The source is locked while its task runs."""

    name: str
    cluster: Cluster
    numbers: ScratchNumbers
    source: GuestRef
    storage: str
    note: str

    def plan(self) -> Data:
        return {"vmid": self.numbers.choose(), "source": self.source.vmid, "storage": self.storage, "note": self.note}

    def find(self, intent: Data) -> Found:
        ref = GuestRef(intent["vmid"], self.source.node)
        config = read_if_there(self.cluster, ref)
        if config is None:
            return None
        if config.lock:  # while it is created it has no description yet
            return UNDERWAY
        if config.values.get("description", "").strip() != intent["note"]:
            raise TargetError(f"scratch number {ref} is taken by a guest that is not ours")
        return {"vmid": ref.vmid}

    def act(self, intent: Data) -> Upid:
        order = CloneOrder(intent["vmid"], intent["storage"], f"zlh-scratch-{intent['vmid']}", intent["note"])
        try:
            return self.cluster.editor.clone(self.source, order)
        except GuestMissing as error:  # nobody's turn brings it back: a person must
            raise RoadError(f"what new roots are cloned from is gone: {error}") from error


@dataclass(frozen=True, slots=True)
class TameScratch:
    """Make a fresh clone harmless: no autostart, no protection, none of its template's tags. Optionally a network."""

    name: str
    cluster: Cluster
    ref: GuestRef
    rollout: str
    net0: str | None = None

    def plan(self) -> Data:
        return {"vmid": self.ref.vmid}

    def _wanted(self, config: GuestConfig) -> dict[str, str]:
        wanted = {"tags": tag.ROLLOUT + self.rollout}
        wanted |= {key: "0" for key in ("onboot", "protection") if config.flag(key)}
        return wanted | ({"net0": self.net0} if self.net0 else {})

    def find(self, intent: Data) -> Found:
        config = self.cluster.inventory.read_config(self.ref)
        tame = config.tags == (tag.ROLLOUT + self.rollout,) and not config.flag("onboot")
        return {} if tame and not config.flag("protection") and self._has_network(config) else None

    def _has_network(self, config: GuestConfig) -> bool:
        """Proxmox adds a hardware address and a type to what was written."""
        stored = config.values.get("net0", "").split(",")
        return self.net0 is None or set(self.net0.split(",")) <= set(stored)

    def act(self, intent: Data) -> None:
        config = self.cluster.inventory.read_config(self.ref)
        self.cluster.editor.write_config(self.ref, self._wanted(config), config.digest)


@dataclass(frozen=True, slots=True)
class DestroyScratch:
    """Destroy a scratch guest, after reading again that it is one."""

    name: str
    cluster: Cluster
    ref: GuestRef
    numbers: VmidRange
    rollout: str | None

    def plan(self) -> Data:
        return {"vmid": self.ref.vmid}

    def find(self, intent: Data) -> Found:
        config = read_if_there(self.cluster, self.ref)
        if config is None:
            return {}
        return UNDERWAY if config.lock == "destroyed" and self._is_at_work() else None

    def _is_at_work(self) -> bool:
        """A task that failed halfway leaves its lock behind."""
        tasks = self.cluster.tasks.list_tasks(self.ref.node, self.ref.vmid, _EVER)
        return any(task.kind == "vzdestroy" and task.running for task in tasks)

    def adopt(self, intent: Data, since: datetime) -> Upid | None:
        return find_task(self.cluster, self.ref, ("vzdestroy",), since)

    def act(self, intent: Data) -> Upid:
        config = self.cluster.inventory.read_config(self.ref)
        if not is_scratch(config, self.numbers, self.rollout):
            whose = f" of rollout {self.rollout}" if self.rollout else ""
            raise TargetError(f"guest {self.ref} is not a scratch guest{whose}: left alone")
        return self.cluster.editor.destroy(self.ref)
