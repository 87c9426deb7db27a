"""One in-memory world for every story: nodes, storages, containers, customers, and what goes wrong with them.

    clock = FakeClock()
    datacentre = Datacentre(clock)          # implements every port but Ledger, WorkerLease and Clock
    datacentre.add_node("n1")
    datacentre.add_storage("local", "n1")
    datacentre.add_template("game-base", "1", "n1", 8001, channel="stable")
    datacentre.add_guest(5001, "n1", version="1")
    datacentre.faults.die_after("clone")                                   # see fault.py
    datacentre.faults.meanwhile("exchange", lambda: datacentre.power_off(5001))
    datacentre.at(timedelta(minutes=3), lambda: datacentre.lock(5001, "backup", timedelta(minutes=5)))

The world goes on only as the clock passes, and only when it is called. Its rules are those observed on Proxmox VE 9
(pve-container 6.1); ``tests/contracts`` holds them against the real adapter.
"""

from tests.datacentre.behaviour import (
    boots_slowly,
    cannot_be_measured,
    changes_state,
    claims,
    exits_soon,
    never_boots,
    refuses_shutdown,
    turns_unhealthy,
)
from tests.datacentre.fault import Call, Crash, Faults
from tests.datacentre.ledger import MemoryLease, MemoryLedger
from tests.datacentre.proof import assert_data_untouched, assert_no_leftovers, assert_power_as_left
from tests.datacentre.world import Datacentre
from zlh_hooks.simulation.behaviour import Behaviour, good

__all__ = [
    "Behaviour",
    "Call",
    "Crash",
    "Datacentre",
    "Faults",
    "MemoryLease",
    "MemoryLedger",
    "assert_data_untouched",
    "assert_no_leftovers",
    "assert_power_as_left",
    "boots_slowly",
    "cannot_be_measured",
    "changes_state",
    "claims",
    "exits_soon",
    "good",
    "never_boots",
    "refuses_shutdown",
    "turns_unhealthy",
]
