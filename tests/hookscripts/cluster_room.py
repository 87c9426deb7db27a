"""A node of a cluster in a mount namespace of its own, until standard input ends: ``python -m`` this, with its host's name.

``/etc/pve`` is this node's view of the cluster, ``/var/lib/vz`` its storage; those of other nodes lie below ``/srv/node``.
Proxmox's commands are :mod:`tests.hookscripts.proxmox_command`.
"""

import shlex
import shutil
import sys
from pathlib import Path

from tests.hookscripts.linux import leave_host, mount

REPOSITORY = Path(__file__).parents[2]
PACKAGED = Path("/usr/share/zlh-hooks/hookscripts/zlh-guest-hook")
OVERLAID = ("etc", "srv", "usr/sbin", "usr/share", "var/lib", "var/spool")


def make_room(host: str) -> None:
    """Fresh folders over this machine's; what is written there ends with the namespace."""
    leave_host(host)
    scratch = Path("/media")  # the checkout may lie anywhere else
    mount("tmpfs", scratch, options="mode=755")
    for name in OVERLAID:
        upper, work = scratch / "upper" / name, scratch / "work" / name
        upper.mkdir(parents=True)
        work.mkdir(parents=True)
        mount("overlay", Path("/") / name, options=f"lowerdir=/{name},upperdir={upper},workdir={work}")


def install_commands() -> None:
    """Proxmox's commands, and the packaged hook."""
    for name in ("pvesh", "pvesm"):
        command = Path("/usr/sbin") / name
        words = ["env", f"PYTHONPATH={REPOSITORY}", sys.executable, "-m", "tests.hookscripts.proxmox_command", name]
        command.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        command.chmod(0o755)
    PACKAGED.parent.mkdir(parents=True)
    for script in sorted((REPOSITORY / "hookscripts").iterdir()):
        shutil.copy(script, PACKAGED.parent)


if __name__ == "__main__":
    make_room(sys.argv[1])
    install_commands()
    print("ready", flush=True)
    sys.stdin.read()
