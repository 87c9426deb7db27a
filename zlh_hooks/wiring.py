"""The only composition root: settings and policy in, working parts out."""

import getpass
import hashlib
import platform
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from zlh_hooks.adapters.clock import SystemClock
from zlh_hooks.adapters.probes import Probes
from zlh_hooks.adapters.promotion import open_hooks
from zlh_hooks.adapters.proxmox import Proxmox
from zlh_hooks.adapters.proxmox_access import Access
from zlh_hooks.adapters.proxmox_link import permit_all
from zlh_hooks.adapters.trust import open_trust
from zlh_hooks.adapters.worker_process import WorkerStarter
from zlh_hooks.application.agent_desk import AgentDesk
from zlh_hooks.application.agent_hands import AgentHands
from zlh_hooks.application.agent_key_desk import AgentKeyDesk
from zlh_hooks.application.agent_report_desk import AgentReportDesk
from zlh_hooks.application.controller_lock import ControllerLock, render_holder
from zlh_hooks.application.deferral_desk import DeferralDesk
from zlh_hooks.application.desk import Desk, list_progress
from zlh_hooks.application.drill import EmergencyDrill, Trainee
from zlh_hooks.application.emergency_desk import EmergencyDesk
from zlh_hooks.application.engine import TASK_MARGIN, Engine
from zlh_hooks.application.herald import Herald
from zlh_hooks.application.herald_thread import HeraldThread
from zlh_hooks.application.hold_desk import HoldDesk
from zlh_hooks.application.journal import Journal, Patience
from zlh_hooks.application.launch import LaunchDesk
from zlh_hooks.application.measure import Measures, keep_fresh
from zlh_hooks.application.notice_desk import NoticeDesk
from zlh_hooks.application.planning import Planner
from zlh_hooks.application.ports import Cluster, LeaseHolder, Ledger, WorkerLease
from zlh_hooks.application.press import Press
from zlh_hooks.application.proof import Examiner
from zlh_hooks.application.ready import Readiness, check_ready, want
from zlh_hooks.application.recover import Recovery
from zlh_hooks.application.retag import ChannelPorts
from zlh_hooks.application.signed_planning import PreparedRollout, SignedOrder, Urgency
from zlh_hooks.application.worker import Heartbeat, HeldLease, Worker
from zlh_hooks.domain.agent_trust import Expiry
from zlh_hooks.domain.entry import Entry
from zlh_hooks.domain.errors import NotAllowed, SettingsError
from zlh_hooks.domain.handbook import Handbook, Page
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.progress import Progress
from zlh_hooks.domain.window_rule import Component
from zlh_hooks.notice_wiring import open_links, open_roads
from zlh_hooks.settings import Settings, load_policy, load_settings, read_token

if TYPE_CHECKING:
    from zlh_hooks.adapters.ledger import SqlLedger
    from zlh_hooks.adapters.tuf_key import Ask


def open_proxmox(settings: Settings, permit: Callable[[], None] = permit_all) -> Proxmox:
    """The cluster, over HTTPS with the settings' token. Nothing is sent yet."""
    reach = settings.proxmox
    if reach.ca_file is not None:
        open_trust(reach.ca_file, "proxmox.ca_file")  # else a file that is not there is told as a server out of reach
    return Proxmox(
        Access(
            reach.host, reach.user, reach.token_name, read_token(settings), reach.port, reach.ca_file, reach.timeout
        ),
        permit,
    )


def open_ledger(settings: Settings) -> "SqlLedger":
    """The ledger's file; made if it is not there. SQLAlchemy is imported here: who only picks a template needs none."""
    from zlh_hooks.adapters.ledger import SqlLedger

    return SqlLedger.open(settings.ledger.path, SystemClock())


def open_cluster(settings: Settings, permit: Callable[[], None] = permit_all) -> Cluster:
    """Proxmox in each of the roles that stories ask for; ``permit`` is asked before each change."""
    proxmox = open_proxmox(settings, permit)
    return Cluster(proxmox, proxmox, proxmox, proxmox, proxmox, proxmox, proxmox)


@dataclass(frozen=True)
class Site:
    """One installation: what the command line works with. Parts are opened when they are first needed."""

    settings: Settings
    policy: Policy
    config_file: Path | None
    policy_file: Path | None

    @cached_property
    def clock(self) -> SystemClock:
        """The machine's clocks."""
        return SystemClock()

    @cached_property
    def cluster(self) -> Cluster:
        """Proxmox."""
        return open_cluster(self.settings)

    @cached_property
    def ledger(self) -> "SqlLedger":
        """The record."""
        return open_ledger(self.settings)

    @property
    def author(self) -> str:
        """Who sits at this terminal, for the record."""
        return f"{getpass.getuser()}@{platform.node()}"

    def planner(self) -> Planner:
        """Makes plans."""
        return Planner(self.cluster.inventory, self.clock, self.policy)

    def make_plan(self, line: str, version: str, *, security: bool, emergency: bool) -> Plan:
        """A plan by whoever types. ``emergency``: under the one that is open; ``NotAllowed`` if none is."""
        declared = self.emergency_desk().require_open(Component.TEMPLATE) if emergency else None
        return self.planner().plan_rollout(line, version, self.author, security=security, emergency=declared)

    def foresee(self, plan: Plan) -> dict[int, str]:
        """Guests of the plan that would be skipped now, and why."""
        return self.engine(self.ledger).foresee(plan)

    def desk(self) -> Desk:
        """Takes orders."""
        return Desk(self.ledger, self.author)

    def notice_desk(self) -> NoticeDesk:
        """Shows and corrects what customers are told."""
        return NoticeDesk(self.ledger, self.clock, self.policy, open_roads(self.settings, self.policy), self.author)

    def deferral_desk(self) -> DeferralDesk:
        """Moves dates."""
        return DeferralDesk(
            self.ledger,
            self.clock,
            self.policy,
            lambda: self.cluster.inventory.list_guests(),
            lambda: open_links(self.settings),
            self.author,
        )

    def hold_desk(self) -> HoldDesk:
        """Takes claims on guests."""
        cluster = self.cluster
        return HoldDesk(ChannelPorts(cluster.inventory, cluster.editor, self.ledger, self.clock), self.author)

    def launch_desk(self) -> LaunchDesk:
        """Takes people's words before the launch."""
        return LaunchDesk(self.ledger, self.policy, self.author)

    def ask_rights(self) -> Readiness:
        """What the token may do, against what the policy needs."""
        proxmox = open_proxmox(self.settings)
        return check_ready(proxmox, proxmox, want(self.policy))

    def read_entries(self) -> tuple[Entry, ...]:
        """All of the ledger. Who only looks makes none: until it is there, nothing is recorded."""
        return self.ledger.read() if self.has_ledger() else ()

    def has_ledger(self) -> bool:
        """Whether there is one; ``SettingsError`` if that cannot be seen."""
        try:
            self.settings.ledger.path.stat()
        except FileNotFoundError:
            return False
        except OSError as error:
            path, reason = str(self.settings.ledger.path), error.strerror or str(error)
            raise SettingsError(path, "ledger.path", reason, "a ledger that you may read") from error
        return True

    def emergency_desk(self) -> EmergencyDesk:
        """Takes declarations of emergencies."""
        return EmergencyDesk(self.ledger, self.clock, self.policy, self.author)

    def open_drill(self, person: str, trainee: Trainee, *, bad: bool) -> EmergencyDrill:
        """An emergency of this policy on simulated servers; nothing of it reaches ledger, Proxmox or channels."""
        from zlh_hooks.drill_wiring import open_drill

        return open_drill(self.policy, self.clock.now(), person, trainee, bad=bad)

    def measures(self) -> Measures:
        """What monitoring should know."""
        from zlh_hooks.adapters.exposition import render_exposition
        from zlh_hooks.adapters.file import write_over

        read = self.read_entries, lambda: self.ledger.lease.read() if self.has_ledger() else None
        return Measures(*read, self._list_expiries, self.policy, self.clock, render_exposition, write_over)

    def _list_expiries(self) -> Sequence[Expiry]:
        """Of what agents read; whoever publishes nothing does not load what reads it."""
        if not self.settings.agents.public.is_dir():
            return ()
        from zlh_hooks.agent_wiring import open_agent_desk, refuse_to_ask

        return open_agent_desk(self, refuse_to_ask).list_expiries()

    def list_progress(self) -> tuple[Progress, ...]:
        """Every rollout, oldest first."""
        return list_progress(self.ledger)

    def engine(
        self,
        ledger: Ledger,
        cluster: Cluster | None = None,
        check_herald: Callable[[], None] = lambda: None,
        permit: Callable[[], None] = permit_all,
    ) -> Engine:
        """The engine on this site's cluster, or by the worker's own way to it."""
        cluster = cluster or self.cluster
        examiner = Examiner(Probes(self.clock), cluster.inventory, self.clock)
        lines = self.policy.lines
        return Engine(
            cluster,
            examiner,
            ledger,
            self.clock,
            self.policy,
            lambda line: open_hooks(lines[line].after_promote) if line in lines else (),
            check_herald,
            lambda: self._agent_hands(ledger, cluster, permit),
        )

    def _agent_hands(self, ledger: Ledger, cluster: Cluster, permit: Callable[[], None]) -> AgentHands:
        from zlh_hooks.agent_wiring import open_agent_hands

        return open_agent_hands(self, ledger, cluster, permit)

    def recovery(self, *, insists: bool = False, say: Callable[[str], None] = lambda _: None) -> Recovery:
        """Finds and mends what rollouts left. ``insists``: whatever others do meanwhile, of which it is told."""
        return Recovery(self.cluster, self.clock, self.policy, insists, say)

    def refuse_recovery(self) -> None:
        """``NotAllowed`` while the ledger itself knows the way: a rollout that can be resumed is not recovered."""
        self.desk().refuse_second()

    def open_recovery_journal(self) -> Journal:
        """Entries of no rollout: each recovery is told whole, none is resumed."""
        rules = self.policy.rollout
        patience = Patience(rules.lock_wait, rules.start_timeout + rules.shutdown_timeout + TASK_MARGIN)
        return Journal(
            ledger=self.ledger,
            tasks=self.cluster.tasks,
            clock=self.clock,
            rollout="",
            target=None,
            patience=patience,
            may_wait=lambda: True,
        )

    # ---------------------------------------------------------------- agents

    def agent_desk(self, ask: "Ask", tell: Callable[[str], None] = lambda _text: None) -> AgentDesk:
        """Releases, pins and what they mean. ``ask`` gets passwords from people, ``tell`` what they should know."""
        from zlh_hooks.agent_wiring import open_agent_desk

        return open_agent_desk(self, ask, tell)

    def agent_key_desk(self, ask: "Ask") -> AgentKeyDesk:
        """Whose keys count for agents."""
        from zlh_hooks.agent_wiring import open_agent_key_desk

        return open_agent_key_desk(self, ask)

    def prepare_signed(self, ask: "Ask", order: SignedOrder, *, security: bool, emergency: bool) -> PreparedRollout:
        """A plan and what must be signed for it; every guest that it may concern is asked for its report."""
        from zlh_hooks.agent_wiring import prepare_rollout

        declared = self.emergency_desk().require_open(Component.AGENT) if emergency else None
        return prepare_rollout(self, ask, order, Urgency(security, declared))

    def submit(self, prepared: PreparedRollout, ask: "Ask", holder: str | None) -> None:
        """Hand it to the worker; what it may show is signed in the holder's name first."""
        if prepared.series is None or holder is None:
            return self.desk().submit(prepared.plan)
        from zlh_hooks.agent_wiring import submit_signed

        submit_signed(self, prepared, ask, holder)

    def agent_report_desk(self) -> AgentReportDesk:
        """What guests report of their agents."""
        from zlh_hooks.agent_wiring import open_agent_report_desk

        return open_agent_report_desk(self)

    # ---------------------------------------------------------------- worker

    def run_worker(self, *, stays: bool, patience: timedelta) -> None:
        """Take the lease and execute until nothing is left; ``NotAllowed`` if another worker holds it."""
        gauges, lease = keep_fresh(self.measures(), self.settings.metrics.textfile), self.ledger.lease
        held = HeldLease(lease, self.take_lease(lease, patience), self.policy.rollout.lease, self.clock)
        with ExitStack() as unused:
            unused.callback(lease.release, held.holder)  # what is wrong before the work keeps no successor waiting
            ledger = self.ledger.fenced(held.holder)
            lock = ControllerLock(open_cluster(self.settings, held.assure), self.clock, self.holder)
            herald = Herald(ledger, self.clock, self.policy, open_roads(self.settings, self.policy))
            with gauges, Heartbeat(held, lock, self.clock) as heartbeat, HeraldThread(herald) as teller:
                permit = heartbeat.assure
                engine = self.engine(ledger, open_cluster(self.settings, permit), teller.check, permit)
                worker = Worker(ledger, self.clock, heartbeat, engine.open_rollout, engine.open_soak, teller)
                unused.pop_all()
                worker.run(stays=stays)
                lease.release(held.holder)

    def take_lease(self, lease: WorkerLease, patience: timedelta) -> LeaseHolder:
        """Take it within ``patience``; ``NotAllowed`` if its holder still has it, or renews it meanwhile: it lives."""
        deadline, seen = self.clock.monotonic() + patience.total_seconds(), lease.read()
        while True:
            try:
                return lease.take(self.holder, self.policy.rollout.lease)
            except NotAllowed:
                if self.clock.monotonic() >= deadline or lease.read() != seen:
                    raise
            self.clock.sleep(timedelta(milliseconds=200))

    @property
    def holder(self) -> str:
        """This controller's name: host and ledger, so that two ledgers on one host are two controllers."""
        ledger = hashlib.sha256(str(self.settings.ledger.path.resolve()).encode()).hexdigest()[:6]
        return render_holder(self.settings.worker.name, ledger)

    def ensure_worker(self) -> None:
        """Start a detached worker unless one holds the lease."""
        self._starter().ensure()

    def summon_worker(self) -> None:
        """Start a detached worker for what was just ordered, also one that succeeds a dead one."""
        self._starter().summon()

    def _starter(self) -> WorkerStarter:
        files = (("--config", self.config_file), ("--policy", self.policy_file))
        options = [part for option, path in files if path for part in (option, str(path))]
        return WorkerStarter(self.ledger.lease, self.clock, self.settings.worker.log, options)

    def close_by_force(self, rollout: str | None, reason: str) -> Progress:
        """End a rollout on paper; ``NotAllowed`` while a worker lives, because it would go on."""
        held = self._starter().find_holder()
        if held is not None:
            raise NotAllowed(f"worker {held.holder} is at work: use abort or revert", held.until)
        return self.desk().close_by_force(rollout, reason)


def write_new(path: Path, text: str, mode: int) -> None:
    """Make a file that is not there yet, whole."""
    from zlh_hooks.adapters.file import write_new

    write_new(path, text, mode)


def is_file(path: Path) -> bool:
    """Whether a file is there that we may know of."""
    try:
        return path.is_file()
    except OSError:
        return False


def read_time_zone() -> str:
    """This machine's."""
    from zlh_hooks.adapters.machine_zone import read_time_zone

    return read_time_zone()


def open_press(policy: Policy, html: bool, pages: tuple[Page, ...]) -> Press:
    """What prints pages. Jinja and markdown-it are imported here: nobody else needs them."""
    from zlh_hooks.adapters.file import write_over
    from zlh_hooks.adapters.page_template import render_frame, render_markdown

    handbook = Handbook(policy)

    def draw(page: Page, others: tuple[Page, ...]) -> str:
        text = render_markdown(page, handbook)
        if not html:
            return text
        from zlh_hooks.adapters.markdown import render_html

        return render_frame(page, handbook, render_html(text), others)

    return Press(pages, ".html" if html else ".md", draw, write_over)


def open_site(config: Path | None, policy: Path | None) -> Site:
    """Read both files (defaults and variables: see ``settings``) and make the parts available."""
    return Site(load_settings(config), load_policy(policy), config, policy)
