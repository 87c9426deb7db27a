"""A cluster seen from one of its nodes, on which ``zlh-hooks-node`` is run as a real process."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.hookscripts.node import HOOK, REPOSITORY
from tests.hookscripts.world import NODE

PROGRAM = REPOSITORY / "hookscripts" / "zlh-hooks-node"
VOLUME = "local:snippets/zlh-guest-hook"
SNIPPETS = "/var/lib/vz/snippets"
SCRIPT = f"{SNIPPETS}/zlh-guest-hook"
LOCAL = {"storage": "local", "type": "dir", "path": "/var/lib/vz", "content": "iso,snippets"}
FAST = {"storage": "fast", "type": "lvmthin", "content": "images,rootdir"}


@dataclass
class Site:
    """What the cluster is; Proxmox's stand-in reads it anew at each call."""

    nodes: dict[str, int] = field(default_factory=lambda: {NODE: 1})
    own: str = NODE
    quorate: int = 1
    storages: list[dict[str, Any]] = field(default_factory=lambda: [LOCAL, FAST])
    pools: dict[str, list[int]] = field(default_factory=dict)
    unreachable: list[str] = field(default_factory=list)
    hanging: list[str] = field(default_factory=list)
    kill_at: int | None = None
    edit_at: int | None = None


@dataclass(frozen=True)
class ClusterNode:
    """``root``: the node's files, as they are seen from outside of its namespace."""

    process: int
    root: Path

    def describe(self, site: Site) -> None:
        self.write("/etc/site.json", json.dumps(vars(site)))

    def path(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def write(self, path: str, text: str) -> Path:
        place = self.path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        return place

    def add_guest(self, vmid: int, text: str = "", node: str = NODE, kind: str = "lxc") -> Path:
        return self.write(f"/etc/pve/nodes/{node}/{kind}/{vmid}.conf", text or "rootfs: fast:vm-disk-0,size=8G\n")

    def put_script(self, node: str) -> Path:
        """Another node has the hook."""
        return self.write(f"/srv/node/{node}{SCRIPT}", HOOK.read_text())

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return self.run_command(str(PROGRAM), *words)

    def run_changed(self, old: str, new: str, *words: str) -> "subprocess.CompletedProcess[str]":
        """Of the program, with one place of its text replaced."""
        text = PROGRAM.read_text()
        assert text.count(old) == 1
        self.write("/srv/changed", text.replace(old, new)).chmod(0o755)
        return self.run_command("/srv/changed", *words)

    def run_command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(self.enter(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    def enter(self, *words: str) -> "list[str]":
        """The command that runs these words on the node."""
        into = ["nsenter", "--target", str(self.process), "--mount", "--root", "--uts", "--", "env", "--chdir=/"]
        return [*into, *words]

    def list_calls(self, verb: str) -> "list[list[str]]":
        """What Proxmox was asked to do by this verb of pvesh, in order."""
        calls = self.path("/srv/calls")
        every = [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []
        return [words[2:] for words in every if words[1] == verb]

    def list_hooked(self) -> "dict[int, str]":
        """VMID -> hookscript in force."""
        texts = {int(path.stem): path.read_text() for path in self.path("/etc/pve/nodes").glob("*/*/*.conf")}
        heads = {vmid: text.partition("\n[")[0].splitlines() for vmid, text in texts.items()}
        return {vmid: line[12:] for vmid, lines in heads.items() for line in lines if line.startswith("hookscript: ")}


@contextmanager
def open_node(name: str = NODE) -> Iterator[ClusterNode]:
    """A node without guests, alone, whose storage is there and empty; it ends with the block."""
    room = subprocess.Popen(
        [sys.executable, "-m", "tests.hookscripts.cluster_room", f"{name}.example.com"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    with room:
        assert room.stdout is not None and room.stdout.readline() == "ready\n"
        node = ClusterNode(room.pid, Path(f"/proc/{room.pid}/root"))
        node.write("/etc/pve/.version", "{}")
        node.path(SNIPPETS).mkdir(parents=True)
        node.describe(Site(nodes={name: 1}, own=name))
        yield node
