"""The lab's network: one namespace of its own with a bridge, and an address for each guest."""

import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import TextIO

from tests.lab.place import Place

BRIDGE = "vmbr0"
_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
HOST = IPv4Interface("10.99.0.1/16")


def make_namespace(place: Place) -> None:
    """Make the namespace with its bridge; the machine itself is ``10.99.0.1`` in it."""
    _run("ip", "netns", "add", place.name)
    inside = ("ip", "-n", place.name)
    _run(*inside, "link", "set", "lo", "up")
    _run(*inside, "link", "add", BRIDGE, "type", "bridge", "stp_state", "0", "forward_delay", "0")
    _run(*inside, "address", "add", str(HOST), "dev", BRIDGE)
    _run(*inside, "link", "set", BRIDGE, "up")
    # An outside client must see a guest come back at once, not at the next of the kernel's one-second ARP attempts.
    _run(*enter_command(place), "sh", "-c", f"echo 10 >/proc/sys/net/ipv4/neigh/{BRIDGE}/retrans_time_ms")


@contextmanager
def inside(place: Place) -> Iterator[None]:
    """Let this thread, and every thread and process it starts meanwhile, live in the lab's network."""
    with inside_namespace(place.namespace):
        yield


@contextmanager
def inside_namespace(namespace: Path) -> Iterator[None]:
    """The same with any network: a guest's, whose loopback then is this thread's."""
    with Path("/proc/thread-self/ns/net").open() as before:
        _set_network(namespace)
        try:
            yield
        finally:
            _set_network(before)


def _set_network(namespace: Path | TextIO) -> None:
    # os.setns came with Python 3.12 only.
    with namespace.open() if isinstance(namespace, Path) else nullcontext(namespace) as file:
        if _LIBC.setns(file.fileno(), _CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(namespace))


def veth_prefix(place: Place) -> str:
    """What the names of guests' interfaces in the bridge begin with: at most 15 characters with a VMID behind it."""
    return f"zl{place.name.split('-')[1]}-"


def enter_command(place: Place) -> tuple[str, ...]:
    """What to put before a command so that it runs in the lab's network."""
    return ("nsenter", f"--net={place.namespace}", "--")


def choose_address(vmid: int, net: str) -> IPv4Interface:
    """The guest's address: a static ``ip=`` of its ``net0``, or for ``dhcp`` one that follows from its VMID."""
    options = dict(part.partition("=")[::2] for part in net.split(","))
    if options.get("ip", "dhcp") not in ("dhcp", "manual"):
        return IPv4Interface(options["ip"])
    return IPv4Interface((IPv4Address("10.99.0.0") + vmid % 65536, HOST.network.prefixlen))


def read_address(init_pid: int) -> str | None:
    """The first global IPv4 address inside a guest; None if it has none or is gone."""
    if not Path(f"/proc/{init_pid}").exists():
        return None
    asked = ("nsenter", f"--net=/proc/{init_pid}/ns/net", "ip", "-4", "-o", "address", "show", "scope", "global", "up")
    words = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
    return words[words.index("inet") + 1].partition("/")[0] if "inet" in words else None


def _run(*command: str) -> None:
    done: subprocess.CompletedProcess[str] = run_quietly(command)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


def run_quietly(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run and collect the output, whatever the exit code."""
    return subprocess.run(command, capture_output=True, text=True, check=False)
