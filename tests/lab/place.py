"""Where a lab lives and what its things are called: enough to find all of them again after any crash."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
HOME = CHECKOUT / ".lab"


def cache_directory() -> Path:
    """Where built Debian roots are kept: ``ZLH_LAB_CACHE``, or ``.lab/cache`` in the checkout."""
    return Path(os.environ.get("ZLH_LAB_CACHE") or HOME / "cache")


def name_prefix(home: Path) -> str:
    """What every name of every lab under ``home`` begins with; another checkout's labs have another one."""
    return f"zlhlab-{hashlib.blake2s(str(home.resolve()).encode(), digest_size=3).hexdigest()}-"


@dataclass(frozen=True, slots=True)
class Place:
    """One lab's directory; all names follow from it. ``state`` need not exist."""

    state: Path

    @property
    def name(self) -> str:
        """Also the network namespace's name."""
        return name_prefix(self.state.parent) + self.state.name

    @property
    def namespace(self) -> Path:
        """The file by which the network namespace is entered."""
        return Path("/run/netns") / self.name

    @property
    def volumes(self) -> Path:
        """The storages' directory."""
        return self.state / "volumes"

    @property
    def lxc_path(self) -> Path:
        """LXC's directory of containers."""
        return self.state / "lxc"

    def guest_name(self, vmid: int) -> str:
        """The container's name for LXC, and in ``lxc.payload.NAME``."""
        return f"{self.name}-{vmid}"
