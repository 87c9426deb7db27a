"""Stories in which a worker dies at one point and another goes on, and what has to be the same in the end."""

import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from typer.testing import CliRunner

from tests.kill.bench import PATIENCE_SECONDS, Bench, open_bench
from tests.kill.process import WorkerProcess
from zlh_hooks.cli.app import app
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.progress import Progress

TEMPLATES = range(8000, 9000)
ENTRY, BEFORE, AFTER = "after entry", "before request", "after request"


@dataclass(frozen=True, slots=True)
class Story:
    """A rollout to ``version``; with ``goes_back``, a person orders it back when it has succeeded, and dying begins then."""

    name: str
    version: str
    goes_back: bool = False


STORIES = (Story("success", "2"), Story("failing-canary", "3"), Story("full-revert", "2", goes_back=True))


@dataclass(frozen=True, slots=True)
class Point:
    """Where the worker dies: after the ledger's entry ``number``, or at the ``number``th changing request."""

    kind: str
    number: int
    what: str

    def __str__(self) -> str:
        return f"{self.kind} {self.number} ({self.what})"


@dataclass(frozen=True, slots=True)
class Ending:
    """What is left of a story."""

    state: str
    targets: tuple[tuple[int, str], ...]
    world: dict[str, Any]
    counts: Counter[tuple[str, int]]
    entries: tuple[tuple[int, str], ...]
    requests: tuple[tuple[str, int], ...]
    failed: tuple[str, ...]

    def points(self, told: "Ending | None" = None) -> Iterator[Point]:
        """Every point at which the worker of this story can die, but those before it parts from one that is ``told``."""
        entries, requests = (
            (_parting(told.entries, self.entries), _parting(told.calls(), self.calls())) if told else (0, 0)
        )
        yield from (Point(ENTRY, number, what) for number, what in self.entries[entries:])
        for kind in (BEFORE, AFTER):
            calls = enumerate(self.requests[requests:], requests + 1)
            yield from (Point(kind, n, f"{call} {vmid}") for n, (call, vmid) in calls)

    def calls(self) -> list[tuple[str, int]]:
        """The requests; of templates and smoke guests, whose numbers depend on the version, the first number alone."""
        return [(call, TEMPLATES.start if vmid in TEMPLATES else vmid) for call, vmid in self.requests]


def _parting(one: Sequence[object], other: Sequence[object]) -> int:
    """How many they have in common from their beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def list_points(story: Story) -> list[Point]:
    """What has to be tried of a story: one that parts from the first only later is told from there."""
    first = STORIES[0]
    told = undisturbed(first) if story != first and not story.goes_back else None
    return list(undisturbed(story).points(told))


def play(story: Story, point: Point | None = None, swift: bool = True) -> Ending:
    """The story on a site of its own, to its end."""
    with TemporaryDirectory() as directory, open_bench(Path(directory), swift) as bench:
        plan = bench.submit(story.version)
        first, requests = _begin(bench, story, plan, point)
        if point is not None:
            assert first.wait(PATIENCE_SECONDS) == -signal.SIGKILL, f"the worker did not die: {first.said()}"
            bench.faults.requests.clear()
            bench.start("--wait", "30")
        last = bench.workers[-1]
        bench.wait_for(lambda: bench.is_over(plan) and (story.name == "success" or last.poll() == 0), last)
        return _end(bench, plan, story, requests)


def _begin(bench: Bench, story: Story, plan: Plan, point: Point | None) -> tuple[WorkerProcess, int]:
    """Start the first worker; returns it and how many requests came before the point's counting began."""
    doomed = point.number if point is not None and point.kind == ENTRY else 0
    worker = bench.start(die_after=doomed)
    if story.goes_back:
        bench.wait_for(lambda: bench.is_over(plan), worker)
    before = len(bench.faults.requests_seen)
    if point is not None and point.kind != ENTRY:
        bench.kill_at_request(point.number, after=point.kind == AFTER)
    if story.goes_back:
        bench.view.desk().order("revert", plan.id)
    return worker, before


def _end(bench: Bench, plan: Plan, story: Story, requests: int) -> Ending:
    verified = CliRunner().invoke(app, ["ledger", "verify", *bench.site.options[:2]])
    assert verified.exit_code == 0, verified.output
    assert not bench.site.pve.foreign
    progress: Progress = bench.progress(plan)
    entries = bench.view.ledger.read()
    ordered = [entry.sequence for entry in entries if entry.kind is Kind.COMMAND]
    begin = max(ordered, default=1)
    return Ending(
        progress.state,
        tuple((row.target.vmid, row.state) for row in progress.targets),
        bench.world(plan),
        bench.site.pve.counts + Counter({("exchange", vmid): n for vmid, n in bench.site.pve.exchanges.items()}),
        tuple((e.sequence, f"{e.kind.value} {e.name} {e.target or ''}".strip()) for e in entries if e.sequence > begin),
        tuple(bench.faults.requests_seen[requests:]),
        tuple(f"{entry.name}: {entry.data['reason']}" for entry in entries if entry.kind is Kind.FAILED),
    )


@cache
def undisturbed(story: Story) -> Ending:
    """How the story ends if nobody dies; played once in each process."""
    return play(story)


def _may_repeat(call: str, vmid: int) -> bool:
    """The claim on a template is written anew by each worker that controls the cluster."""
    return call == "write_config" and vmid in TEMPLATES


def find_differences(story: Story, point: Point, swift: bool = True) -> list[str]:
    """What became different because a worker died there; empty if nothing did."""
    wanted = undisturbed(story)
    try:
        found = play(story, point, swift)
    except AssertionError as error:
        return [f"{story.name}, {point}: {error}"]
    same = (("state", wanted.state, found.state), ("targets", wanted.targets, found.targets))
    wrong = [f"{name}: {b}, not {a}" for name, a, b in same if a != b]
    keys = sorted({*wanted.world, *found.world})
    wrong += [
        f"{k}: {found.world.get(k)}, not {wanted.world.get(k)}"
        for k in keys
        if wanted.world.get(k) != found.world.get(k)
    ]
    wrong += [f"failed: {text}" for text in found.failed]
    more = found.counts - wanted.counts
    wrong += [
        f"{call} of {vmid} {n} times too often" for (call, vmid), n in more.items() if not _may_repeat(call, vmid)
    ]
    return [f"{story.name}, {point}: {text}" for text in wrong]
