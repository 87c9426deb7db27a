"""Starting a guest that we have stopped: patiently, and not against a claim that it must not start."""

from datetime import timedelta

from zlh_hooks.application import root_step
from zlh_hooks.application.journal import Journal
from zlh_hooks.application.look import find_storage_away
from zlh_hooks.application.ports import Clock, Cluster
from zlh_hooks.domain.errors import GuestLocked, GuestMissing, HeldUp, StorageAway, TargetError
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.hold import Claim, find_hold

START_AGAIN = timedelta(seconds=10)


def assure_startable(cluster: Cluster, clock: Clock, ref: GuestRef) -> None:
    """``HeldUp`` while the guest is marked down: what we stopped would stay off."""
    config = cluster.inventory.read_config(ref)
    down = find_hold(Claim.DOWN, config.tags, clock.now(), config.values.get("description", ""))
    if down:
        raise HeldUp(f"it could not start again: marked down {down}")


def start(
    cluster: Cluster,
    clock: Clock,
    ref: GuestRef,
    journal: Journal,
    name: str,
    passing: type[TargetError],
    longest: timedelta,
) -> None:
    """Again and again while that fails for what may pass, for as long as a start may take.

    ``StorageAway`` without a request while a storage is known to be away.
    """
    deadline = clock.monotonic() + longest.total_seconds()
    while True:
        away = find_storage_away(cluster, ref)
        try:
            if away:
                raise StorageAway(f"its storage {away} is not active on {ref.node}")
            journal.retry(root_step.Start(name, cluster, ref))
            return
        except (GuestLocked, GuestMissing):
            raise
        except (passing, StorageAway):
            if clock.monotonic() >= deadline:
                raise
        clock.sleep(START_AGAIN)
