"""A controller with a real sshd on loopback, inside a node's namespace, whose files it may change as it likes."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hookscripts.cluster_node import ClusterNode
from tests.hookscripts.node import REPOSITORY

UNPACKED = REPOSITORY / ".lab/openssh-server"
SPLIT = {"SshdSessionPath": "sshd-session", "SshdAuthPath": "sshd-auth"}
"""Programs that OpenSSH from 9.8 and 10 on has beside it, and how it is told where."""
CONFIG = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
StrictModes no
LogLevel ERROR
"""


@dataclass
class Controller:
    """``folder``: its keys, settings and ledger. ``public``: its own key, as known_hosts wants it."""

    folder: Path
    port: int
    public: str


def find_server() -> Path:
    """sshd, or the one that workshop/packages.sh unpacked without installing its service."""
    found = shutil.which("sshd", path="/usr/sbin") or shutil.which(UNPACKED / "usr/sbin/sshd")
    if found is None:
        pytest.skip("needs sshd (Debian package openssh-server)")
    return Path(found)


def choose_port() -> int:
    """One that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def serve(node: ClusterNode, folder: Path, options: "list[str]") -> "Iterator[Controller]":
    """Whoever logs in as zlh-hooks can call ``zlh-hooks``, for the site of these options."""
    server, port = find_server(), choose_port()
    make_accounts(node, options)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "host_key")], check=True)
    (folder / "sshd_config").write_text(CONFIG.format(port=port, folder=folder) + find_split(server))
    public = " ".join((folder / "host_key.pub").read_text().split()[:2])
    command = node.enter(str(server), "-D", "-e", "-f", str(folder / "sshd_config"))
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        try:
            await_port(running, port)
            yield Controller(folder, port, public)
        finally:
            running.kill()


def make_accounts(node: ClusterNode, options: "list[str]") -> None:
    """zlh-hooks is another name of root's here, for the checkout may be root's alone."""
    users = node.path("/etc/passwd").read_text()
    node.write(
        "/etc/passwd", users + "zlh-hooks:*:0:0::/srv:/bin/sh\nsshd:*:64999:65534::/run/sshd:/usr/sbin/nologin\n"
    )
    words = " ".join(["exec", "env", f"PYTHONPATH={REPOSITORY}", sys.executable, "-m", "zlh_hooks", '"$@"', *options])
    node.write("/usr/sbin/zlh-hooks", f"#!/bin/sh\n{words}\n").chmod(0o755)
    node.run_command("mount", "-t", "tmpfs", "tmpfs", "/run")
    node.run_command("mkdir", "/run/sshd")


def find_split(server: Path) -> str:
    """Lines of its settings."""
    beside = server.parents[1] / "lib/openssh"
    return "".join(f"{key} {beside / name}\n" for key, name in SPLIT.items() if (beside / name).exists())


def await_port(running: "subprocess.Popen[str]", port: int) -> None:
    """Until it listens."""
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert running.poll() is None, running.stderr.read() if running.stderr else ""
