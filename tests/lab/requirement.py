"""What a machine must have before the lab can run on it."""

import os
import shutil
import subprocess
from pathlib import Path

PACKAGES = ("lxc", "mmdebstrap", "iproute2", "uidmap", "util-linux", "tar", "debian-archive-keyring")
PROGRAMS = ("lxc-start", "mmdebstrap", "ip", "nsenter", "unshare", "mount", "tar", "cp")


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
    return tuple(found)


def _may_isolate() -> bool:
    tried = ("unshare", "--net", "--mount", "--pid", "--fork", "mount", "-t", "sysfs", "sysfs", "/sys")
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0
