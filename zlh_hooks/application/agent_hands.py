"""What a rollout works with that guests follow by themselves; only where there is one are its parts opened."""

from dataclasses import dataclass

from zlh_hooks.application.agent_ports import AgentSeries
from zlh_hooks.application.pull_driver import FindReports
from zlh_hooks.domain.errors import NotAllowed


@dataclass(frozen=True, slots=True)
class AgentHands:
    """What guests are shown, and what they say."""

    series: AgentSeries
    find_reports: FindReports


def refuse_agents() -> AgentHands:
    """Where an engine is opened for templates alone."""
    raise NotAllowed("agents cannot be reached from here")
