"""A booted machine with units of ours; some are called by notes, which are left there as the guest hook does."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

from tests.lab.condition import until
from tests.lab.image import Debian, TemplateVersion, install_root
from tests.lab.lab import Lab
from tests.stand_in.backend import GuestSpec

DEBIAN = Path(__file__).parents[2] / "debian"
SPOOL = "/var/spool/zlh-hooks"
_NUMBER = count(1)


class BootedNode:
    """``bake`` puts into its root what the package brings."""

    def __init__(self, lab: Lab, vmid: int, bake: Callable[[Path], None]) -> None:
        self.lab, self.vmid = lab, vmid
        volume = lab.volumes.allocate("local", self.vmid, 2**30)
        install_root(lab.volumes, volume, TemplateVersion("1", Debian.TRIXIE), 0, bake)
        config = {"rootfs": f"{volume},size=1G", "unprivileged": "0", "hostname": "node"}
        lab.containers.start(GuestSpec(self.vmid, "pve1", config))
        until(lambda: self.run("systemctl is-system-running --wait || true") == "running\n", 60, "running systemd")

    def run(self, script: str) -> str:
        """What root's shell prints there."""
        return self.lab.run_inside(self.vmid, "sh", "-euc", script)

    def read_lines(self, path: str) -> list[str]:
        """None if the file is not there."""
        return self.run(f"cat {path} 2>/dev/null || true").splitlines()

    def state(self, unit: str) -> str:
        """As systemd calls it."""
        return self.run(f"systemctl is-active {unit} || true").strip()


class NotingNode(BootedNode):
    """With the notes' folder, which ``bake`` has made."""

    def __init__(self, lab: Lab, vmid: int, bake: Callable[[Path], None]) -> None:
        super().__init__(lab, vmid, bake)
        self.run(f"chmod 700 {SPOOL}")

    def leave_note(self) -> str:
        """Its name."""
        name = f"20261127t024935.{next(_NUMBER):06d}z-5012-post-stop-1.json"
        self.run(f"ln -s {name} {SPOOL}/{name}")
        return name
