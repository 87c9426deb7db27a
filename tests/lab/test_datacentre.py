"""The whole: real guests behind the API, exchanged by the steps that were observed on Proxmox's own code."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from proxmoxer import ResourceException

from tests.lab.client import Client, Seen, list_faults
from tests.lab.condition import until
from tests.lab.datacentre import GUESTS, PVE1, PVE2, Datacentre, GuestPlan, open_datacentre
from tests.lab.lab import Lab
from zlh_hooks.domain.guest import parse_mount
from zlh_hooks.settings import load_settings, read_token

pytestmark = pytest.mark.lab
SCRATCH = 890000


@pytest.fixture(scope="module")
def datacentre(lab: Lab) -> Iterator[Datacentre]:
    with open_datacentre(lab) as opened:
        yield opened
        assert opened.pve.foreign == []


@pytest.fixture
def client(datacentre: Datacentre, tmp_path: Path) -> Iterator[Client]:
    opened = datacentre.client(tmp_path)
    until(lambda: len(opened.read()) == 5 and all(seen.acknowledged for seen in opened.read().values()), 20, "records")
    yield opened
    for vmid, seen in opened.close().items():
        assert list_faults(seen, datacentre.read_inventory(vmid), datacentre.fixed[vmid]) == []


class Exchange:
    """The steps of an exchange for one guest, as requests."""

    def __init__(self, datacentre: Datacentre, plan: GuestPlan) -> None:
        self.datacentre, self.plan = datacentre, plan
        self.node = datacentre.api.nodes(plan.node.name)
        self.guest = self.node.lxc(plan.vmid)

    def stage(self, position: int) -> str:
        """The root of the line's version at this position becomes the guest's ``unused0``; returns its volume."""
        source, scratch = self.node.lxc(self.plan.node.template_vmid(position)), self.node.lxc(SCRATCH)
        self._wait(source.clone.post(newid=SCRATCH, full=1, storage="local"))
        scratch.config.put(mp0="local:0.05,mp=/zlh-filler")
        config = scratch.config.get()
        root, filler = (parse_mount(key, config[key]).volume for key in ("rootfs", "mp0"))
        scratch.config.put(rootfs=f"{filler},size=51M", mp0=f"{root},mp=/zlh-os", digest=config["digest"])
        digests = {"digest": scratch.config.get()["digest"], "target-digest": self.guest.config.get()["digest"]}
        order = {"volume": "mp0", "target-vmid": self.plan.vmid, "target-volume": "unused0", **digests}
        self._wait(scratch.move_volume.post(**order))
        self._wait(scratch.delete())
        return str(self.guest.config.get()["unused0"])

    def swap(self) -> None:
        """Root and ``unused0`` change places: one write."""
        config: dict[str, Any] = self.guest.config.get()
        root = parse_mount("rootfs", config["rootfs"])
        self.guest.config.put(
            rootfs=root.holding(config["unused0"], "1G").render(), unused0=root.volume, digest=config["digest"]
        )

    def reboot(self) -> None:
        self._wait(self.guest.status.reboot.post(timeout=30))

    def settle(self) -> None:
        self.guest.config.put(delete="unused0")

    def _wait(self, upid: str) -> None:
        self.datacentre.wait_task(self.plan.node.name, upid)


def outage_ends(client: Client, vmid: int, count: int) -> Seen:
    until(lambda: len(client.read()[vmid].outages) >= count, 20, f"outage {count} of {vmid}")
    return client.read()[vmid]


def test_six_guests_of_the_first_version_stand_with_their_data(datacentre: Datacentre) -> None:
    assert {plan.vmid: datacentre.read_version(plan.vmid) for plan in GUESTS} == dict.fromkeys(range(5001, 5007), "1")
    running = [plan.vmid for plan in GUESTS if datacentre.lab.containers.is_running(plan.vmid)]
    assert running == [5001, 5002, 5004, 5005, 5006]
    assert sum(plan.node is PVE1 for plan in GUESTS) >= 2
    assert datacentre.config(5001)["unprivileged"] == "1"
    assert "unprivileged" not in datacentre.config(5004)
    assert "mp0" not in datacentre.config(5006)


@pytest.mark.parametrize("plan", [GUESTS[0], GUESTS[3]], ids=["unprivileged", "privileged"])
def test_an_exchange_and_its_way_back_keep_every_record_and_cost_one_restart_each(
    datacentre: Datacentre, client: Client, plan: GuestPlan
) -> None:
    volumes, exchange = datacentre.list_volumes(), Exchange(datacentre, plan)
    new = exchange.stage(1)
    assert [volume for volume in datacentre.list_volumes() if volume not in volumes] == [new]
    exchange.swap()
    assert datacentre.read_version(plan.vmid) == "1"
    assert client.read()[plan.vmid].outages == []
    exchange.reboot()
    assert outage_ends(client, plan.vmid, 1).downtime_seconds < 5
    assert datacentre.read_version(plan.vmid) == "2"
    exchange.swap()
    exchange.reboot()
    assert len(outage_ends(client, plan.vmid, 2).outages) == 2
    assert datacentre.read_version(plan.vmid) == "1"
    exchange.settle()
    assert datacentre.list_volumes() == volumes


def test_a_customers_own_reboot_brings_the_pending_root(datacentre: Datacentre, client: Client) -> None:
    exchange = Exchange(datacentre, GUESTS[1])
    exchange.stage(1)
    exchange.swap()
    datacentre.lab.run_inside(5002, "systemctl", "reboot", "--no-block")
    outage_ends(client, 5002, 1)
    assert datacentre.read_version(5002) == "2"
    assert exchange.guest.status.current.get()["uptime"] < 20
    assert [item for item in exchange.guest.pending.get() if "pending" in item] == []
    exchange.settle()


def test_a_stopped_guest_is_exchanged_at_once_and_stays_stopped(datacentre: Datacentre) -> None:
    exchange = Exchange(datacentre, GUESTS[2])
    exchange.stage(1)
    exchange.swap()
    assert datacentre.read_version(5003) == "2"
    assert not datacentre.lab.containers.is_running(5003)
    exchange.settle()


def test_a_guest_in_backup_refuses_writes_and_its_game_runs_on(datacentre: Datacentre, client: Client) -> None:
    guest = datacentre.api.nodes("pve2").lxc(5005)
    datacentre.backup(5005, 1.5)
    with pytest.raises(ResourceException, match=r"CT is locked \(backup\)"):
        guest.config.put(description="changed")
    until(lambda: "lock" not in guest.config.get(), 10, "end of the backup")
    guest.config.put(description="changed")
    assert client.read()[5005].outages == []


def test_the_settings_file_leads_the_product_to_the_api_with_a_secret_token(datacentre: Datacentre) -> None:
    settings = load_settings(datacentre.settings)
    assert (settings.proxmox.host, settings.proxmox.port) == ("10.99.0.1", 8006)
    assert read_token(settings) == datacentre.serving.token
    assert (datacentre.lab.place.state / "token").stat().st_mode & 0o077 == 0


def test_templates_of_a_node_agree_with_its_guests_about_privileges(datacentre: Datacentre) -> None:
    for node in (PVE1, PVE2):
        shown = [datacentre.config(node.template_vmid(position)) for position in range(3)]
        assert [config["template"] for config in shown] == ["1", "1", "1"]
        assert {config.get("unprivileged", "0") for config in shown} == {"1" if node.unprivileged else "0"}
        assert all("/base-" in config["rootfs"] for config in shown)
