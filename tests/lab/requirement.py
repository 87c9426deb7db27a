"""What a machine must have before the lab can run on it."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.lab.place import HOME

PACKAGES = ("lxc", "mmdebstrap", "iproute2", "util-linux", "curl", "debian-archive-keyring")
PROGRAMS = ("lxc-start", "mmdebstrap", "ip", "nsenter", "unshare", "mount", "cp", "curl")


def list_missing() -> tuple[str, ...]:
    """One sentence for each thing that is missing; empty if the lab can run here."""
    if os.geteuid() != 0:
        return ("the lab needs root: containers, mounts and a network namespace are made",)
    programs = [name for name in PROGRAMS if shutil.which(name) is None]
    found = [f"program {name} is missing: apt-get install {' '.join(PACKAGES)}" for name in programs]
    if "cgroup2" not in Path("/proc/filesystems").read_text():
        found.append("the kernel has no cgroup2")
    if not Path("/sys/fs/cgroup").is_mount():
        found.append("nothing is mounted at /sys/fs/cgroup")
    if not found and not _may_isolate():
        found.append("this root may not make namespaces or mount sysfs (an unprivileged or restricted container?)")
    if not found and not _may_overlay():
        found.append(f"the file system of {HOME} cannot carry an overlay (another overlay? put the checkout elsewhere)")
    return tuple(found)


def _may_isolate() -> bool:
    tried = ("unshare", "--net", "--mount", "--pid", "--fork", "mount", "-t", "sysfs", "sysfs", "/sys")
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


def _may_overlay() -> bool:
    HOME.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".overlay-", dir=HOME) as place:
        layers = {name: Path(place, name) for name in ("lower", "upper", "work", "all")}
        for layer in layers.values():
            layer.mkdir()
        options = "lowerdir={lower},upperdir={upper},workdir={work}".format(**layers)
        tried = ("unshare", "--mount", "mount", "-t", "overlay", "-o", options, "overlay", layers["all"])
        return subprocess.run(tried, capture_output=True, check=False).returncode == 0
