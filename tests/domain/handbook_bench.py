"""A small policy with people and runbooks in it, as a file has it, to be broken by tests at one place each."""

from typing import Any

STEP = {"do": "Look", "by_hand": "true", "expect": "nothing"}
CONSEQUENCE = {"impact": "restart", "what": "it restarts", "evidence": "the changelog"}
ROLES = {
    "platform": {"title": "Platform", "duty": "the machines"},
    "service": {"title": "Service", "duty": "what runs on them"},
}
ADA = {"name": "Ada", "roles": ["platform"], "mail": "ada@example.net", "keys": ["root on pve1"]}


def make_component(**changes: Any) -> dict[str, Any]:
    """A component's table."""
    parts = {key: [STEP] for key in ("checks", "steps", "probes", "way_back")}
    names = {"title": "A system", "driver": "manual", "owner": "platform", "deputy": "service"}
    limits = {"felt": "a short pause", "interruption": "3m", "time_limit": "30m", "point_of_no_return": "none"}
    return {**names, **limits, "consequences": [CONSEQUENCE], **parts, **changes}


def make_tables(**changes: Any) -> dict[str, Any]:
    """A policy's tables."""
    return {
        "time_zone": "Europe/Berlin",
        "roles": ROLES,
        "people": {"ada": ADA},
        "components": {"pbs": make_component(), "monitoring": make_component(after=["pbs"])},
        **changes,
    }
