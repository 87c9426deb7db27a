"""A worker that dies at any moment is succeeded by one that ends as if nothing had happened.

The points are generated: after every entry of an undisturbed run, and before and after every changing request.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from itertools import islice

import pytest

from tests.application.rollout_bench import Bench, make_policy
from tests.datacentre import Crash, assert_data_untouched, assert_no_leftovers, assert_power_as_left, turns_unhealthy
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.progress import Progress
from zlh_hooks.domain.steps import TargetEvent

ONCE = ("clone", "move_volume", "reboot", "exchange", "destroy", "stop", "start", "shutdown")
GUESTS = 3
Point = tuple[str, int]


def _furnished() -> Bench:
    return Bench().furnish(GUESTS)


def _outcome(bench: Bench, plan: Plan) -> tuple[object, ...]:
    """What must be the same however often the worker died."""
    progress: Progress = bench.progress(plan)
    return (progress.state, [(row.target.vmid, row.state) for row in progress.targets], bench.stable())


@cache
def _undisturbed(version: str) -> tuple[tuple[object, ...], int, int, dict[tuple[str, int | None], int]]:
    bench = _furnished()
    plan = bench.submit(version)
    entries, writes = len(bench.ledger.read()), sum(call.changing for call in bench.datacentre.faults.log)
    bench.engine().open_rollout(plan).run()
    log = bench.datacentre.faults.log
    return (
        _outcome(bench, plan),
        len(bench.ledger.read()) - entries,
        sum(call.changing for call in log) - writes,
        dict(bench.datacentre.faults.executed),
    )


def _points(version: str) -> Iterator[Point]:
    _, entries, writes, _ = _undisturbed(version)
    yield from (("after entry", number) for number in range(1, entries + 1))
    yield from (("before request", number) for number in range(1, writes + 1))
    yield from (("after request", number) for number in range(1, writes + 1))


def _arm(bench: Bench, point: Point) -> None:
    kind, number = point
    faults = bench.datacentre.faults
    arm: dict[str, Callable[[], None]] = {
        "after entry": lambda: faults.die_after("append", number),
        "before request": lambda: faults.die_before(None, number),
        "after request": lambda: faults.die_after(None, number),
    }
    arm[kind]()


@pytest.mark.parametrize("version", ["2", "3"], ids=["success", "revert"])
@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.matrix)], ids=["sample", "all"])
def test_a_worker_that_dies_anywhere_is_succeeded_by_one_that_ends_the_same(version: str, every: int) -> None:
    expected, _, _, executed = _undisturbed(version)
    for point in islice(_points(version), 0, None, every):
        bench = _furnished()
        plan = bench.submit(version)
        _arm(bench, point)
        try:
            bench.engine().open_rollout(plan).run()
        except Crash:
            bench.datacentre.faults.restart()
            bench.datacentre.faults.clear()
            bench.engine().open_rollout(plan).run()
        assert _outcome(bench, plan) == expected, point
        for (method, vmid), times in bench.datacentre.faults.executed.items():
            if method in ONCE:
                assert times <= executed.get((method, vmid), 0), (point, method, vmid)
        kept = [row.target.vmid for row in bench.progress(plan).targets if row.state == "HEALTHY"]
        assert_no_leftovers(bench.datacentre, kept)
        assert_data_untouched(bench.datacentre)
        assert_power_as_left(bench.datacentre)
        assert not [e for e in bench.ledger.read(plan.id) if e.kind is Kind.FAILED], point


def test_a_restart_that_ended_before_the_next_worker_looked_is_not_taken_for_somebody_elses() -> None:
    expected, _, _, executed = _undisturbed("3")
    bench = _furnished()
    plan = bench.submit("3")
    bench.datacentre.faults.die_after("reboot", 1)
    with pytest.raises(Crash):
        bench.engine().open_rollout(plan).run()
    bench.datacentre.faults.restart()
    bench.datacentre.faults.clear()
    bench.clock.sleep(timedelta(seconds=60))
    bench.engine().open_rollout(plan).run()
    assert _outcome(bench, plan) == expected
    assert bench.datacentre.faults.executed["reboot", 5001] == executed["reboot", 5001]


def test_workers_that_die_faster_than_the_deadline_leave_no_guest_on_a_bad_root() -> None:
    bench = Bench(make_policy(healthy_deadline="5m")).furnish(1).spoil(5001, behaviour=turns_unhealthy("2", after=0))
    plan = bench.submit("2")
    for _ in range(40):
        bench.datacentre.faults.die_before("measure", nth=40, vmid=5001)
        try:
            bench.engine().open_rollout(plan).run()
            break
        except Crash:
            bench.datacentre.faults.restart()
            bench.datacentre.faults.clear()
    exchanged, back = (
        bench.entries(Kind.EVENT, name)[0].at for name in (TargetEvent.EXCHANGED, TargetEvent.REVERT_BEGAN)
    )
    assert back - exchanged < timedelta(minutes=6)
    assert bench.runs(5001) == "1"
