"""While a guest's turn has to wait its new root is pending: the customer's own restart brings it, and it is proved."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.condition import until
from tests.lab.datacentre import PVE1, PVE2, Datacentre, GuestPlan, open_datacentre
from tests.lab.hooked import Hooks, hooked
from tests.lab.lab import Lab
from tests.lab.rollout_bench import Operator
from tests.platform.site import kill_workers

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]
CANARY, LATER = 5001, 5004
GUESTS = (GuestPlan(CANARY, PVE1), GuestPlan(LATER, PVE2))
JOBS, BETWEEN_SECONDS = 40, 30
"""Backups are due one after another, so that at no moment a guest would be done before the next one."""


class Site(Operator):
    """``hooks``: what the guest hook is told meanwhile."""

    def __init__(self, datacentre: Datacentre, hooks: Hooks, directory: Path) -> None:
        super().__init__(datacentre, directory)
        self.hooks = hooks
        due = (int(time.time()) + number * BETWEEN_SECONDS for number in range(JOBS))
        common = {"type": "vzdump", "enabled": 1, "schedule": "daily", "all": 1}
        datacentre.pve.backup_jobs = [common | {"id": f"at-{at}", "next-run": at} for at in due]

    def wait_for_pending(self, vmid: int) -> None:
        until(lambda: self.is_pending(vmid), 120, f"root that waits on {vmid}")

    def is_pending(self, vmid: int) -> bool:
        return "rootfs" in self.datacentre.pve.ct(vmid).pending

    def order(self, verb: str) -> None:
        """Of the latest rollout."""
        ordered = self.type("rollout", verb)
        assert ordered.returncode == 0, ordered.stderr

    def restart_in_the_panel(self, vmid: int) -> None:
        node = self.datacentre.pve.ct(vmid).node
        self.datacentre.wait_task(node, self.datacentre.api.nodes(node).lxc(vmid).status.reboot.post(timeout=30))

    def restart_inside(self, vmid: int) -> None:
        self.datacentre.lab.run_inside(vmid, "systemctl", "reboot", "--no-block")

    def count_reboots(self) -> "list[int]":
        """By the API, of each guest; the customer's own from the panel too."""
        return [self.datacentre.pve.counts[("reboot", plan.vmid)] for plan in GUESTS]

    def init(self, vmid: int) -> int:
        return self.datacentre.lab.containers.init_pid(vmid)

    def list_guests(self, kind: str, name: str) -> "list[int]":
        """Of which guests the ledger has such an entry, in order."""
        found = [entry for entry in self.datacentre.read_ledger() if (entry["kind"], entry["name"]) == (kind, name)]
        return [entry["target"] for entry in found]


@pytest.fixture(scope="module")
def site(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_datacentre(lab, guests=GUESTS) as datacentre, hooked(datacentre) as hooks:
        opened = Site(datacentre, hooks, tmp_path_factory.mktemp("site"))
        yield opened
        kill_workers(datacentre.settings)
        opened.client.close()
        assert datacentre.pve.foreign == []


def test_a_pause_withdraws_the_pending_root_and_puts_it_again_when_the_rollout_goes_on(site: Site) -> None:
    site.start("2")
    site.wait_for_pending(CANARY)
    site.order("pause")
    until(lambda: not site.is_pending(CANARY), 60, "withdrawal")
    site.wait_for(lambda: site.states()[CANARY] == "STAGED", "record of the withdrawal")
    site.order("resume")
    site.wait_for_pending(CANARY)
    assert site.list_guests("event", "withdrawn") == [CANARY]
    assert (site.versions()[CANARY], site.count_reboots()) == ("1", [0, 0])


def test_a_customers_restart_brings_the_new_root_while_a_backup_is_waited_for_and_it_is_proved(site: Site) -> None:
    for vmid, restart, noted in (
        (CANARY, site.restart_in_the_panel, ["pre-stop", "post-stop", "pre-start", "post-start"]),
        (LATER, site.restart_inside, []),
    ):
        site.wait_for_pending(vmid)
        assert site.versions()[vmid] == "1"
        site.hooks.take_phases(vmid)
        restart(vmid)
        site.wait_for(lambda vmid=vmid: site.states()[vmid] == "HEALTHY", f"proof of {vmid}")
        assert site.hooks.take_phases(vmid) == noted
    assert site.versions() == {CANARY: "2", LATER: "2"}
    assert site.list_guests("event", "proved") == [CANARY, LATER]
    assert site.list_guests("requested", "exchange.restart") == []
    assert site.count_reboots() == [1, 0], "the customer's, and none of ours"
    site.assert_customers_lost_nothing()


def test_a_bad_root_that_comes_so_goes_back_by_itself_with_all_data_and_no_other_guest_is_touched(site: Site) -> None:
    site.wait_for(lambda: site.status()["state"] == "SUCCEEDED", "end of the rollout before")
    other = site.init(LATER)
    site.start("3")
    site.wait_for_pending(CANARY)
    site.restart_inside(CANARY)
    site.wait_for(lambda: site.status()["state"] == "REVERTED", "end of the rollout")
    assert site.list_guests("event", "revert_proved") == [CANARY]
    assert site.versions() == {CANARY: "2", LATER: "2"}
    assert site.count_reboots() == [2, 0], "one more, which brought it back"
    assert (site.init(LATER), site.datacentre.pve.exchanges[LATER]) == (other, 1)
    site.assert_customers_lost_nothing()
