"""Guests are real: their own systemd, cgroup, root and data."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from tests.lab.client import Client, list_faults
from tests.lab.condition import read_agent, until
from tests.lab.guest.game import inventory
from tests.lab.image import FIRST_ID, Debian, Fault, TemplateVersion, install_root, write_fixed_files
from tests.lab.lab import Lab
from tests.lab.network import choose_address
from tests.stand_in.backend import GuestSpec

pytestmark = pytest.mark.lab
VMIDS = count(5001)


@pytest.fixture(autouse=True)
def _no_guest_stays(lab: Lab) -> Iterator[None]:
    lab.containers.listen(lambda _vmid, _reboot: None)
    yield
    lab.containers.close()


def make_root(lab: Lab, vmid: int, template: TemplateVersion, unprivileged: bool) -> str:
    volume = lab.volumes.allocate("local", vmid, 2**30)
    install_root(lab.volumes, volume, template, FIRST_ID if unprivileged else 0)
    return volume


def make_guest(lab: Lab, template: TemplateVersion, unprivileged: bool = True) -> GuestSpec:
    """A guest that can be started, with an empty data volume."""
    vmid = next(VMIDS)
    config = {
        "rootfs": f"{make_root(lab, vmid, template, unprivileged)},size=1G",
        "mp0": f"{lab.volumes.allocate('local', vmid, 2**28)},mp=/srv/game,size=256M",
        "net0": "name=eth0,bridge=vmbr0,ip=dhcp,type=veth",
        "unprivileged": "1" if unprivileged else "0",
        "hostname": f"game-{vmid}",
    }
    return GuestSpec(vmid, "pve1", config)


def wait_healthy(lab: Lab, guest: GuestSpec) -> dict[str, str]:
    address = str(choose_address(guest.vmid, guest.config["net0"]).ip)
    return until(lambda: _running(lab, address), 15, f"running game in {guest.vmid}")


def _running(lab: Lab, address: str) -> dict[str, str] | None:
    status = read_agent(lab, address)
    return status if status is not None and status["state"] == "running" else None


@pytest.mark.parametrize("unprivileged", [True, False], ids=["unprivileged", "privileged"])
@pytest.mark.parametrize("debian", list(Debian))
def test_a_guest_of_either_debian_is_healthy_within_five_seconds(lab: Lab, debian: Debian, unprivileged: bool) -> None:
    guest = make_guest(lab, TemplateVersion("7", debian), unprivileged)
    begun = time.monotonic()
    lab.containers.start(guest)
    assert wait_healthy(lab, guest) == {"state": "running", "template": "7", "version": "1.4.0"}
    assert time.monotonic() - begun < 5
    assert f"VERSION_CODENAME={debian}" in lab.run_inside(guest.vmid, "cat", "/etc/os-release")
    assert lab.run_inside(guest.vmid, "systemctl", "is-system-running", "--wait") == "running\n"


def test_a_guest_lives_in_a_cgroup_of_its_own_and_never_in_the_hosts(lab: Lab) -> None:
    guest = make_guest(lab, TemplateVersion("1"))
    lab.containers.start(guest)
    lines = Path(f"/proc/{lab.containers.init_pid(guest.vmid)}/cgroup").read_text().splitlines()
    paths = {line.split(":")[1]: line.split(":", 2)[2] for line in lines}
    scope = f"/lxc.payload.{lab.place.guest_name(guest.vmid)}"
    assert paths[""].split("/init.scope")[0] == scope
    mounted = [name for name in paths if name and Path("/sys/fs/cgroup", name.removeprefix("name=")).is_mount()]
    assert [name for name in mounted if paths[name] != scope] == []


def test_an_unprivileged_guests_root_is_nobody_on_the_host(lab: Lab) -> None:
    guest = make_guest(lab, TemplateVersion("1"))
    lab.containers.start(guest)
    wait_healthy(lab, guest)
    assert Path(f"/proc/{lab.containers.init_pid(guest.vmid)}").stat().st_uid == FIRST_ID
    assert (data_path(lab, guest) / "records").stat().st_uid == FIRST_ID
    assert lab.run_inside(guest.vmid, "stat", "-c", "%u", "/srv/game/records") == "0\n"


def test_the_guest_itself_reports_the_address_that_its_config_gives_it(lab: Lab) -> None:
    guest = make_guest(lab, TemplateVersion("1"))
    net = "name=eth0,bridge=vmbr0,ip=10.99.200.7/16,gw=10.99.0.1,hwaddr=BC:24:11:00:00:07,type=veth"
    lab.containers.start(replace(guest, config={**guest.config, "net0": net}))
    assert lab.containers.address(guest.vmid) == "10.99.200.7"
    assert until(lambda: read_agent(lab, "10.99.200.7", "/health"), 15, "health")["status"] == "ok"


def data_path(lab: Lab, guest: GuestSpec) -> Path:
    return lab.volumes.path(guest.config["mp0"].partition(",")[0])


def test_acknowledged_records_survive_a_power_off_and_a_hard_stop(lab: Lab, tmp_path: Path) -> None:
    guest = make_guest(lab, TemplateVersion("1"))
    lab.containers.start(guest)
    address = str(choose_address(guest.vmid, guest.config["net0"]).ip)
    client = Client(lab.command(), {guest.vmid: address}, tmp_path)
    until(lambda: acknowledged(client, guest) > 20, 15, "records")
    assert lab.containers.shutdown(guest.vmid, 20)
    lab.containers.start(guest)
    until(lambda: len(client.read()[guest.vmid].outages) == 1, 15, "answers after the power-off")
    lab.containers.stop(guest.vmid)
    lab.containers.start(guest)
    until(lambda: len(client.read()[guest.vmid].outages) == 2, 15, "answers after the hard stop")
    stood = acknowledged(client, guest)
    until(lambda: acknowledged(client, guest) > stood, 15, "more records")
    seen = client.close()[guest.vmid]
    assert list_faults(seen, inventory(data_path(lab, guest)), {}) == []
    assert 0.2 < seen.downtime_seconds < 10


def acknowledged(client: Client, guest: GuestSpec) -> int:
    return client.read()[guest.vmid].acknowledged if client.result.exists() else 0


def test_the_client_notices_records_that_travelled_back_in_time(lab: Lab, tmp_path: Path) -> None:
    guest = make_guest(lab, TemplateVersion("1"))
    lab.containers.start(guest)
    client = Client(lab.command(), {guest.vmid: str(choose_address(guest.vmid, "").ip)}, tmp_path)
    until(lambda: acknowledged(client, guest) > 10, 15, "records")
    lab.containers.stop(guest.vmid)
    (data_path(lab, guest) / "records").unlink()
    lab.containers.start(guest)
    until(lambda: client.read()[guest.vmid].rewound, 15, "rewound records noticed")
    assert list_faults(client.close()[guest.vmid], inventory(data_path(lab, guest)), {"map": "0"})


def test_the_game_says_inside_what_lies_on_its_volume_outside(lab: Lab) -> None:
    guest = make_guest(lab, TemplateVersion("1"))
    fixed = write_fixed_files(data_path(lab, guest), FIRST_ID, seed=1)
    lab.containers.start(guest)
    wait_healthy(lab, guest)
    asked = lab.run_inside(guest.vmid, "python3", "-c", _ASK_INVENTORY)
    assert json.loads(asked) == inventory(data_path(lab, guest))
    assert json.loads(asked)["fixed"] == fixed


_ASK_INVENTORY = (
    "import socket; game = socket.create_connection(('127.0.0.1', 25577)); "
    "game.sendall(b'inventory\\n'); print(game.makefile().readline())"
)


def test_a_reboot_from_inside_brings_the_root_that_the_config_names_by_then(lab: Lab) -> None:
    guest = make_guest(lab, TemplateVersion("1", Debian.BOOKWORM))
    pending = make_root(lab, guest.vmid, TemplateVersion("2", Debian.TRIXIE), unprivileged=True)
    told: list[tuple[int, bool]] = []

    def answer(vmid: int, reboot: bool) -> GuestSpec:
        told.append((vmid, reboot))
        return replace(guest, config={**guest.config, "rootfs": f"{pending},size=1G"})

    lab.containers.listen(answer)
    lab.containers.start(guest)
    assert wait_healthy(lab, guest)["template"] == "1"
    lab.run_inside(guest.vmid, "systemctl", "reboot", "--no-block")
    until(lambda: told, 15, "reboot")
    assert wait_healthy(lab, guest)["template"] == "2"
    assert told == [(guest.vmid, True)]


def test_a_power_off_from_inside_leaves_the_guest_stopped(lab: Lab) -> None:
    guest = make_guest(lab, TemplateVersion("1"))
    told: list[bool] = []
    lab.containers.listen(lambda _vmid, reboot: told.append(reboot))
    lab.containers.start(guest)
    wait_healthy(lab, guest)
    lab.run_inside(guest.vmid, "systemctl", "poweroff", "--no-block")
    assert until(lambda: told, 15, "power-off") == [False]
    assert not lab.containers.is_running(guest.vmid)
    assert lab.containers.uptime(guest.vmid) == 0


def test_an_agent_of_a_bad_version_turns_unhealthy_while_the_game_runs_on(lab: Lab) -> None:
    guest = make_guest(lab, TemplateVersion("3", Debian.TRIXIE, Fault.AGENT_TURNS_UNHEALTHY))
    lab.containers.start(guest)
    address = str(choose_address(guest.vmid, "").ip)
    until(lambda: read_agent(lab, address, "/health"), 15, "health at first")
    until(lambda: read_agent(lab, address, "/health") is None, 15, "illness")
    assert read_agent(lab, address) == {"state": "running", "template": "3", "version": "1.4.0"}


def test_an_init_that_exits_starts_well_and_is_gone_a_moment_later(lab: Lab) -> None:
    guest = make_guest(lab, TemplateVersion("4", Debian.TRIXIE, Fault.INIT_EXITS))
    lab.containers.start(guest)
    until(lambda: not lab.containers.is_running(guest.vmid), 15, "end")


def test_a_missing_root_volume_is_a_failed_start(lab: Lab) -> None:
    guest = make_guest(lab, TemplateVersion("1"))
    lab.volumes.free(guest.config["rootfs"].partition(",")[0])
    with pytest.raises(FileNotFoundError):
        lab.containers.start(guest)
