"""A pending root, whatever ends its time, whenever its worker dies and whenever its customer restarts the guest.

The points are generated: after every entry of the undisturbed story, and before and after every changing request.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, partial

import pytest

from tests.application.rollout_bench import Bench, make_policy
from tests.application.test_interlock import PLAYERS
from tests.application.test_withdrawal import CANARY, LOOK, MINUTE, NEED, at, hold, leave
from tests.datacentre import Crash
from zlh_hooks.application.desk import list_progress
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.progress import RESTART
from zlh_hooks.domain.steps import TargetEvent, TargetState

FIRST = {"name": "first", "rule": "FREQ=DAILY", "start": "04:00", "length_minutes": 7}
NEXT = FIRST | {"name": "next", "start": "04:10", "length_minutes": 10}
DENIED = FIRST | {"name": "no", "start": "04:05", "length_minutes": 1, "effect": "deny"}
EVENT_AT = at("04:04")
OPEN = ((at("04:00"), at("04:07") - NEED), (at("04:10"), at("04:20") - NEED))
MODES = ("in-window", "any-time", "never")
Point = tuple[str, int]


def _let_time_pass(bench: Bench) -> None:
    """Only the window ends."""


def _pause(bench: Bench) -> None:
    if not list_progress(bench.ledger)[-1].is_executing:
        return  # its customer's restart has brought it to its end already
    bench.answers = [lambda: bench.later(2 * MINUTE, bench.order("resume"))]
    bench.order("pause")()


EVENTS: dict[str, Callable[[Bench], object]] = {
    "window ends": _let_time_pass,
    "pause": _pause,
    "hold": lambda bench: hold(bench, "20261123t0409z"),
    "revert": lambda bench: bench.order("revert")(),
    "deny window": _let_time_pass,
}


@dataclass(slots=True)
class Watch:
    """Since when a root is pending that may not be, as far as the event goes; beyond a look that is wrong."""

    bench: Bench
    event: str
    mode: str
    wrong: list[str] = field(default_factory=list)
    _since: datetime | None = None

    def look(self, now: datetime) -> None:
        if not self._is_astray(now):
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since > LOOK:
            self.wrong.append(f"pending at {now:%H:%M:%S} in spite of {self.event}")

    def forget(self) -> None:
        """Nobody looked for a while."""
        self._since = None

    def _is_astray(self, now: datetime) -> bool:
        if "rootfs" not in self.bench.datacentre.containers[CANARY].pending:
            return False
        is_open = self.mode == "any-time" or any(start <= now < end for start, end in OPEN)
        is_over = self.event != "window ends" and EVENT_AT <= now < EVENT_AT + MINUTE
        return not is_open or is_over


def _open(mode: str, event: str) -> tuple[Bench, Watch]:
    windows = (FIRST, NEXT, *([DENIED] if event == "deny window" else []))
    bench = Bench(make_policy(windows, line=PLAYERS, wait_until_empty="1h", exchange_pending=mode)).furnish(1)
    bench.datacentre.set_players(CANARY, 3)
    bench.later(EVENT_AT - bench.clock.now(), partial(EVENTS[event], bench))
    bench.later(at("04:13") - bench.clock.now(), partial(leave, bench))
    watch = Watch(bench, event, mode)
    bench.clock.on_sleep.append(watch.look)
    return bench, watch


@cache
def _count(mode: str, event: str) -> tuple[int, int]:
    """Entries and changing requests of the undisturbed story."""
    bench, watch = _open(mode, event)
    plan = bench.submit("2")
    entries, writes = len(bench.ledger.read()), _count_changes(bench)
    bench.work(plan)
    assert not watch.wrong
    _judge(bench, plan)
    return len(bench.ledger.read()) - entries, _count_changes(bench) - writes


def _count_changes(bench: Bench) -> int:
    return sum(call.changing for call in bench.datacentre.faults.log)


def _points(mode: str, event: str) -> Iterator[Point]:
    entries, writes = _count(mode, event)
    yield from (("after entry", number) for number in range(1, entries + 1))
    yield from (("before request", number) for number in range(1, writes + 1))
    yield from (("after request", number) for number in range(1, writes + 1))


def _judge(bench: Bench, plan: Plan) -> None:
    """On the old root with nothing pending, or on the new one and proved; or on the old one again, proved."""
    progress = bench.tend(plan, timedelta(minutes=20))
    row, container = progress.of(CANARY), bench.datacentre.containers[CANARY]
    assert "rootfs" not in container.pending
    assert row.state in (TargetState.HEALTHY, TargetState.REVERTED, TargetState.SKIPPED), row
    assert bench.runs(CANARY) == ("2" if row.state is TargetState.HEALTHY else "1")
    assert progress.failures == 0
    bench.assert_clean(plan)


def _list_unproved(bench: Bench) -> list[str]:
    """Each time the new root came it was proved, or went back."""
    exchanged = len(bench.entries(Kind.EVENT, TargetEvent.EXCHANGED))
    ended = [*bench.entries(Kind.EVENT, "proved"), *bench.entries(Kind.EVENT, "revert_proved")]
    return [] if len(ended) >= exchanged else [f"{exchanged} exchanges, {len(ended)} proofs"]


SAMPLES = pytest.mark.parametrize("every", [pytest.param(3, marks=pytest.mark.matrix), 41], ids=["third", "sample"])
"""Each point of each story (1 for 3) takes a processor a quarter of an hour."""


@SAMPLES
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("mode", MODES)
def test_a_worker_that_dies_at_any_moment_is_succeeded_by_one_that_leaves_nothing_pending_too_long(
    mode: str, event: str, every: int
) -> None:
    for kind, number in list(_points(mode, event))[sum(map(ord, event)) % every :: every]:
        bench, watch = _open(mode, event)
        plan = bench.submit("2")
        faults = bench.datacentre.faults
        arm = faults.die_before if kind == "before request" else faults.die_after
        arm("append" if kind == "after entry" else None, number)
        try:
            bench.work(plan)
        except Crash:
            faults.restart()
            faults.clear()
            bench.clock.sleep(2 * MINUTE)
            watch.forget()
            watch.wrong.clear()
            if bench.progress(plan).is_executing:  # as a worker chooses what it takes up
                bench.work(plan)
        assert not watch.wrong, (kind, number, watch.wrong)
        assert not _list_unproved(bench), (kind, number)
        _judge(bench, plan)


@SAMPLES
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("mode", MODES)
def test_a_customer_who_restarts_at_any_moment_gets_a_proved_root_or_keeps_the_old_one(
    mode: str, event: str, every: int
) -> None:
    for kind, number in list(_points(mode, event))[sum(map(ord, event)) % every :: every]:
        bench, watch = _open(mode, event)
        plan = bench.submit("2")
        faults = bench.datacentre.faults
        arm = faults.meanwhile if kind == "before request" else faults.afterwards
        restart = partial(bench.datacentre.restart_inside, CANARY)
        arm("append" if kind == "after entry" else None, restart, number)
        bench.work(plan)
        assert not watch.wrong, (kind, number, watch.wrong)
        assert not _list_unproved(bench), (kind, number)
        assert len(bench.entries(Kind.REQUESTED, RESTART)) <= 1, (kind, number)
        _judge(bench, plan)
