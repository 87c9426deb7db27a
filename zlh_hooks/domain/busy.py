"""The sign that a guest is being changed at this moment: ``zlh-busy.END``, a tag that ends by itself.

It stands from a guest's exchange to the end of its proof, and on its way back likewise: in between it is not backed up
(``hookscripts/zlh-vzdump-hook``). A worker that died keeps nobody waiting for longer than to its end.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from zlh_hooks.domain import tag
from zlh_hooks.domain.rollout_rules import RolloutRules

_SLACK = timedelta(minutes=2)
"""From the write to the restart, and because ends are whole minutes."""


def needed_to_prove(rules: RolloutRules) -> timedelta:
    """What is left at most when a guest has just come up."""
    return rules.healthy_deadline


def needed_to_restart(rules: RolloutRules) -> timedelta:
    """What is left at most when a guest is about to be restarted."""
    return rules.shutdown_timeout + rules.start_timeout + needed_to_prove(rules)


def render_sign(rules: RolloutRules, now: datetime) -> str:
    """The tag of a guest that is begun now. Who has to wait for a lock before its restart writes a new one."""
    return tag.BUSY + tag.render_time(now + needed_to_restart(rules) + _SLACK)


def is_busy(tags: Iterable[str], until: datetime) -> bool:
    """Whether the guest is signed as in work at least until then. A sign that nobody can read is none."""
    ends = (tag.parse_time(end) for end in tag.values_of(tag.BUSY, tags))
    return any(end is not None and end >= until for end in ends)
