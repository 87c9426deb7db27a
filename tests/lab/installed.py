"""Debian machines of their own beside the lab's guests: booted, with systemd, on which the packages are installed."""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.dead_man_bench import Duty, on_duty
from tests.lab.condition import until
from tests.lab.datacentre import Datacentre
from tests.lab.image import mask_units, shift_owners
from tests.lab.lab import Lab
from tests.lab.network import choose_address, inside_namespace
from tests.lab.place import CHECKOUT
from tests.stand_in.backend import GuestSpec
from tests.stand_in.serving import TOKEN_NAME, USER

_CONTROLLER = 5901
FOLDER = "mnt"
"""Where the packages lie in it; what looks for remains of ours passes this by."""
_EARLIER = "0.0.1~before"
_REMAINS = (CHECKOUT / "debian/tests/rule.sh").read_text() + "left_nothing"
_VARIABLES = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive")
_NET = "name=eth0,bridge=vmbr0,ip=dhcp,type=veth"
_SETTINGS = """\
[proxmox]
host = "{host}"
port = {port}
user = "{user}"
token_name = "{token_name}"
token_file = "/etc/zlh-hooks/token"
ca_file = "/etc/zlh-hooks/ca.pem"
"""


def find_packages(folder: Path, *names: str) -> list[Path]:
    """The build that is tested, of these packages."""
    return [next(folder.glob(f"{name}_*.deb")) for name in names]


def make_earlier(folder: Path, target: Path, *names: str) -> list[Path]:
    """What is upgraded from: an earlier build, or where there is none the same, under an earlier version."""
    before = folder / "before"
    return [repack(package, target) for package in find_packages(before if before.exists() else folder, *names)]


def repack(package: Path, target: Path) -> Path:
    """The same package under an earlier version."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg-deb", "--raw-extract", package, f"{folder}/root"], check=True)
        control = Path(folder, "root/DEBIAN/control")
        control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {_EARLIER}", control.read_text()))
        built = target / f"{package.name.partition('_')[0]}_{_EARLIER}_all.deb"
        subprocess.run(["dpkg-deb", "--build", f"{folder}/root", built], check=True, capture_output=True)
    return built


class Machine:
    """One that packages are installed on; it reaches the lab's bridge, and nothing else.

    ``root`` is a Debian tree that has what the packages need, and is not written to. ``first_id``: who owns its files
    here, if the machine is an unprivileged guest.
    """

    def __init__(self, lab: Lab, root: Path, vmid: int, name: str, first_id: int = 0) -> None:
        self.lab, self.vmid = lab, vmid
        self.address = str(choose_address(vmid, _NET).ip)
        volume = lab.volumes.allocate("local", vmid, 2**30)
        lab.volumes.lay_over(volume, root)
        mask_units(lab.volumes.path(volume))
        (lab.volumes.path(volume) / "etc/hostname").write_text(f"{name}\n")
        shift_owners(lab.volumes.path(volume), first_id)
        config = {"rootfs": f"{volume},size=1G", "hostname": name, "net0": _NET}
        self._spec = GuestSpec(vmid, "pve1", {**config, "unprivileged": str(int(first_id > 0))})

    def boot(self) -> None:
        """Until all units have started that shall."""
        self.lab.containers.start(self._spec)
        up = ("running\n", "degraded\n")
        until(lambda: self.run("systemctl is-system-running --wait || true") in up, 60, "end of the boot")
        assert self.list_failed() == ""

    def cut_power(self) -> None:
        """Nothing on it has time for anything; what it wrote before is kept, synchronised or not."""
        self.lab.containers.stop(self.vmid)

    def run(self, script: str) -> str:
        """As root; RuntimeError if a command of it fails."""
        return self.lab.run_inside(self.vmid, "env", "-i", *_VARIABLES, "sh", "-euc", script)

    def install(self, *packages: Path) -> None:
        """By apt, from files, without any archive."""
        for package in packages:
            self.put(f"{FOLDER}/{package.name}", package.read_bytes())
        self.run("rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*")
        self.run(f"cd /{FOLDER} && apt-get install --yes --quiet {' '.join(f'./{one.name}' for one in packages)}")

    def put(self, name: str, content: bytes) -> None:
        """A file, with the permissions that it has; one that is new is root's, and all may read it."""
        self.run(f"[ -e /{name} ] || (umask 022; : >/{name})")
        Path(f"/proc/{self.init_pid}/root/{name}").write_bytes(content)

    @property
    def init_pid(self) -> int:
        """As this machine numbers it."""
        return self.lab.containers.init_pid(self.vmid)

    def state(self, unit: str) -> str:
        """As systemd calls it, e.g. ``active``."""
        return self.run(f"systemctl is-active {unit} || true").strip()

    def list_failed(self) -> str:
        """Units, one a line."""
        return self.run("systemctl --failed --plain --no-legend")

    def list_remains(self) -> str:
        """What a purge should have taken: files by the packages' own test, and units of ours."""
        return self.run(f"{_REMAINS}; systemctl list-units --all --plain --no-legend 'zlh*'").strip()


class Controller(Machine):
    """The machine whose worker has the datacentre's token."""

    def __init__(self, datacentre: Datacentre, root: Path) -> None:
        super().__init__(datacentre.lab, root, _CONTROLLER, "controller")
        self.datacentre = datacentre

    def type(self, words: str) -> str:
        """A ``zlh-hooks`` command, as the user of the worker."""
        return self.run(f"runuser -u zlh-hooks -- zlh-hooks {words}")

    def ask(self, words: str) -> Any:
        """What it answers to programs."""
        return json.loads(self.type(f"{words} --json"))

    def configure(self, policy: str, more: str) -> None:
        """As an operator does, with the datacentre's token and ``more`` settings."""
        serving = self.datacentre.serving
        names = {"host": serving.pve.host, "port": serving.pve.port, "user": USER, "token_name": TOKEN_NAME}
        self.write("zlh-hooks.toml", _SETTINGS.format(**names) + more)
        self.write("token", serving.token + "\n")
        self.write("ca.pem", serving.ca_file.read_text())
        self.write("policy.toml", policy)

    def write(self, name: str, text: str) -> None:
        """A file of the settings, as root's umask makes it."""
        self.run(f"umask 027; : >/etc/zlh-hooks/{name}")
        self.put(f"etc/zlh-hooks/{name}", text.encode())

    @contextmanager
    def on_duty(self, folder: Path) -> Iterator[Duty]:
        """People whom it reaches on its own loopback, for as long as it runs; the settings' files are in place."""
        with ExitStack() as stack:
            with inside_namespace(Path(f"/proc/{self.init_pid}/ns/net")):
                duty = stack.enter_context(on_duty(folder))
            for name in ("alarm-url", "heartbeat-url"):
                self.write(name, (folder / name).read_text())
            yield duty

    def worker(self) -> int:
        """The worker's process as the machine numbers it; 0 without one."""
        return int(self.run("systemctl show --property MainPID --value zlh-hooks-worker"))

    def holds_lease(self) -> bool:
        """Whether a worker is at work, or was a moment ago."""
        return (
            re.search(r"^zlh_hooks_worker_lease_expiry_timestamp_seconds [0-9]", self.type("metrics"), re.M) is not None
        )
