"""A simulated site: two nodes, three versions of one line, guests, and the files with which the command line finds it."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.open_window import ALWAYS_OPEN
from tests.platform.guest import AgentRuntime, Conduct, VersionedVolumes
from tests.stand_in.pve import StandInPve
from tests.stand_in.serving import TOKEN_NAME, USER, Serving, served
from zlh_hooks.domain.right import GUEST_PRIVILEGES

TURNS_UNHEALTHY = Conduct(unhealthy_after=1.5)
NODES = ("pve1", "pve2")
ENLARGED = 5002
"""Its customer has more room in the root than the template gives."""
POLICY = """
time_zone = "UTC"
{windows}[kinds.game]
vmids = ["5000-5999"]
line = "game-base"
[lines.game-base]
data_paths = ["/srv/game"]
[[lines.game-base.probes]]
kind = "agent"
port = {port}
version_path = "template"
interval = "100ms"
[rollout]
min_healthy_time = "500ms"
healthy_deadline = "{healthy_deadline}"
progress_deadline = "10m"
expected_duration = "5s"
lease = "1s"
{rules}
"""


@dataclass(frozen=True, slots=True)
class SimulatedSite:
    """What a test or the demo holds of it."""

    serving: Serving
    runtime: AgentRuntime
    volumes: VersionedVolumes
    directory: Path
    port: int  # of every guest's agent

    @property
    def pve(self) -> StandInPve:
        """The stand-in itself."""
        return self.serving.pve

    @property
    def settings(self) -> Path:
        """The file that names the rest."""
        return self.directory / "zlh-hooks.toml"

    @property
    def options(self) -> list[str]:
        """What every command takes to find this site."""
        return ["--config", str(self.settings), "--policy", str(self.directory / "policy.toml")]

    def versions(self) -> dict[int, str]:
        """Running guest to the template version that runs in it."""
        return {vmid: self.runtime.version(vmid) for vmid in sorted(self.runtime.running)}


def furnish(pve: StandInPve, volumes: VersionedVolumes, guests: int) -> None:
    """Versions 1 (stable), 2 and 3 of ``game-base`` on each node; guests born from 1, running, nodes in turn."""
    for number, node in enumerate(NODES):
        for version in ("1", "2", "3"):
            tags = f"zlh-line.game-base;zlh-version.{version}" + (";zlh-channel.stable" if version == "1" else "")
            ct = pve.add_guest(
                8000 + 100 * number + int(version), node=node, template=True, tags=tags, hostname=f"game-base-{version}"
            )
            volumes.versions[ct.config["rootfs"].split(",")[0]] = version
    for number in range(guests):
        _add_guest(pve, volumes, 5001 + number, NODES[number % 2])


def _add_guest(pve: StandInPve, volumes: VersionedVolumes, vmid: int, node: str) -> None:
    tags = "zlh-line.game-base;zlh-version.1"
    size = 2 * 1024**3 if vmid == ENLARGED else 1024**3
    ct = pve.add_guest(vmid, node=node, root_size=size, data_path="/srv/game", tags=tags, hostname=f"game-{vmid}")
    volumes.versions[ct.config["rootfs"].split(",")[0]] = "1"
    pve.run(ct)


def find_free_port() -> int:
    """A port of loopback that nobody listens on, so that sites beside each other keep apart."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_files(directory: Path, serving: Serving, port: int, rules: str, healthy_deadline: str) -> None:
    """Settings, token and policy of the site."""
    token = directory / "token"
    token.touch(mode=0o600)
    token.write_text(serving.token)
    (directory / "policy.toml").write_text(
        POLICY.format(windows=ALWAYS_OPEN, port=port, rules=rules, healthy_deadline=healthy_deadline)
    )
    (directory / "zlh-hooks.toml").write_text(
        f'''[proxmox]
host = "{serving.pve.host}"
port = {serving.pve.port}
user = "{USER}"
token_name = "{TOKEN_NAME}"
token_file = "{token}"
ca_file = "{serving.ca_file}"
[ledger]
path = "{directory / "ledger.sqlite"}"
[worker]
name = "lab"
log = "{directory / "worker.log"}"
'''
    )


def find_workers(settings: Path) -> list[int]:
    """Pids of the workers that serve the site with these settings, detached ones too."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has ended meanwhile
            continue
        if "worker" in words and str(settings) in words:
            found.append(int(process.name))
    return found


def kill_workers(settings: Path) -> None:
    """SIGKILL to each: a worker stays for the soak, which outlasts any test."""
    for pid in find_workers(settings):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextmanager
def open_site(
    directory: Path,
    guests: int = 3,
    rules: str = "",
    network: int = 77,
    healthy_deadline: str = "20s",
    third: Conduct = TURNS_UNHEALTHY,
) -> Iterator[SimulatedSite]:
    """Serve a furnished site until the block ends; its files lie in ``directory``. ``third``: how version 3 behaves."""
    volumes = VersionedVolumes({"local": "dir", "tank": "lvmthin"})
    port = find_free_port()
    runtime = AgentRuntime(volumes, {"3": third}, network, port)
    pve = StandInPve(volumes, runtime, nodes=NODES)
    pve.time_scale = 0.01
    furnish(pve, volumes, guests)
    try:
        with served(pve, directory, GUEST_PRIVILEGES) as serving:
            write_files(directory, serving, port, rules, healthy_deadline)
            yield SimulatedSite(serving, runtime, volumes, directory, port)
    finally:
        kill_workers(directory / "zlh-hooks.toml")
        runtime.stop_all()
