"""The lab's nodes as Proxmox calls a guest hook on them: the real script, at each start and stop of real containers.

A node is a mount namespace of :mod:`tests.hookscripts`, in which ``zlh-hooks-node`` has put the script where Proxmox looks
for it. ``/etc/pve`` there shows what the API's config says at the moment of the call.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fakepve import FakeCt

from tests.hookscripts.cluster_node import SCRIPT, VOLUME, ClusterNode, open_node
from tests.hookscripts.config import render_description
from tests.hookscripts.node import PVE
from tests.lab.datacentre import Datacentre
from tests.note_file import read_note
from zlh_hooks.domain.guest_note import GuestNote, parse_guest_note

_SPOOL = "var/spool/zlh-hooks"


@dataclass(frozen=True, slots=True)
class Hooks:
    """Nodes by name. What they note stays in their spools until an intake takes it."""

    nodes: Mapping[str, ClusterNode]
    _seen: set[str] = field(default_factory=set)

    def call(self, guest: FakeCt, phase: str) -> None:
        """As the stand-in wants it; RuntimeError with what the script said if it fails."""
        node = self.nodes[guest.node]
        node.write(f"/etc/pve/lxc/{guest.vmid}.conf", render_config(guest))
        variables = (f"{name}={value}" for name, value in PVE.items())
        done = node.run_command("env", "-i", *variables, SCRIPT, str(guest.vmid), phase)
        if done.returncode != 0:
            raise RuntimeError(f"{done.stdout}{done.stderr}exit code {done.returncode}")

    def spool(self, node: str) -> Path:
        """Where that node's notes lie, as seen from outside of its namespace."""
        return self.nodes[node].root / _SPOOL

    def take_notes(self, vmid: int) -> "list[GuestNote]":
        """What is noted of a guest since this was last asked, in order."""
        found = {path.name: path for node in self.nodes for path in self.spool(node).glob(f"2*-{vmid}-*.json")}
        fresh = sorted(found.keys() - self._seen)
        self._seen.update(fresh)
        return [parse_guest_note(read_note(found[name])) for name in fresh]

    def take_phases(self, vmid: int) -> "list[str]":
        """Of these notes the phases alone."""
        return [str(note.phase) for note in self.take_notes(vmid)]


def render_config(guest: FakeCt) -> str:
    """As it lies in /etc/pve: description, keys, and what waits for a restart."""
    keys = {key: str(value) for key, value in guest.config.items()}
    description = render_description(*keys.pop("description", "").splitlines())
    waiting = {key: str(value) for key, value in guest.pending.items() if value is not None}
    return description + _render_keys(keys) + ("\n[pve:pending]\n" + _render_keys(waiting) if waiting else "")


def _render_keys(values: Mapping[str, str]) -> str:
    return "".join(f"{key}: {values[key]}\n" for key in sorted(values))


@contextmanager
def hooked(datacentre: Datacentre) -> Iterator[Hooks]:
    """Every guest and template names the hook, which each node has, until the block ends."""
    pve = datacentre.pve
    with ExitStack() as stack:
        hooks = Hooks({name: stack.enter_context(open_node(name)) for name in pve.nodes})
        for node in hooks.nodes.values():
            (node.root / _SPOOL).mkdir(mode=0o700)
            installed = node.run("install")
            assert installed.returncode == 0, installed.stderr
        pve.run_hook = hooks.call
        for vmid in [guest.vmid for guest in pve.cts]:
            datacentre.serving.call(lambda vmid=vmid: pve.edit_guest(vmid, hookscript=VOLUME))
        yield hooks
