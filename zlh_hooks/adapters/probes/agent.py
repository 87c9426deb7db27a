"""The ZLH agent. Its answers can carry secrets (a payload holds a password): only two values leave this file."""

from zlh_hooks.adapters.probes.answer import Answer, BadAnswer, Question
from zlh_hooks.adapters.probes.document import find_value, parse_document, render_scalar
from zlh_hooks.adapters.probes.page import Page, Site, read_page
from zlh_hooks.domain.probe import AgentProbe

_LONGEST_VALUE = 64


def ask_agent(probe: AgentProbe, question: Question) -> Answer:
    """``/health`` must answer 2xx and ``/status`` must name a state; any state is healthy, judging it is for others."""
    site = Site(question.address, probe.port)
    health = _read(site, "/health", question)
    status = _read(site, "/status", question)
    facts = {"state": _read_state(status)}
    version = _read_version(status, probe.version_path) or _read_version(health, probe.version_path)
    if version is not None:
        facts["version"] = version
    return Answer(", ".join(f"{name} {value}" for name, value in facts.items()), facts)


def _read(site: Site, path: str, question: Question) -> Page:
    page = read_page(site, path, question.deadline)
    if not 200 <= page.status <= 299:
        raise BadAnswer(f"{path} answered {page.status}")
    return page


def _read_state(status: Page) -> str:
    state = find_value(parse_document(status.body), "state")
    if not isinstance(state, str) or not 0 < len(state) <= _LONGEST_VALUE:
        raise BadAnswer(f"state in /status is not a word of at most {_LONGEST_VALUE} characters")
    return state


def _read_version(page: Page, path: str) -> str | None:
    """None if there is none: agents without a version exist, and ``/health`` need not be JSON."""
    try:
        value = find_value(parse_document(page.body), path)
    except BadAnswer:
        return None
    text = None if value is None or isinstance(value, bool) else render_scalar(value)
    return text if text and len(text) <= _LONGEST_VALUE else None
