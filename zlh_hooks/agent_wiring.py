"""The part of the composition root that joins what agents' updates need. TUF and cryptography are imported with it."""

from collections.abc import Callable
from typing import Protocol

from agent_plugin.report_wire import MOST_BYTES
from zlh_hooks.adapters.agent_archive import refuse_archive
from zlh_hooks.adapters.agent_report import GuestReports
from zlh_hooks.adapters.desired_state import DesiredStates
from zlh_hooks.adapters.trust import open_trust
from zlh_hooks.adapters.tuf_folder import TufFolder
from zlh_hooks.adapters.tuf_key import Ask, KeyFolder
from zlh_hooks.adapters.tuf_publication import TufPublication
from zlh_hooks.adapters.tuf_repository import TufRepository
from zlh_hooks.adapters.tuf_series import TufSeries
from zlh_hooks.adapters.web import Web
from zlh_hooks.application.agent_desk import AgentDesk
from zlh_hooks.application.agent_hands import AgentHands
from zlh_hooks.application.agent_key_desk import AgentKeyDesk
from zlh_hooks.application.agent_planning import AgentPlanner
from zlh_hooks.application.agent_report_desk import AgentReportDesk
from zlh_hooks.application.desk import Desk
from zlh_hooks.application.patch_planning import PatchPlanner
from zlh_hooks.application.ports import Clock, Cluster, Inventory, Ledger
from zlh_hooks.application.signed_planning import PreparedRollout, SignedOrder, SignedPlanner, Urgency, order_rollout
from zlh_hooks.domain.agent_release import AgentOrder
from zlh_hooks.domain.agent_trust import Purpose
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.policy import Policy
from zlh_hooks.settings import Settings, find_online_password

_MOST_HEAD = 4096


class Parts(Protocol):
    """What a site lends; each is opened when it is first asked for."""

    @property
    def settings(self) -> Settings:
        """Where things lie."""

    @property
    def policy(self) -> Policy:
        """What may happen."""

    @property
    def clock(self) -> Clock:
        """Time."""

    @property
    def cluster(self) -> Cluster:
        """Proxmox."""

    @property
    def ledger(self) -> Ledger:
        """The record."""

    @property
    def author(self) -> str:
        """Who sits here."""


def open_agent_desk(site: Parts, ask: Ask, tell: Callable[[str], None] = lambda _text: None) -> AgentDesk:
    """Releases, pins and publications; ``tell`` gets what whoever gives an order should know.

    The online key's password comes from its file or credential where there is one: the machine publishes while nobody
    is there.
    """
    folder, rules = _open_folder(site), site.policy.agents.role_rules()
    people, machine = _open_keys(site.settings, ask), _open_machine_keys(site.settings, ask)
    return AgentDesk(
        TufRepository(folder, people, rules),
        TufPublication(folder, machine, rules),
        DesiredStates(),
        lambda: site.cluster.inventory.list_guests(),
        lambda: site.ledger,
        site.clock,
        site.policy,
        site.author,
        lambda vmid: open_agent_report_desk(site).find_reports([vmid]).get(vmid),
        tell,
        refuse_archive,
    )


def prepare_rollout(site: Parts, ask: Ask, order: SignedOrder, urgency: Urgency) -> PreparedRollout:
    """A plan of a rollout of the agent, or of packages, and the states that people sign for it."""
    planner = SignedPlanner(open_agent_desk(site, ask), open_agent_report_desk(site))
    if isinstance(order, AgentOrder):
        return AgentPlanner(planner).plan_rollout(order.line, order.asked, urgency)
    return PatchPlanner(planner).plan_rollout(order, urgency)


def open_agent_series(site: Parts, ask: Ask, permit: Callable[[], None] = lambda: None) -> TufSeries:
    """What rollouts show to guests; ``ask`` gets the passwords of those who sign."""
    folder, rules, settings = _open_folder(site), site.policy.agents.role_rules(), site.settings
    machine = _open_keys(settings, lambda _holder, _is_new: need_online_password(settings))
    publication = TufPublication(folder, machine, rules)
    return TufSeries(folder, _open_keys(settings, ask), publication, rules, site.clock.now, permit)


def submit_signed(site: Parts, prepared: PreparedRollout, ask: Ask, holder: str) -> None:
    """Sign all that a rollout may show, and order it; ``NotAllowed`` if the worker could not show it."""
    _try_online_key(site.settings)
    order_rollout(prepared, open_agent_series(site, ask), holder, Desk(site.ledger, site.author))


def open_agent_hands(site: Parts, ledger: Ledger, cluster: Cluster, permit: Callable[[], None]) -> AgentHands:
    """What the worker carries such a rollout out with; nobody is there to be asked for a password."""
    desk = _open_report_desk(site, cluster.inventory, lambda: ledger)
    return AgentHands(open_agent_series(site, refuse_to_ask, permit), desk.find_reports)


def refuse_to_ask(holder: str, is_new: bool) -> str:
    """For where nobody sits."""
    raise NotAllowed(f"the worker signs nothing in the name of {holder}")


def _try_online_key(settings: Settings) -> None:
    """``NotAllowed`` if the worker could not sign with it: else that would be noticed at night."""
    keys = _open_keys(settings, lambda _holder, _is_new: need_online_password(settings))
    holders = [holder for holder in keys.list_holders() if keys.has(holder, Purpose.ONLINE)]
    if not holders:
        raise NotAllowed(f"{settings.agents.online_keys} has no online key: the worker of this machine publishes")
    for holder in holders:
        keys.open_signer(holder, Purpose.ONLINE)


def need_online_password(settings: Settings) -> str:
    """``NotAllowed`` where somebody would have to type it."""
    password = find_online_password(settings)
    if password is None:
        raise NotAllowed(
            "the worker publishes while nobody is there: agents.online_password_file must name a file with the password"
            " of the machine that publishes"
        )
    return password


def open_agent_key_desk(site: Parts, ask: Ask) -> AgentKeyDesk:
    """Whose keys count for agents."""
    keys, machine = _open_keys(site.settings, ask), _open_machine_keys(site.settings, ask)
    repository = TufRepository(_open_folder(site), keys, site.policy.agents.role_rules())
    return AgentKeyDesk(repository, keys, machine, lambda: site.ledger, site.clock, site.author)


def open_agent_report_desk(site: Parts) -> AgentReportDesk:
    """What guests say of their agents."""
    return _open_report_desk(site, site.cluster.inventory, lambda: site.ledger)


def _open_report_desk(site: Parts, inventory: Inventory, open_ledger: Callable[[], Ledger]) -> AgentReportDesk:
    settings = site.settings.agents
    web = Web(site.clock, open_trust(None, ""), settings.report_timeout, MOST_BYTES + _MOST_HEAD)
    return AgentReportDesk(inventory, GuestReports(web, settings.report_port), open_ledger, site.policy, site.author)


def _open_keys(settings: Settings, ask: Ask) -> KeyFolder:
    return KeyFolder(settings.agents.keys, settings.agents.online_keys, ask)


def _open_machine_keys(settings: Settings, ask: Ask) -> KeyFolder:
    """Keys whose password comes from its file or credential, where there is one."""
    return _open_keys(settings, lambda holder, is_new: find_online_password(settings) or ask(holder, is_new))


def _open_folder(site: Parts) -> TufFolder:
    return TufFolder(site.settings.agents.folder, site.settings.agents.public)
