"""When an old root may be given up: never in the window of its exchange, so that a night lies between the two. Pure."""

from datetime import datetime, timedelta

from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.window import Decision, decide
from zlh_hooks.domain.window_rule import Component

NEEDED = timedelta(minutes=1)


def decide_settling(policy: Policy, began: datetime, now: datetime, *, security: bool = False) -> Decision:
    """Whether a window is open at ``now`` that began after the exchange, which ``began`` then; else which is next."""
    return decide(policy, Component.TEMPLATE, now, NEEDED, security=security, newer_than=began)
