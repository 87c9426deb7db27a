"""The engine on the in-memory world: two nodes, three versions, six guests, one worker after another."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.clock import FakeClock
from tests.datacentre import Behaviour, Datacentre, MemoryLedger, good, turns_unhealthy
from zlh_hooks.application.desk import Desk
from zlh_hooks.application.engine import Engine
from zlh_hooks.application.planning import Planner
from zlh_hooks.application.proof import Examiner
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.progress import Progress, fold_progress

NODES = ("n1", "n2")


def make_policy(**rollout: Any) -> Policy:
    """One line for game guests; windows are always open."""
    rules = {
        "min_healthy_time": "10s",
        "healthy_deadline": "60s",
        "progress_deadline": "30m",
        "max_parallel": 1,
        "soak": "2h",
        "expected_duration": "1m",
    }
    return Policy.model_validate(
        {
            "time_zone": "UTC",
            "windows": [{"name": "always", "rule": "FREQ=DAILY", "start": "00:00", "length_minutes": 1440}],
            "kinds": {"game": {"vmids": ["5000-5999"], "line": "game-base"}},
            "lines": {"game-base": {"data_paths": ["/data"], "probes": [{"kind": "agent"}]}},
            "rollout": rules | rollout,
        }
    )


@dataclass
class Bench:
    """A datacentre, a ledger and the policy; opens a fresh engine whenever one is asked for."""

    policy: Policy = field(default_factory=make_policy)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.datacentre = Datacentre(self.clock)
        self.ledger = MemoryLedger(self.clock, self.datacentre.faults)

    def furnish(self, guests: int = 6, second: Behaviour | None = None, third: Behaviour | None = None) -> "Bench":
        """Versions 1 (stable), 2 and 3 on two nodes, and running guests of version 1, one after another on each."""
        for node in NODES:
            self.datacentre.add_node(node)
        self.datacentre.add_storage("local")
        for number, node in enumerate(NODES):
            add = self.datacentre.add_template
            add("game-base", "1", node, 8001 + 100 * number, channel="stable")
            add("game-base", "2", node, 8002 + 100 * number, second or good("2"))
            add("game-base", "3", node, 8003 + 100 * number, third or turns_unhealthy("3"))
        for number in range(guests):
            self.datacentre.add_guest(5001 + number, NODES[number % 2])
        return self

    def engine(self) -> Engine:
        """What a worker that starts now would have."""
        cluster = self.datacentre.cluster
        examiner = Examiner(self.datacentre, self.datacentre, self.clock)
        return Engine(cluster, examiner, self.ledger, self.clock, self.policy, lambda line: ())

    def submit(self, version: str) -> Plan:
        """Plan and order a rollout."""
        plan = Planner(self.datacentre, self.clock, self.policy).plan_rollout("game-base", version, "tester")
        Desk(self.ledger, "tester").submit(plan)
        return plan

    def run(self, version: str) -> Progress:
        """A whole rollout by one worker."""
        plan = self.submit(version)
        self.engine().open_rollout(plan).run()
        return self.progress(plan)

    def progress(self, plan: Plan) -> Progress:
        """How it stands."""
        return fold_progress(self.ledger.read(plan.id))

    def stable(self) -> list[str]:
        """The versions that carry `stable`."""
        from zlh_hooks.domain.line import parse_catalogue

        return [v.version for v in parse_catalogue(self.datacentre.list_guests()).versions if v.is_stable]

    def tend(self, plan: Plan, length: timedelta, every: timedelta = timedelta(minutes=10)) -> Progress:
        """Let the soak go on for a while."""
        for _ in range(int(length / every)):
            self.clock.sleep(every)
            self.engine().open_soak(plan).tend()
        return self.progress(plan)
