"""A whole datacentre: two nodes, a line of templates on each, six game guests, and the API with a token.

Node ``pve1`` has unprivileged guests and ``pve2`` privileged ones, because an exchange demands that template and guest
agree in that. Templates and guests are made through the API: an installed root becomes a template, guests are clones.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proxmoxer import ProxmoxAPI

from tests.lab.client import Client
from tests.lab.guest.game import inventory
from tests.lab.image import FIRST_ID, Debian, Fault, TemplateVersion, install_root, write_fixed_files
from tests.lab.lab import Lab
from tests.lab.network import HOST, choose_address, inside
from tests.lab.place import CHECKOUT
from tests.stand_in.pve import StandInPve
from tests.stand_in.serving import TOKEN_NAME, USER, Serving, served
from zlh_hooks.domain.guest import parse_mount
from zlh_hooks.domain.right import GUEST_PRIVILEGES

LINE = "game-base"
STORAGE = "local"
GAME_PATH = "/srv/game"
ROOT_BYTES = 2**30
_NET = "name=eth0,bridge=vmbr0,ip=dhcp,type=veth"
_SETTINGS = """\
[proxmox]
host = "{host}"
port = {port}
user = "{user}"
token_name = "{token_name}"
token_file = "{state}/token"
ca_file = "{ca_file}"

[ledger]
path = "{state}/ledger.sqlite"

[worker]
name = "lab"
log = "{state}/worker.log"
"""


@dataclass(frozen=True, slots=True)
class Node:
    """A node's name, where its templates' numbers begin, and whether its guests are unprivileged."""

    name: str
    first_template: int
    unprivileged: bool

    @property
    def first_id(self) -> int:
        """Who owns a guest's files on the machine."""
        return FIRST_ID if self.unprivileged else 0

    def template_vmid(self, position: int) -> int:
        """The VMID of the line's version at this position, from 0."""
        return self.first_template + position


@dataclass(frozen=True, slots=True)
class GuestPlan:
    """A guest to be: cloned from the first version; ``own_data``: its game's data lies on its own volume."""

    vmid: int
    node: Node
    running: bool = True
    own_data: bool = True


PVE1 = Node("pve1", 9001, unprivileged=True)
PVE2 = Node("pve2", 9011, unprivileged=False)
VERSIONS = (
    TemplateVersion("1", Debian.BOOKWORM),
    TemplateVersion("2", Debian.TRIXIE),
    TemplateVersion("3", Debian.TRIXIE, Fault.AGENT_TURNS_UNHEALTHY),
)
"""The first is stable; its successor brings a new Debian; the third is bad."""
GUESTS = (
    GuestPlan(5001, PVE1),
    GuestPlan(5002, PVE1),
    GuestPlan(5003, PVE1, running=False),
    GuestPlan(5004, PVE2),
    GuestPlan(5005, PVE2),
    GuestPlan(5006, PVE1, own_data=False),
)


@dataclass(slots=True)
class Datacentre:
    """A datacentre that runs. ``api`` is the token's own way in; ``fixed``: path to SHA-256 per guest.

    ``bake`` may add files to the templates' roots.
    """

    lab: Lab
    serving: Serving
    api: ProxmoxAPI
    settings: Path
    guests: Sequence[GuestPlan]
    bake: Callable[[Path], None]
    fixed: dict[int, dict[str, str]] = field(default_factory=dict)

    @property
    def pve(self) -> StandInPve:
        """The stand-in; change it through ``serving.call``."""
        return self.serving.pve

    @property
    def environment(self) -> dict[str, str]:
        """For a ``zlh-hooks`` process: this process's, and where the settings lie."""
        return {**os.environ, "ZLH_HOOKS_CONFIG": str(self.settings)}

    def type(self, policy: Path, *words: str, given: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a command of an operator to its end. ``given``: what it reads from its standard input."""
        options = ("--config", str(self.settings), "--policy", str(policy))
        command = (sys.executable, "-m", "zlh_hooks", *words, *options)
        return subprocess.run(
            command, cwd=CHECKOUT, input=given, capture_output=True, text=True, timeout=400, check=False
        )

    def read_ledger(self) -> "list[dict[str, Any]]":
        """Every entry, as an operator is shown it."""
        command = (sys.executable, "-m", "zlh_hooks", "ledger", "show", "--json")
        shown = subprocess.run(command, cwd=CHECKOUT, env=self.environment, capture_output=True, text=True, check=True)
        entries: list[dict[str, Any]] = json.loads(shown.stdout)
        return entries

    def config(self, vmid: int) -> dict[str, str]:
        """The config in force, as the API tells it; values as text."""
        shown: dict[str, Any] = self._guest(vmid).config.get(current=1)
        return {key: str(value) for key, value in shown.items()}

    def address(self, vmid: int) -> str:
        """Where the guest answers when it runs."""
        return str(choose_address(vmid, self.config(vmid)["net0"]).ip)

    def read_version(self, vmid: int) -> str:
        """The template version of the root: read inside a running guest, from its root volume if it is stopped."""
        if self.lab.containers.is_running(vmid):
            return self.lab.run_inside(vmid, "cat", "/etc/zlh-template").strip()
        root = parse_mount("rootfs", self.config(vmid)["rootfs"])
        return (self.lab.volumes.path(root.volume) / "etc/zlh-template").read_text().strip()

    def read_inventory(self, vmid: int) -> dict[str, object]:
        """The game's records and fixed files as they lie on the volume that the config names; see ``guest/game.py``."""
        return inventory(self.data_path(vmid))

    def data_path(self, vmid: int) -> Path:
        """The game's data on this machine."""
        config = self.config(vmid)
        if "mp0" in config:
            return self.lab.volumes.path(parse_mount("mp0", config["mp0"]).volume)
        return self.lab.volumes.path(parse_mount("rootfs", config["rootfs"]).volume) / GAME_PATH.removeprefix("/")

    def list_volumes(self) -> tuple[str, ...]:
        """Every volume that is really there."""
        return tuple(volume.volid for volume in self.lab.volumes.list(STORAGE))

    def backup(self, vmid: int, seconds: float) -> None:
        """Begin a backup: the guest's config is locked so long, the guest runs on."""
        self.serving.wait(self.pve.backup(vmid, secs=seconds))

    def client(self, directory: Path | None = None) -> Client:
        """A customer on every guest that runs now; its files lie in ``directory``, by default the lab's own."""
        running = [plan.vmid for plan in self.guests if self.lab.containers.is_running(plan.vmid)]
        return Client(
            self.lab.command(), {vmid: self.address(vmid) for vmid in running}, directory or self.lab.place.state
        )

    def wait_task(self, node: str, upid: str, seconds: float = 120) -> None:
        """Until the task has ended well; RuntimeError with its exit status if not."""
        deadline = time.monotonic() + seconds
        task = self.api.nodes(node).tasks(upid).status
        while (status := task.get())["status"] == "running":
            if time.monotonic() > deadline:
                raise RuntimeError(f"{upid} still runs after {seconds:g} s")
            time.sleep(0.02)
        if status["exitstatus"] != "OK" and not status["exitstatus"].startswith("WARNINGS"):
            raise RuntimeError(f"{upid}: {status['exitstatus']}")

    def make_templates(self, versions: Sequence[TemplateVersion]) -> None:
        """Each version on each node; the first is stable."""
        for node in dict.fromkeys(plan.node for plan in self.guests):
            for position, version in enumerate(versions):
                self._make_template(node, node.template_vmid(position), version, stable=position == 0)

    def make_guest(self, plan: GuestPlan) -> None:
        """Clone it from the first version, give it its data, and start it if it shall run."""
        node = plan.node.name
        source = self.api.nodes(node).lxc(plan.node.template_vmid(0))
        clone = source.clone.post(newid=plan.vmid, full=1, storage=STORAGE, hostname=f"game-{plan.vmid}")
        self.wait_task(node, clone)
        guest = self.api.nodes(node).lxc(plan.vmid)
        if plan.own_data:
            guest.config.put(mp0=f"{STORAGE}:0.25,mp={GAME_PATH},backup=1")
        self.fixed[plan.vmid] = write_fixed_files(self.data_path(plan.vmid), plan.node.first_id, seed=plan.vmid)
        if plan.running:
            self.wait_task(node, guest.status.start.post())

    def _make_template(self, node: Node, vmid: int, version: TemplateVersion, stable: bool) -> None:
        tags = [f"zlh-line.{LINE}", f"zlh-version.{version.version}", *(["zlh-channel.stable"] if stable else [])]
        volume = self.lab.volumes.allocate(STORAGE, vmid, ROOT_BYTES)
        install_root(self.lab.volumes, volume, version, node.first_id, self.bake)
        config = {
            "hostname": f"{LINE}-{version.version}",
            "arch": "amd64",
            "ostype": "debian",
            "memory": 512,
            "swap": 0,
            "net0": f"{_NET},hwaddr=BC:24:11:00:{vmid // 256:02X}:{vmid % 256:02X}",
            "rootfs": f"{volume},size=1G",
            "tags": ";".join(sorted(tags)),
            **({"unprivileged": 1} if node.unprivileged else {}),
        }
        self.serving.call(lambda: self.pve.adopt(vmid, node.name, config))
        guest = self.api.nodes(node.name).lxc(vmid)
        guest.template.post()
        deadline = time.monotonic() + 30
        while not guest.config.get().get("template"):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{vmid} does not become a template")
            time.sleep(0.02)

    def _guest(self, vmid: int) -> Any:
        ct = self.pve.ct(vmid)
        if ct is None:
            raise KeyError(vmid)
        return self.api.nodes(ct.node).lxc(vmid)


@contextmanager
def open_datacentre(
    lab: Lab,
    versions: Sequence[TemplateVersion] = VERSIONS,
    guests: Sequence[GuestPlan] = GUESTS,
    bake: Callable[[Path], None] = lambda root: None,
) -> Iterator[Datacentre]:
    """Build it in an open lab and serve it at ``https://10.99.0.1:8006`` in the lab's network until the block ends.

    The thread that is in the block lives in the lab's network, and so do processes it starts. Two to five seconds.
    """
    nodes = tuple(dict.fromkeys(plan.node.name for plan in guests))
    storages: Mapping[str, Mapping[str, Any]] = {STORAGE: {"type": "dir", "content": "images,rootdir"}}
    pve = StandInPve(lab.volumes, lab.containers, storages=storages, nodes=nodes, host=str(HOST.ip), port=8006)
    pve.time_scale = 1.0
    with inside(lab.place), served(pve, lab.place.state, GUEST_PRIVILEGES) as serving:
        settings = _write_settings(lab.place.state, serving)
        api = ProxmoxAPI(
            pve.host,
            port=pve.port,
            user=USER,
            token_name=TOKEN_NAME,
            token_value=serving.token,
            verify_ssl=str(serving.ca_file),
            timeout=35,
        )
        datacentre = Datacentre(lab, serving, api, settings, guests, bake)
        datacentre.make_templates(versions)
        for plan in guests:
            datacentre.make_guest(plan)
        yield datacentre


def _write_settings(state: Path, serving: Serving) -> Path:
    (state / "token").touch(mode=0o600)
    (state / "token").write_text(serving.token + "\n")
    values = {"host": serving.pve.host, "port": serving.pve.port, "user": USER, "token_name": TOKEN_NAME}
    settings = state / "zlh-hooks.toml"
    settings.write_text(_SETTINGS.format(**values, state=state, ca_file=serving.ca_file))
    return settings
