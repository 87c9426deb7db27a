"""Writing the sign that a guest is in work. For an exchange that is not left pending ``root_step.PutRoot`` does it."""

from datetime import timedelta

from zlh_hooks.application import root_step
from zlh_hooks.application.journal import Journal
from zlh_hooks.application.ports import Clock, Cluster
from zlh_hooks.domain import tag
from zlh_hooks.domain.busy import is_busy, render_sign
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import GuestMissing, TargetError
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.rollout_rules import RolloutRules

UNSIGNED = "unsigned"
"""Note: why a guest in work does not say so."""


def sign(
    cluster: Cluster,
    clock: Clock,
    rules: RolloutRules,
    ref: GuestRef,
    journal: Journal,
    needed: timedelta,
    name: str = "sign",
    *,
    waits: bool = False,
) -> None:
    """Say on the guest that it is in work, unless it says so for as long as is ``needed``. ``name``: of the step.

    Nothing fails for it, nor waits for a lock unless it ``waits``: under one no backup begins, and one that has begun
    is too late.
    """
    config, now = cluster.inventory.read_config(ref), clock.now()
    if (config.lock and not waits) or is_busy(config.tags, now + needed):
        return
    coming, old = render_sign(rules, now), tuple(t for t in config.tags if t.startswith(tag.BUSY))
    try:
        journal.retry(root_step.WriteTags(f"{name}.{coming}", cluster, ref, add=(coming,), drop=old))
    except GuestMissing:
        raise
    except TargetError as error:
        if not journal.has_note(UNSIGNED):
            journal.write(Kind.NOTE, UNSIGNED, {"reason": f"backups do not see that it is in work: {error}"})
