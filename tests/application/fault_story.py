"""Undisturbed stories of the simulated world, every request they make, and what is watched while one is disturbed."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, partial
from itertools import count
from typing import Any

from tests.application.rollout_bench import Bench, make_policy
from tests.datacentre import Call, turns_unhealthy
from zlh_hooks.application.busy import UNSIGNED
from zlh_hooks.application.desk import list_progress
from zlh_hooks.domain.busy import is_busy
from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.errors import RoadError
from zlh_hooks.domain.guest import GuestConfig, GuestRef
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.progress import OWED, Progress
from zlh_hooks.domain.steps import RolloutState, TargetEvent, TargetState

VMIDS = (5001, 5002, 5003)
HA_MANAGED = 5002
LOCK_WAIT = timedelta(minutes=2)
ANSWER_TIME = timedelta(minutes=10)
"""After so long somebody has seen a pause, mended its cause and resumes."""
ROUND = timedelta(minutes=10)
ROUNDS = 12
ONCE = ("clone", "move_volume", "reboot", "exchange", "destroy", "stop", "start", "shutdown", "resize")
TASKS = ("clone", "move_volume", "destroy", "start", "reboot", "shutdown", "stop", "resize")
UNFINISHED = (TargetState.APPLYING, TargetState.PROVING, TargetState.REVERTING)
SETTLE_FREE = "settle.free"
ENDS = (TargetEvent.PROVED, TargetEvent.REVERT_PROVED, TargetEvent.SKIPPED, TargetEvent.REPLACED)
Disturb = Callable[[Bench], object]


def _roll_out(bench: Bench) -> Plan:
    return bench.submit("2")


def _fail(bench: Bench) -> Plan:
    """The version is bad for every customer's guest and never in the smoke test, however late that is asked."""
    bench.spoil(*VMIDS, behaviour=turns_unhealthy("2"))
    return bench.submit("2")


def _order_back(bench: Bench) -> Plan:
    plan = bench.submit("2")
    bench.work(plan)
    bench.order("revert")()
    return plan


def _let_soak(bench: Bench) -> Plan:
    plan = bench.submit("2")
    bench.work(plan)
    bench.deadline += timedelta(hours=26)
    bench.clock.sleep(timedelta(hours=26))
    return plan


def _fail_by_restart(bench: Bench) -> Plan:
    """The bad root is left pending, and the customer brings it before the window opens."""
    bench.later(timedelta(minutes=3), lambda: bench.datacentre.restart_inside(VMIDS[0]))
    return _fail(bench)


@dataclass(frozen=True, slots=True)
class Story:
    """How it begins, and the rules that it has beside those of all."""

    begin: Callable[[Bench], Plan]
    rules: Mapping[str, Any] = field(default_factory=dict)


LATER = {"name": "later", "rule": "FREQ=DAILY", "start": "04:20", "length_minutes": 600}
STORIES: dict[str, Story] = {
    "rollout": Story(_roll_out),
    "settling": Story(_let_soak),
    "full revert": Story(_order_back),
    "failing canary": Story(_fail),
    "customer's restart": Story(_fail_by_restart, {"exchange_pending": "any-time", "windows": [LATER]}),
}
"""What has happened before the disturbance may come; what follows is the story."""


@dataclass(frozen=True, slots=True)
class GuestEnd:
    """How a guest stands in the end: on which version, and whether its old root is still kept."""

    runs: str
    keeps_old: bool


@dataclass(frozen=True, slots=True)
class Ending:
    """What is left of a story."""

    state: RolloutState
    guests: dict[int, GuestEnd]
    states: dict[int, TargetState]
    stable: list[str]
    revoked: list[str]
    executed: Counter[tuple[str, int | None]]


@dataclass(frozen=True, slots=True)
class Request:
    """The ``nth`` call of ``method`` (None: of any change) since the story began.

    ``target`` is the guest for whose sake it is made (None: the rollout's own), ``step`` what the ledger calls it.
    ``task`` is its number among those that begin a task, if it does. ``again``: a read of a kind that was made before.
    """

    method: str | None
    nth: int
    task: int | None
    call: Call
    node: str
    target: int | None
    step: str
    needs: frozenset[str]
    again: bool = False

    def __str__(self) -> str:
        return f"{self.call.names[-1]} of {sorted(self.call.vmids)} at {self.step} (number {self.nth})"


@dataclass(slots=True)
class Watch:
    """Looks after each entry: until a guest is settled its old root is there, and no revert is said before it is so.

    A guest that we restart says that it is in work, and one that has come to its end does not.
    """

    bench: Bench
    roots: dict[int, str]
    wrong: list[str] = field(default_factory=list)

    def look(self) -> None:
        """The latest entry and the world agree."""
        entry = self.bench.ledger.read()[-1]
        if entry.name == SETTLE_FREE and entry.target is not None:
            self.roots.pop(entry.target, None)
        for vmid, root in self.roots.items():
            container = self.bench.datacentre.containers[vmid]
            named = root in {mount.volume for mount in container.config.mounts}
            if not named or self.bench.datacentre.volume(container.node, root) is None:
                self.wrong.append(f"{vmid}: its old root {root} is lost after {entry.kind} {entry.name}")
        if entry.name == TargetEvent.REVERT_PROVED and entry.target is not None:
            self._look_at_reverted(entry.target)
        if entry.target in VMIDS:
            self._look_at_sign(entry)

    def _look_at_sign(self, entry: Entry) -> None:
        assert entry.target is not None
        tags, now = self.bench.datacentre.containers[entry.target].config.tags, self.bench.clock.now()
        is_signed, excuse = is_busy(tags, now), OWED if entry.name in ENDS else UNSIGNED
        restarts = entry.kind is Kind.REQUESTED and entry.name.endswith(".restart")
        wrong = not is_signed if restarts else is_signed and entry.name in ENDS
        if wrong and not self.bench.entries(Kind.NOTE, excuse, entry.target):
            self.wrong.append(f"{entry.target}: {sorted(tags)} at {entry.kind} {entry.name}")

    def _look_at_reverted(self, vmid: int) -> None:
        container = self.bench.datacentre.containers[vmid]
        root = container.config.rootfs.volume
        if root != self.roots[vmid] or "rootfs" in container.pending or container.running_root != root:
            self.wrong.append(f"{vmid}: REVERTED, and runs on {container.running_root}, has {root}")


@dataclass(slots=True)
class Told:
    """A story that was told to its end, in so many ``calls``."""

    bench: Bench
    plan: Plan
    calls: int
    ending: Ending
    wrong: list[str]

    @property
    def progress(self) -> Progress:
        """How the rollout stands."""
        return self.bench.progress(self.plan)


def tell(story: str, disturb: Disturb = lambda bench: None) -> Told:
    """The story to its end: a person resumes after each pause, and orders back again what is stuck."""
    bench = Bench(make_policy(lock_wait="2m", ha="ignore", **STORIES[story].rules)).furnish(len(VMIDS))
    bench.datacentre.containers[HA_MANAGED].ha_state = "started"
    bench.datacentre.remember(bench.datacentre.containers[HA_MANAGED])
    roots = {vmid: bench.datacentre.containers[vmid].config.rootfs.volume for vmid in VMIDS}
    bench.answers = [partial(bench.later, ANSWER_TIME, partial(_resume, bench)) for _ in range(ROUNDS)]
    plan = STORIES[story].begin(bench)
    watch = Watch(bench, roots)
    bench.datacentre.faults.always("append", watch.look)
    disturb(bench)
    _finish(bench, plan, story)
    calls = len(bench.datacentre.faults.log)
    bench.clock.sleep(ROUND)  # whatever was broken is whole again
    return Told(bench, plan, calls, _end(bench, plan), watch.wrong + _find_unclean(bench, plan))


def _resume(bench: Bench) -> None:
    """A bad version may be back by itself before somebody has come."""
    if list_progress(bench.ledger)[-1].state is RolloutState.PAUSED:
        bench.order("resume")()


def _finish(bench: Bench, plan: Plan, story: str) -> None:
    bench.deadline += ROUND * ROUNDS * 2
    for _ in range(ROUNDS):
        progress = bench.progress(plan)
        if progress.is_executing or progress.state is RolloutState.PLANNED or _is_ordered(bench, plan):
            bench.work(plan)
        elif progress.state is RolloutState.STUCK:
            bench.clock.sleep(ROUND)
            bench.order("revert")()
        elif _is_unfinished(progress, story):
            _tend(bench, plan)
        else:
            return


def _is_ordered(bench: Bench, plan: Plan) -> bool:
    entries = [entry for entry in bench.ledger.read(plan.id) if entry.name in ("revert", "revert_ordered")]
    return bool(entries) and entries[-1].kind is Kind.COMMAND


def _is_unfinished(progress: Progress, story: str) -> bool:
    waits = (*UNFINISHED, TargetState.HEALTHY) if story == "settling" else UNFINISHED
    return any(row.owes or row.state in waits for row in progress.targets)


def _tend(bench: Bench, plan: Plan) -> None:
    """One round of a worker that stays."""
    with suppress(RoadError):
        bench.engine().open_soak(plan).tend()
    bench.clock.sleep(ROUND)


def _end(bench: Bench, plan: Plan) -> Ending:
    progress, containers = bench.progress(plan), bench.datacentre.containers
    vmids = [row.target.vmid for row in progress.targets]
    return Ending(
        progress.state,
        {vmid: GuestEnd(bench.runs(vmid), bool(containers[vmid].config.unused)) for vmid in vmids},
        {row.target.vmid: row.state for row in progress.targets},
        bench.stable(),
        bench.revoked(),
        Counter(bench.executed(*ONCE)),
    )


def _find_unclean(bench: Bench, plan: Plan) -> list[str]:
    try:
        bench.assert_clean(plan)
    except AssertionError as error:
        return str(error).splitlines()
    return []


# ------------------------------------------------------------------ recording


@cache
def undisturbed(story: str) -> tuple[Ending, tuple[Request, ...]]:
    """How the story ends if nothing happens, and every request in it: of reads each kind once between two entries."""
    notes: list[int] = []
    begin: list[int] = []

    def record(bench: Bench) -> None:
        begin.append(len(bench.datacentre.faults.log))
        bench.datacentre.faults.always(None, lambda: notes.append(len(bench.ledger.read())), after=False)

    told = tell(story, record)
    assert not told.wrong, told.wrong
    return told.ending, tuple(_list_requests(told, begin[0], notes))


def _list_requests(told: Told, begin: int, notes: list[int]) -> Iterator[Request]:
    calls = [call for call in told.bench.datacentre.faults.log[begin : told.calls] if "append" not in call.names]
    changes = [call for call in calls if call.changing]
    entries, tasks = told.bench.ledger.read(), count(1)
    for number, (call, length) in enumerate(zip(changes, notes, strict=True), 1):
        intent = next(entry for entry in reversed(entries[:length]) if entry.kind is Kind.INTENT)
        task = next(tasks) if call.names[0] in TASKS else None
        yield _make_request(told, call, (None, number, task), intent.target, intent.name)
    yield from _list_reads(told, begin)


def _list_reads(told: Told, begin: int) -> Iterator[Request]:
    seen: Counter[str] = Counter()
    kinds: set[tuple[str, str]] = set()
    here: set[tuple[str, frozenset[int]]] = set()
    for call in (call for call in told.bench.datacentre.faults.log[begin : told.calls] if not call.changing):
        name = call.names[0]
        seen[name] += 1
        kind = (name, _scope(call))
        if name == "append":
            here.clear()
        elif (name, call.vmids) not in here:
            yield _make_request(
                told, call, (name, seen[name], None), None, f"a look at a {kind[1]}", again=kind in kinds
            )
            kinds.add(kind)
            here.add((name, call.vmids))


def _make_request(
    told: Told,
    call: Call,
    place: tuple[str | None, int, int | None],
    target: int | None,
    step: str,
    *,
    again: bool = False,
) -> Request:
    needs = frozenset(privilege for asking, privilege in told.bench.datacentre.faults.needs if asking is call)
    return Request(*place, call, _node_of(told.bench, call), target, step, needs, again)


def _scope(call: Call) -> str:
    lowest = min(call.vmids, default=0)
    return (
        "customer" if 5000 < lowest < 6000 else "template" if 8000 < lowest < 9000 else "scratch" if lowest else "node"
    )


def _node_of(bench: Bench, call: Call) -> str:
    """The node that carries it out; of two the one that is asked."""
    for argument in call.arguments:
        if isinstance(argument, GuestRef):
            return argument.node
        if isinstance(argument, GuestConfig):
            return argument.ref.node
        if isinstance(argument, str):
            return argument.split(":")[1] if argument.startswith("UPID:") else argument
    vmid = min(call.vmids, default=0)
    return bench.datacentre.containers[vmid].node if vmid in bench.datacentre.containers else "n1"
