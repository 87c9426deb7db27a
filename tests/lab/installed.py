"""A Debian 13 machine of its own beside the lab's guests: booted, with systemd, on which the packages are installed."""

import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.lab.condition import until
from tests.lab.datacentre import Datacentre
from tests.lab.image import mask_units
from tests.stand_in.backend import GuestSpec
from tests.stand_in.serving import TOKEN_NAME, USER

VMID = 5901
FOLDER = "mnt"
"""Where the packages lie in it; what looks for remains of ours passes this by."""
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


def repack(package: Path, version: str, target: Path) -> Path:
    """The same package under another version, as if built before."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg-deb", "--raw-extract", package, f"{folder}/root"], check=True)
        control = Path(folder, "root/DEBIAN/control")
        control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", control.read_text()))
        built = target / f"{package.name.partition('_')[0]}_{version}_all.deb"
        subprocess.run(["dpkg-deb", "--build", f"{folder}/root", built], check=True, capture_output=True)
    return built


class Machine:
    """The controller: reaches the datacentre's API and its guests over the lab's bridge, and nothing else.

    ``root`` is a Debian 13 tree that has what the packages need, and is not written to.
    """

    def __init__(self, datacentre: Datacentre, root: Path) -> None:
        self.lab, self.datacentre = datacentre.lab, datacentre
        volume = self.lab.volumes.allocate("local", VMID, 2**30)
        self.lab.volumes.lay_over(volume, root)
        mask_units(self.lab.volumes.path(volume))
        self._spec = GuestSpec(VMID, "pve1", {"rootfs": f"{volume},size=1G", "hostname": "controller", "net0": _NET})

    def boot(self) -> None:
        """Until all units have started that shall."""
        self.lab.containers.start(self._spec)
        up = ("running\n", "degraded\n")
        until(lambda: self.run("systemctl is-system-running --wait || true") in up, 60, "end of the boot")
        assert self.run("systemctl --failed --plain --no-legend") == ""

    def cut_power(self) -> None:
        """Nothing on it has time for anything; what it wrote before is kept, synchronised or not."""
        self.lab.containers.stop(VMID)

    def run(self, script: str) -> str:
        """As root; RuntimeError if a command of it fails."""
        return self.lab.run_inside(VMID, "env", "-i", *_VARIABLES, "sh", "-euc", script)

    def type(self, words: str) -> str:
        """A ``zlh-hooks`` command, as the user of the worker."""
        return self.run(f"runuser -u zlh-hooks -- zlh-hooks {words}")

    def ask(self, words: str) -> Any:
        """What it answers to programs."""
        return json.loads(self.type(f"{words} --json"))

    def install(self, *packages: Path) -> None:
        """By apt, from files, without any archive."""
        for package in packages:
            self._path(f"{FOLDER}/{package.name}").write_bytes(package.read_bytes())
        self.run("rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*")
        self.run(f"cd /{FOLDER} && apt-get install --yes --quiet {' '.join(f'./{one.name}' for one in packages)}")

    def configure(self, policy: str) -> None:
        """As an operator does, with the datacentre's token."""
        serving = self.datacentre.serving
        names = {"host": serving.pve.host, "port": serving.pve.port, "user": USER, "token_name": TOKEN_NAME}
        self.write("zlh-hooks.toml", _SETTINGS.format(**names))
        self.write("token", serving.token + "\n")
        self.write("ca.pem", serving.ca_file.read_text())
        self.write("policy.toml", policy)

    def write(self, name: str, text: str) -> None:
        """A file of the settings, as root's umask makes it."""
        self.run(f"umask 027; : >/etc/zlh-hooks/{name}")
        self._path(f"etc/zlh-hooks/{name}").write_text(text)

    def _path(self, name: str) -> Path:
        return Path(f"/proc/{self.lab.containers.init_pid(VMID)}/root/{name}")

    def state(self, unit: str) -> str:
        """As systemd calls it, e.g. ``active``."""
        return self.run(f"systemctl is-active {unit} || true").strip()

    def worker(self) -> int:
        """The worker's process as the machine numbers it; 0 without one."""
        return int(self.run("systemctl show --property MainPID --value zlh-hooks-worker"))

    def holds_lease(self) -> bool:
        """Whether a worker is at work, or was a moment ago."""
        return (
            re.search(r"^zlh_hooks_worker_lease_expiry_timestamp_seconds [0-9]", self.type("metrics"), re.M) is not None
        )
