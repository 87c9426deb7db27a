"""The engine on the in-memory world: two nodes, three versions, six guests, one worker after another."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from tests.clock import FakeClock
from tests.datacentre import (
    Behaviour,
    Datacentre,
    MemoryLedger,
    assert_data_untouched,
    assert_no_leftovers,
    assert_power_as_left,
    good,
    turns_unhealthy,
)
from zlh_hooks.application.desk import Desk
from zlh_hooks.application.emergency_desk import EmergencyDesk
from zlh_hooks.application.engine import Engine
from zlh_hooks.application.planning import Planner
from zlh_hooks.application.proof import Examiner
from zlh_hooks.domain.emergency import Emergency
from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.line import parse_catalogue
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.progress import Progress, fold_progress
from zlh_hooks.domain.steps import RolloutEvent, TargetState
from zlh_hooks.domain.window_rule import Component
from zlh_hooks.simulation.volume import GIB

NODES = ("n1", "n2")
ENLARGED = 5002
"""Its customer has more room in the root than the template gives."""
ALWAYS = ({"name": "always", "rule": "FREQ=DAILY", "start": "00:00", "length_minutes": 1440},)
KEEP_OLD_ROOT = (TargetState.HEALTHY, TargetState.PROVING)
PATIENCE = timedelta(hours=12)


def make_policy(
    windows: Sequence[Mapping[str, Any]] = ALWAYS, line: Mapping[str, Any] | None = None, **rollout: Any
) -> Policy:
    """One line for game guests; windows are always open. ``rollout`` and ``line`` replace single rules."""
    rules = {
        "min_healthy_time": "10s",
        "healthy_deadline": "60s",
        "progress_deadline": "30m",
        "max_parallel": 1,
        "soak": "2h",
        "expected_duration": "1m",
    }
    base = {"data_paths": ["/data"], "probes": [{"kind": "agent"}]}
    return Policy.model_validate(
        {
            "time_zone": "UTC",
            "windows": list(windows),
            "kinds": {"game": {"vmids": ["5000-5999"], "line": "game-base"}},
            "lines": {"game-base": base | dict(line or {})},
            "rollout": rules | rollout,
            "emergency": {},
        }
    )


@dataclass
class Bench:
    """A datacentre, a ledger and the policy; opens a fresh engine whenever one is asked for.

    ``answers`` are what a person does at the first, second, ... pause; a pause without an answer fails the test, and
    so does a story that does not end.
    """

    policy: Policy = field(default_factory=make_policy)
    clock: FakeClock = field(default_factory=FakeClock)
    answers: list[Callable[[], object]] = field(default_factory=list)
    pauses: list[str] = field(default_factory=list)
    storage: str = "dir"
    _seen: int = 0

    def __post_init__(self) -> None:
        self.datacentre = Datacentre(self.clock)
        self.ledger = MemoryLedger(self.clock, self.datacentre.faults)
        self.deadline = self.clock.now() + PATIENCE
        self.clock.on_sleep.append(self._look)

    def later(self, length: timedelta, act: Callable[[], object]) -> None:
        """Something happens so long from now, while the worker waits."""
        self.clock.later(length, act)

    def _look(self, now: datetime) -> None:
        """Stands beside the worker: answers its pauses and sees to it that it ends."""
        if now > self.deadline:
            stage = [entry.data["text"] for entry in self.ledger.read() if entry.name == "stage"]
            raise AssertionError(f"it does not end: {stage[-1:]}")
        fresh = self.ledger.read(after=self._seen)
        self._seen += len(fresh)
        for entry in fresh:
            if entry.kind is Kind.EVENT and entry.target is None and entry.name == RolloutEvent.PAUSED:
                self._answer(str(entry.data["reason"]))

    def _answer(self, reason: str) -> None:
        self.pauses.append(reason)
        if not self.answers:
            raise AssertionError(f"paused: {reason}")
        self.answers.pop(0)()

    def furnish(self, guests: int = 6, second: Behaviour | None = None, third: Behaviour | None = None) -> "Bench":
        """Versions 1 (stable), 2 and 3 on two nodes, and running guests of version 1, one after another on each."""
        for node in NODES:
            self.datacentre.add_node(node)
        self.datacentre.add_storage("local", kind=self.storage)
        for number, node in enumerate(NODES):
            add = self.datacentre.add_template
            add("game-base", "1", node, 8001 + 100 * number, channel="stable")
            add("game-base", "2", node, 8002 + 100 * number, second or good("2"))
            add("game-base", "3", node, 8003 + 100 * number, third or turns_unhealthy("3"))
        for number in range(guests):
            size = 2 * GIB if 5001 + number == ENLARGED else GIB
            self.datacentre.add_guest(5001 + number, NODES[number % 2], root_size=size)
            self.datacentre.write_record(5001 + number, "before the rollout")
        return self

    def spoil(self, *vmids: int, behaviour: Behaviour) -> "Bench":
        """The new root turns out like that on these guests only: a version that does not suit everybody."""
        for vmid in vmids:
            self.datacentre.faults.meanwhile("exchange", partial(self._spoil, vmid, behaviour), vmid=vmid)
        return self

    def _spoil(self, vmid: int, behaviour: Behaviour) -> None:
        container = self.datacentre.containers[vmid]
        staged = (self.datacentre.volume(container.node, mount.volume) for mount in container.config.unused)
        for volume in staged:
            if volume is not None and volume.behaviour is not None and volume.behaviour.version != "1":
                volume.behaviour = behaviour

    def detach_new_data(self, vmid: int, size: int = GIB) -> str:
        """A customer gets one more volume, writes to it, and has it detached for a while; its id."""
        container = self.datacentre.containers[vmid]
        key, store = container.config.free_key("mp"), self.datacentre.store(container.node, "local")
        volume = store.allocate(vmid, size, self.datacentre.now)
        self.datacentre.edit_config(vmid, **{key: f"{volume.volid},mp=/data/more,size={size // GIB}G"})
        self.clock.sleep(timedelta(minutes=30))
        volume.changed = self.datacentre.now
        self.datacentre.edit_config(vmid, **{key: "", container.config.free_key("unused"): volume.volid})
        return volume.volid

    def reuse_name(self, vmid: int, slot: str, size: int = GIB) -> str:
        """Somebody removes what is in the slot; what the customer has there later got the same name. That name."""
        container = self.datacentre.containers[vmid]
        name = container.values[slot]
        self.datacentre.store(container.node, "local").release(name)
        self.datacentre.edit_config(vmid, **{slot: ""})
        assert self.detach_new_data(vmid, size) == name
        return name

    def engine(self) -> Engine:
        """What a worker that starts now would have."""
        cluster = self.datacentre.cluster
        examiner = Examiner(self.datacentre, self.datacentre, self.clock)
        return Engine(cluster, examiner, self.ledger, self.clock, self.policy, lambda line: ())

    def planner(self) -> Planner:
        """What makes plans."""
        return Planner(self.datacentre, self.clock, self.policy)

    def desk(self) -> Desk:
        """Where a person gives orders."""
        return Desk(self.ledger, "tester")

    def emergency_desk(self) -> EmergencyDesk:
        """Where a person declares emergencies."""
        return EmergencyDesk(self.ledger, self.clock, self.policy, "tester")

    def declare(self, length: timedelta | None = None, without_canary: str | None = None) -> Emergency:
        """A person declares one for templates."""
        desk = self.emergency_desk()
        declared = desk.propose(Component.TEMPLATE, "a hole is being used", "CVE-2026-1", length, without_canary)
        desk.declare(declared)
        return declared

    def submit(self, version: str, *, security: bool = False, emergency: Emergency | None = None) -> Plan:
        """Plan and order a rollout."""
        plan = self.planner().plan_rollout("game-base", version, "tester", security=security, emergency=emergency)
        self.desk().submit(plan)
        return plan

    def work(self, plan: Plan) -> Progress:
        """One worker carries the rollout on, to its end."""
        self.engine().open_rollout(plan).run()
        return self.progress(plan)

    def run(self, version: str) -> Progress:
        """A whole rollout by one worker."""
        return self.work(self.submit(version))

    def order(self, verb: str, reason: str = "") -> Callable[[], object]:
        """A person orders it of the latest rollout: to be called at some moment, e.g. among ``answers``."""
        return lambda: self.desk().order(verb, None, reason)

    def progress(self, plan: Plan) -> Progress:
        """How it stands."""
        return fold_progress(self.ledger.read(plan.id))

    def stable(self) -> list[str]:
        """The versions that carry `stable`."""
        return [v.version for v in parse_catalogue(self.datacentre.list_guests()).versions if v.is_stable]

    def revoked(self) -> list[str]:
        """The versions that are revoked."""
        return [v.version for v in parse_catalogue(self.datacentre.list_guests()).versions if v.revoked]

    def runs(self, vmid: int) -> str:
        """The version that the guest's root really is, running or not."""
        behaviour = self.datacentre.behaviour(self.datacentre.containers[vmid])
        return behaviour.version if behaviour else "nothing"

    def entries(self, kind: Kind, name: str, target: int | None = None) -> list[Entry]:
        """The ledger's entries of that kind and name."""
        found = [entry for entry in self.ledger.read() if entry.kind is kind and entry.name == name]
        return [entry for entry in found if target is None or entry.target == target]

    def executed(self, *methods: str) -> dict[tuple[str, int | None], int]:
        """How often each of these changing calls was carried out, per guest."""
        return {key: times for key, times in self.datacentre.faults.executed.items() if key[0] in methods}

    def tend(self, plan: Plan, length: timedelta, every: timedelta = timedelta(minutes=10)) -> Progress:
        """Let the soak go on for a while."""
        self.deadline += length
        for _ in range(int(length / every)):
            self.clock.sleep(every)
            self.engine().open_soak(plan).tend()
        return self.progress(plan)

    def assert_clean(self, *plans: Plan, left: Collection[int] = ()) -> None:
        """Nothing of ours is left but the old roots of guests that may still go back; no customer felt more than that.

        ``left``: guests that keep one unused volume that nobody knows for certain.
        """
        rows = [row for plan in plans for row in self.progress(plan).targets]
        kept = {row.target.vmid for row in rows if row.state in KEEP_OLD_ROOT}
        assert_no_leftovers(self.datacentre, kept | set(left))
        assert_data_untouched(self.datacentre)
        assert_power_as_left(self.datacentre)
