"""A small site that suits a policy: two hosts, servers of two customers, a version that has a hole, and its fix."""

from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice

from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.notice import Customer
from zlh_hooks.domain.policy import GuestKind, Policy
from zlh_hooks.simulation.behaviour import cannot_read_data, good
from zlh_hooks.simulation.clock import SimulatedClock
from zlh_hooks.simulation.cluster import SimulatedCluster
from zlh_hooks.simulation.customer import SimulatedDirectory, SimulatedFeed, SimulatedMail
from zlh_hooks.simulation.ledger import SimulatedLedger

NODES = ("node-1", "node-2")
STORAGE = "local"
WITH_HOLE, FIXED = "1.0.0", "1.0.1"
GUESTS = 6
LOST_MAIL = "ann@old.example"
"""The address of a customer who moved: no server takes mail for it."""


@dataclass(frozen=True, slots=True)
class SimulatedSite:
    """All that stands behind the ports. ``line``: whose servers there are."""

    line: str
    clock: SimulatedClock
    cluster: SimulatedCluster
    ledger: SimulatedLedger
    directory: SimulatedDirectory
    mail: SimulatedMail = field(default_factory=lambda: SimulatedMail(refused=frozenset({LOST_MAIL})))
    feed: SimulatedFeed = field(default_factory=SimulatedFeed)


def open_simulated_site(policy: Policy, start: datetime, *, bad: bool) -> SimulatedSite:
    """That site at ``start``; ``bad``: the fix breaks servers that hold data. ``NotAllowed`` without a kind for it."""
    kind = _choose_kind(policy)
    clock = SimulatedClock(start)
    cluster = SimulatedCluster(clock)
    for node in NODES:
        cluster.add_node(node)
    cluster.add_storage(STORAGE)
    _add_templates(cluster, policy, kind.line, bad)
    vmids = list(islice(chain.from_iterable(numbers.numbers() for numbers in kind.vmids), GUESTS))
    for number, vmid in enumerate(vmids):
        paths = policy.lines[kind.line].data_paths
        node = NODES[number % len(NODES)]
        cluster.add_guest(vmid, node, kind.line, WITH_HOLE, data_paths=paths, tags=kind.tags[:1])
    return SimulatedSite(kind.line, clock, cluster, SimulatedLedger(clock), _make_directory(vmids))


def _choose_kind(policy: Policy) -> GuestKind:
    found = next((kind for kind in policy.kinds.values() if kind.exchange), None)
    if found is None:
        raise NotAllowed("no kind of [kinds] has its roots exchanged: there is nothing that an emergency could hurry")
    return found


def _add_templates(cluster: SimulatedCluster, policy: Policy, line: str, bad: bool) -> None:
    """On each node both versions, under numbers that no guest and no scratch guest has."""
    taken = [*(numbers for kind in policy.kinds.values() for numbers in kind.vmids), policy.scratch_vmids]
    first = max(numbers.last for numbers in taken) + 1
    for number, node in enumerate(NODES):
        cluster.add_template(line, WITH_HOLE, node, first + 2 * number, channel="stable")
        fix = cannot_read_data(FIXED) if bad else good(FIXED)
        cluster.add_template(line, FIXED, node, first + 2 * number + 1, fix)


def _make_directory(vmids: list[int]) -> SimulatedDirectory:
    """Whose mail is lost has the first server, and so the canary."""
    ann = Customer("ann", "Ann", frozenset(vmids[::2]), LOST_MAIL)
    bob = Customer("bob", "Bob", frozenset(vmids[1::2]), "bob@example.com")
    return SimulatedDirectory([ann, bob])
