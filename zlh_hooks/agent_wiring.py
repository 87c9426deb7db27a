"""The part of the composition root that joins what agents' updates need. TUF and cryptography are imported with it."""

from typing import Protocol

from agent_plugin.report_wire import MOST_BYTES
from zlh_hooks.adapters.agent_report import GuestReports
from zlh_hooks.adapters.desired_state import DesiredStates
from zlh_hooks.adapters.trust import open_trust
from zlh_hooks.adapters.tuf_folder import TufFolder
from zlh_hooks.adapters.tuf_key import Ask, KeyFolder
from zlh_hooks.adapters.tuf_publication import TufPublication
from zlh_hooks.adapters.tuf_repository import TufRepository
from zlh_hooks.adapters.web import Web
from zlh_hooks.application.agent_desk import AgentDesk
from zlh_hooks.application.agent_key_desk import AgentKeyDesk
from zlh_hooks.application.agent_report_desk import AgentReportDesk
from zlh_hooks.application.ports import Clock, Cluster, Ledger
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


def open_agent_desk(site: Parts, ask: Ask) -> AgentDesk:
    """Releases, pins and publications. The online key's password comes from its file or credential where there is
    one: the machine publishes while nobody is there.
    """
    folder, rules = _open_folder(site), site.policy.agents.role_rules()
    people = KeyFolder(site.settings.agents.keys, ask)
    machine = KeyFolder(
        site.settings.agents.keys,
        lambda holder, is_new: find_online_password(site.settings) or ask(holder, is_new),
    )
    return AgentDesk(
        TufRepository(folder, people, rules),
        TufPublication(folder, machine, rules),
        DesiredStates(),
        lambda: site.cluster.inventory.list_guests(),
        lambda: site.ledger,
        site.clock,
        site.policy,
        site.author,
    )


def open_agent_key_desk(site: Parts, ask: Ask) -> AgentKeyDesk:
    """Whose keys count for agents."""
    keys = KeyFolder(site.settings.agents.keys, ask)
    repository = TufRepository(_open_folder(site), keys, site.policy.agents.role_rules())
    return AgentKeyDesk(repository, keys, lambda: site.ledger, site.clock, site.author)


def open_agent_report_desk(site: Parts) -> AgentReportDesk:
    """What guests say of their agents."""
    settings = site.settings.agents
    web = Web(site.clock, open_trust(None, ""), settings.report_timeout, MOST_BYTES + _MOST_HEAD)
    return AgentReportDesk(
        site.cluster.inventory, GuestReports(web, settings.report_port), lambda: site.ledger, site.policy, site.author
    )


def _open_folder(site: Parts) -> TufFolder:
    return TufFolder(site.settings.agents.folder, site.settings.agents.public)
