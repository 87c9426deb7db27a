"""How long a guest waits for its hook, at every point of the generated product.

``python -m benchmarks.hook_point`` as root. Every phase, config, clock and environment on every node of the simulated
ones (each state of the spool by each state of ``/etc/pve``), each called once, whole processes, from spawn to exit.
Where a node hangs calls wait side by side, elsewhere one after another. A call that misses the hook's own deadlines, as
a busy machine can make it on a healthy node, is repeated: both count, and it is said. Judge it on a quiet machine.
"""

import os
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from tests.hookscripts.node import call_hook
from tests.hookscripts.point import Case, generate_points
from tests.hookscripts.world import Configs, Environment, Spool

MOST_SECONDS = 0.5
WAITING_AT_ONCE = 6


@dataclass(frozen=True, slots=True)
class Time:
    """Seconds that one call took, and at which point. ``was_late``: it was repeated."""

    seconds: float
    environment: Environment
    case: Case
    was_late: bool

    @property
    def point(self) -> str:
        """All that the call is made of."""
        case, node = self.case, self.environment
        clock, variables = case.clock or "right", "wiped" if not case.environment else "Proxmox's"
        call = f"{case.phase}, {case.place}, config {case.config!r}, clock {clock}, environment {variables}"
        return f"{call}, spool {node.spool}, /etc/pve {node.configs}"


def measure(environment: Environment) -> Iterator[Time]:
    """Every call on one node, the repeated ones too."""
    cases, guests = generate_points(environment.configs), count(5001)
    waits = environment.configs.hang or environment.spool is Spool.HANGS
    calls = tuple(case.as_call(next(guests)) for case in cases)
    answers = call_hook(environment, calls, at_once=WAITING_AT_ONCE if waits else 1).answers
    for case, answer in zip(cases, answers, strict=True):
        yield from (Time(seconds, environment, case, was_late=True) for seconds in answer.late)
        yield Time(answer.seconds, environment, case, was_late=False)


def render_times(name: str, times: Sequence[Time]) -> str:
    """One line, and one that names the worst point."""
    seconds = sorted(time.seconds for time in times)
    worst = max(times, key=lambda time: time.seconds)
    median, most = statistics.median(seconds), seconds[max(0, -(-len(seconds) * 99 // 100) - 1)]
    late, beyond = sum(time.was_late for time in times), sum(one > MOST_SECONDS for one in seconds)
    figures = f"median {median:.3f} s, 99 % {most:.3f} s, worst {worst.seconds:.3f} s"
    kept = "holds" if not beyond else f"MISSED {beyond} times"
    return (
        f"    {name:20} {len(times):6} calls, {late} repeated: {figures}  limit {MOST_SECONDS} s: {kept}\n"
        f"        worst: {worst.point}"
    )


def judge_points(spools: Iterable[Spool] = Spool) -> bool:
    """Each state of ``/etc/pve``, then all."""
    everything: list[Time] = []
    chosen = tuple(spools)
    print(f"every point, once; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    for configs in Configs:
        times = [time for spool in chosen for time in measure(Environment(spool, configs))]
        print(render_times(f"/etc/pve {configs}", times), flush=True)
        everything += times
    print(render_times("all", everything), flush=True)
    return all(time.seconds <= MOST_SECONDS for time in everything)


def main() -> int:
    """The whole product."""
    if os.geteuid() != 0:
        raise SystemExit("this needs root: a node's mounts are made in a namespace")
    return 0 if judge_points() else 1


if __name__ == "__main__":
    sys.exit(main())
