"""Whether somebody plays on a guest."""

from collections.abc import Sequence

from zlh_hooks.application.ports import Cluster
from zlh_hooks.application.proof import Examiner
from zlh_hooks.domain.errors import Unreadable
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.probe import Probe


def is_empty(cluster: Cluster, examiner: Examiner, ref: GuestRef, probes: Sequence[Probe]) -> bool:
    """Whether nobody plays: every probe that counts players says so. One that does not answer says nothing."""
    if not cluster.inventory.read_power(ref).running:
        return True
    counting = [probe for probe in probes if probe.counts_players]
    try:
        address = cluster.inventory.read_address(ref)
    except Unreadable:
        return not counting
    return all(examiner.prober.measure(probe, ref, address).facts.get("players") == "0" for probe in counting)
