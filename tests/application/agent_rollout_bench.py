"""A rollout of the agent in the in-memory world: a real signed repository, and guests that follow it as real ones do.

``agent_plugin.desired.decide`` says what a guest does; how a release turns out there is said by the test.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from agent_plugin.desired import Guest, Ruling, decide
from agent_plugin.desired_wire import parse_state
from tests.agent.repository_bench import RepositoryBench
from tests.application.rollout_bench import ALWAYS, NODES, make_policy
from tests.clock import FakeClock
from tests.datacentre import Crash, Datacentre, MemoryLedger
from zlh_hooks.adapters.desired_state import DesiredStates
from zlh_hooks.adapters.tuf_repository import STATE
from zlh_hooks.adapters.tuf_series import TufSeries
from zlh_hooks.application.agent_desk import AgentDesk
from zlh_hooks.application.agent_hands import AgentHands
from zlh_hooks.application.agent_planning import AgentPlanner
from zlh_hooks.application.agent_report_desk import AgentReportDesk
from zlh_hooks.application.desk import Desk
from zlh_hooks.application.engine import Engine
from zlh_hooks.application.proof import Examiner
from zlh_hooks.application.signed_planning import PreparedRollout, SignedPlanner, order_rollout
from zlh_hooks.domain.agent_release import PinOrder, name_builds, version_of
from zlh_hooks.domain.agent_report import AgentCheck, AgentReport
from zlh_hooks.domain.agent_series import Series
from zlh_hooks.domain.agent_trust import TrustRole
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import RoadError
from zlh_hooks.domain.evidence import Measurement, Verdict
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.probe import Probe
from zlh_hooks.domain.progress import Progress, fold_progress
from zlh_hooks.domain.steps import RolloutEvent, TargetState

LINE = "game-base"
TIMER, TRIAL = timedelta(minutes=10), timedelta(minutes=1)
GOOD, CRASHES, ILL, STUCK = "good", "crashes", "ill", "stuck"
"""How a release turns out: well; the guest goes back by itself; the agent is content and the game is not; no way back."""


@dataclass
class SimulatedAgent:
    """What the plugin of one guest remembers. It asks every ten minutes, at a moment of its own."""

    vmid: int
    current: str
    asked_at: datetime
    outcomes: dict[str, str] = field(default_factory=dict)
    answers: bool = True
    swaps: int = 0
    tried: str = ""
    failure: str = ""
    blocked: dict[str, int] = field(default_factory=dict)
    check: AgentCheck | None = None
    trial_until: datetime | None = None

    def look(self, state: bytes, now: datetime) -> None:
        """What the timer's check does, when it is due."""
        if now - self.asked_at >= TIMER:
            self.asked_at = now
            self._follow(state, now)

    def _follow(self, state: bytes, now: datetime) -> None:
        decision = decide(parse_state(state), Guest(self.vmid, LINE, version_of(self.current)), now)
        pin = decision.pin.number if decision.pin else 0
        self.check = AgentCheck(decision.ruling.value, decision.rule, False, pin)
        if decision.ruling is not Ruling.INSTALL:
            return
        assert decision.pin is not None and decision.build is not None
        release = f"{decision.pin.version}-{decision.build.sha256[:8]}"
        if self.blocked.get(release, 0) >= pin:
            self.check = AgentCheck("failed-here", f"{release} is blocked here", False, pin)
        else:
            self._swap(release, pin, now)

    def _swap(self, release: str, pin: int, now: datetime) -> None:
        self.swaps, self.tried = self.swaps + 1, release
        outcome = self.outcomes.get(version_of(release), GOOD)
        if outcome in (CRASHES, STUCK):
            self.failure, self.blocked[release] = "it does not start", pin
        if outcome != CRASHES:
            self.current = "" if outcome == STUCK else release
            self.trial_until = now + TRIAL

    def report(self, now: datetime) -> AgentReport:
        """As the guest signs it."""
        on_trial = self.trial_until is not None and now < self.trial_until
        parts = {
            "wanted": self.tried,
            "step": "END",
            "outcome": "",
            "reason": "",
            "failed": "",
            "failure": self.failure,
        }
        report = AgentReport(f"{self.vmid:064x}", now, now, self.current, "", on_trial, **parts)
        blocked = frozenset(self.blocked)
        return replace(report, check=self.check, swap=f"swap-{self.swaps}", blocked=blocked)

    @property
    def is_ill(self) -> bool:
        """Whether what it runs is not well for whoever plays."""
        return self.outcomes.get(version_of(self.current), GOOD) == ILL


@dataclass
class DyingSeries:
    """The real one, in a process that dies before or after the given showing."""

    real: TufSeries
    shown: list[str] = field(default_factory=list)
    dies: tuple[str, int] | None = None
    broken: int = 0
    afterwards: dict[str, Callable[[], object]] = field(default_factory=dict)

    def publish(self, rollout: str, act: str) -> None:
        number = len(self.shown) + 1
        if self.dies == ("before", number):
            self.dies = None
            raise Crash("before")
        if self.broken:
            self.broken -= 1
            raise RoadError("no space left on the web server")
        self.real.publish(rollout, act)
        self.shown.append(act)
        self.afterwards.get(act, lambda: None)()
        if self.dies == ("after", number):
            self.dies = None
            raise Crash("after")

    def clear(self, rollouts: Collection[str]) -> None:
        self.real.clear(rollouts)

    def draft(self, rollout: str, series: Series) -> None:
        self.real.draft(rollout, series)

    def sign(self, rollout: str, holder: str) -> None:
        self.real.sign(rollout, holder)

    def count_missing(self, rollout: str) -> int:
        return self.real.count_missing(rollout)

    def has_draft(self) -> bool:
        return self.real.has_draft()

    def find_shown(self, rollout: str) -> str | None:
        return self.real.find_shown(rollout)


class AgentBench:
    """Five guests (or so many) with release 1.4.0, which is pinned for all; 1.5.0 and 1.6.0 are released too."""

    make_agent: type[SimulatedAgent] = SimulatedAgent

    def __init__(self, home: Path, guests: int = 5, policy: Policy | None = None) -> None:
        self.clock = FakeClock()
        self.policy = policy or make_agent_policy()
        self.repository = RepositoryBench(home)
        self.repository.found()
        for version in ("1.4.0", "1.5.0", "1.6.0"):
            self.repository.release(version)
        self.datacentre = Datacentre(self.clock)
        self.ledger = MemoryLedger(self.clock, self.datacentre.faults)
        self._furnish(guests)
        desired = TufSeries(
            self.repository.folder,
            self.repository.keys,
            self.repository.publication,
            self.repository.rules,
            self.clock.now,
        )
        self.series = DyingSeries(desired)
        self.pin("all", "1.4.0")
        self.clock.on_sleep.append(self._answer_pauses)
        self.answers: list[Callable[[], object]] = []
        self.deadline = self.clock.now() + timedelta(days=2)
        self._seen = 0

    def _furnish(self, guests: int) -> None:
        for node in NODES:
            self.datacentre.add_node(node)
        self.datacentre.add_storage("local")
        for number, node in enumerate(NODES):
            self.datacentre.add_template(LINE, "1", node, 8001 + 100 * number, channel="stable")
        old = self.name_release("1.4.0")
        self.agents: dict[int, SimulatedAgent] = {}
        for vmid in range(5001, 5001 + guests):
            self.datacentre.add_guest(vmid, NODES[vmid % 2])
            self.agents[vmid] = self.make_agent(vmid, old, self.clock.now() - timedelta(minutes=vmid % 10))
        self.clock.sleep(timedelta(minutes=2))

    def name_release(self, version: str) -> str:
        """As guests call it."""
        builds = [one for one in self.repository.repository.list_releases() if one.version == version]
        return name_builds(builds)[0]

    # ------------------------------------------------------------- ports

    def read_report(self, address: str) -> AgentReport:
        """Time passes for every guest when one is asked; a guest that is off does nothing."""
        state = self.read_state()
        found: AgentReport | None = None
        for vmid, agent in self.agents.items():
            container = self.datacentre.containers.get(vmid)
            if container is None or not container.running:
                continue
            agent.look(state, self.clock.now())
            if container.address == address and agent.answers:
                found = agent.report(self.clock.now())
        if found is None:
            raise RoadError(f"{address}: nothing answers")
        return found

    def measure(self, probe: Probe, guest: GuestRef, address: str | None) -> Measurement:
        """As the datacentre says, unless the agent has made its game ill."""
        found = self.datacentre.measure(probe, guest, address)
        if self.agents[guest.vmid].is_ill:
            return replace(found, verdict=Verdict.UNHEALTHY, detail="the game says no")
        return found

    def read_state(self) -> bytes:
        """What guests see."""
        folder = self.repository.folder
        document = folder.find_published(TrustRole.DESIRED)
        assert document is not None
        data = folder.read_file(document, STATE)
        assert data is not None
        return data

    # ------------------------------------------------------------- people

    def agent_desk(self) -> AgentDesk:
        """Where pins are made."""
        parts = self.repository.repository, self.repository.publication, DesiredStates()
        guests = self.datacentre.list_guests
        return AgentDesk(*parts, guests, lambda: self.ledger, self.clock, self.policy, "tester")

    def pin(self, ring: str, version: str, **changes: bool) -> None:
        """Pinned, signed and shown."""
        self.agent_desk().pin(PinOrder(LINE, ring, version, **changes))  # type: ignore[arg-type]
        self.repository.sign("anna")
        self.repository.publish(self.clock.now())

    def report_desk(self) -> AgentReportDesk:
        """Where guests are asked."""
        return AgentReportDesk(self.datacentre, self, lambda: self.ledger, self.policy, "tester")

    def desk(self) -> Desk:
        """Where rollouts are ordered."""
        return Desk(self.ledger, "tester")

    def submit(self, version: str = "1.5.0") -> Plan:
        """Planned, signed by anna, and ordered."""
        prepared = self.prepare(version)
        order_rollout(prepared, self.series, "anna", self.desk())
        return prepared.plan

    def prepare(self, version: str = "1.5.0") -> PreparedRollout:
        """Planned."""
        return AgentPlanner(self.planner()).plan_rollout(None, version)

    def planner(self) -> SignedPlanner:
        """What all plans have in common that people sign."""
        return SignedPlanner(self.agent_desk(), self.report_desk())

    def order(self, verb: str) -> Callable[[], object]:
        """A person orders it of the latest rollout."""
        return lambda: self.desk().order(verb, None, f"{verb} by a person")

    def later(self, length: timedelta, act: Callable[[], object]) -> None:
        """Something happens so long from now, while the worker waits."""
        self.clock.later(length, act)

    def _answer_pauses(self, now: datetime) -> None:
        assert now < self.deadline, f"it does not end: {self.ledger.read()[-1]}"
        fresh = self.ledger.read(after=self._seen)
        self._seen += len(fresh)
        for entry in fresh:
            if entry.kind is Kind.EVENT and entry.target is None and entry.name == RolloutEvent.PAUSED:
                assert self.answers, f"paused: {entry.data['reason']}"
                self.answers.pop(0)()

    # ------------------------------------------------------------- worker

    def engine(self) -> Engine:
        """What a worker that starts now would have."""
        examiner = Examiner(self, self.datacentre, self.clock)
        hands = AgentHands(self.series, self.report_desk().find_reports)
        cluster = self.datacentre.cluster
        return Engine(cluster, examiner, self.ledger, self.clock, self.policy, lambda _: (), agents=lambda: hands)

    def work(self, plan: Plan) -> Progress:
        """One worker carries the rollout on, to its end."""
        self.engine().open_rollout(plan).run()
        return self.progress(plan)

    def run(self, version: str = "1.5.0") -> Progress:
        """A whole rollout by one worker."""
        return self.work(self.submit(version))

    def tend(self, plan: Plan, length: timedelta) -> Progress:
        """Let the soak go on for a while."""
        engine, end = self.engine(), self.clock.now() + length
        while self.clock.now() < end:
            self.clock.sleep(timedelta(minutes=1))
            engine.open_soak(plan).tend()
        return self.progress(plan)

    def pass_time(self, length: timedelta) -> None:
        """Nobody is at work; guests are."""
        end = self.clock.now() + length
        while self.clock.now() < end:
            self.clock.sleep(timedelta(minutes=1))
            self.report_desk().list_reports()

    def progress(self, plan: Plan) -> Progress:
        """How it stands."""
        return fold_progress(self.ledger.read(plan.id))

    def list_pauses(self, plan: Plan) -> list[str]:
        """Why it paused, each time."""
        entries = [entry for entry in self.ledger.read(plan.id) if entry.kind is Kind.EVENT and entry.target is None]
        return [str(entry.data["reason"]) for entry in entries if entry.name == RolloutEvent.PAUSED]

    def states(self, plan: Plan) -> dict[int, TargetState]:
        """Guest to its state."""
        return {row.target.vmid: row.state for row in self.progress(plan).targets}

    def versions(self) -> dict[int, str]:
        """Guest to the version that it has."""
        return {vmid: version_of(agent.current) for vmid, agent in self.agents.items()}


def make_agent_policy(windows: object = ALWAYS, **rollout: object) -> Policy:
    """As for roots; guests begin at once, and all are in one ring."""
    policy = make_policy(windows, **{"waves": ["50%", "100%"], **rollout})  # type: ignore[arg-type]
    rings = [{"name": "all", "percent": 100}]
    agents = policy.agents.model_validate({"jitter": "0s", "rings": rings})
    return policy.model_copy(update={"agents": agents})
