"""An operator at a terminal with real guests that follow what is signed: keys, pins and publication are typed commands.

Guests ask a web server, by the service of their own timer.
"""

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.agent.release import Release
from tests.agent.update_server import update_server
from tests.lab.condition import read_agent, until
from tests.lab.datacentre import Datacentre, GuestPlan, open_datacentre
from tests.lab.image import Debian, TemplateVersion
from tests.lab.lab import Lab
from tests.lab.network import HOST, inside
from tests.lab.swap_bench import bake_plugin, fetch_libraries
from tests.open_window import ALWAYS_OPEN
from tests.platform.site import kill_workers

OFTEN = {
    "zlh-agent-update.timer": "[Timer]\nOnUnitInactiveSec=3\nRandomizedDelaySec=0\n",
    "zlh-agent-update.service": "[Unit]\nStartLimitIntervalSec=0\n",
}
"""Guests ask every three seconds and not every ten minutes; nothing else of their units is another one."""
PASSWORD = "correct-horse-battery"
POLICY = f"""\
time_zone = "UTC"

{ALWAYS_OPEN}
[kinds.game]
vmids = ["5000-5999"]
line = "game-base"

[lines.game-base]
data_paths = ["/srv/game"]

[[lines.game-base.probes]]
kind = "agent"
interval = "500ms"

[rollout]
waves = ["100%"]
min_healthy_time = "3s"
healthy_deadline = "40s"
expected_duration = "20s"

[agents]
jitter = "0s"
"""


@dataclass(frozen=True)
class Fleet:
    """Guests, the settings of their plugin, releases of their agent with the first one baked in, and what else is."""

    guests: Sequence[GuestPlan]
    settings: str
    releases: Sequence[Release]
    bake: Callable[[Path], None] = lambda root: None

    def bake_all(self, root: Path) -> None:
        """The plugin with its first release, and units that ask often."""
        bake_plugin(root, self.settings, self.releases[0])
        for unit, text in OFTEN.items():
            folder = root / f"etc/systemd/system/{unit}.d"
            folder.mkdir()
            (folder / "often.conf").write_text(text)
        self.bake(root)


class Operator:
    """Somebody at a terminal, with keys of two people."""

    def __init__(self, datacentre: Datacentre, directory: Path, fleet: Fleet) -> None:
        self.datacentre, self.home, self.fleet = datacentre, directory, fleet
        (directory / "policy.toml").write_text(POLICY)
        self.password = directory / "password"
        self.password.touch(mode=0o600)
        self.password.write_text(PASSWORD)
        settings = datacentre.settings.read_text()
        folders = "".join(f'{name} = "{directory / name}"\n' for name in ("folder", "public", "keys", "online_keys"))
        datacentre.settings.write_text(f'{settings}\n[agents]\n{folders}online_password_file = "{self.password}"\n')

    def type(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return self.datacentre.type(self.home / "policy.toml", *words)

    def do(self, *words: str) -> str:
        """What a command prints that must end well."""
        done = self.type(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def sign(self, *words: str) -> str:
        """The same, with a password."""
        return self.do(*words, "--password-file", str(self.password))

    def found(self) -> None:
        """Keys, all releases, and the first one pinned for all."""
        self.sign("agent", "keys", "found", "anna", "ben")
        self.do("agent", "publish")
        for release in self.fleet.releases:
            file = self.home / f"{release.name}.tar.gz"
            file.write_bytes(release.archive)
            self.sign("agent", "release", str(file), "--version", release.version, "--machine", "all", "--sign", "ben")
        self.sign("agent", "pin", "game-base", "all", self.fleet.releases[0].version, "--sign", "anna")
        self.do("agent", "publish")

    def start(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """A rollout of what these words order, watched to its end."""
        return self.type(*words, "--sign", "anna", "--yes", "--password-file", str(self.password))

    def states(self) -> "dict[int, str]":
        """Guest to its state in the latest rollout."""
        return {row["vmid"]: row["state"] for row in json.loads(self.do("rollout", "status", "--json"))["targets"]}

    def versions(self) -> "dict[int, str]":
        """Guest to what answers on its agent's port."""
        return {plan.vmid: (self.ask(plan.vmid) or {}).get("version", "") for plan in self.fleet.guests}

    def ask(self, vmid: int) -> "dict[str, str] | None":
        return read_agent(self.datacentre.lab, self.datacentre.address(vmid), "/health")

    def run_in_all(self, *words: str) -> "dict[int, str]":
        """Guest to what a command prints there."""
        return {plan.vmid: self.datacentre.lab.run_inside(plan.vmid, *words) for plan in self.fleet.guests}

    def games(self) -> "dict[int, str]":
        """Guest to its game's process and when that began."""
        return self.run_in_all(
            "systemctl", "show", "--property=MainPID,ActiveEnterTimestampMonotonic", "zlh-game.service"
        )

    def remembered(self, vmid: int) -> "dict[str, dict[str, str]]":
        """The guest's status document."""
        found = self.datacentre.lab.run_inside(vmid, "cat", "/var/lib/zlh-agent-plugin/status.json")
        return dict(json.loads(found))


@contextmanager
def open_operator(lab: Lab, home: Path, fleet: Fleet) -> Iterator[Operator]:
    """Guests that run the first release and follow what this operator signs."""
    fetch_libraries()
    template = (TemplateVersion("1", Debian.BOOKWORM),)
    with (
        inside(lab.place),
        update_server(home / "public", str(HOST.ip)) as server,
        open_datacentre(lab, template, fleet.guests, fleet.bake_all) as datacentre,
    ):
        someone = Operator(datacentre, home, fleet)
        someone.found()
        root = home / "root.json"
        someone.do("agent", "root", "--output", str(root))
        settings = f"[source]\nurl = {server.url}\nline = game-base\n{fleet.settings}"
        for plan in fleet.guests:
            _write(datacentre, plan.vmid, "/etc/zlh-agent-plugin.root.json", root.read_bytes())
            _write(datacentre, plan.vmid, "/etc/zlh-agent-plugin.conf", settings.encode())
        until(lambda: set(someone.versions().values()) == {"1.0.0"}, 30, "agents of all guests")
        yield someone
        kill_workers(datacentre.settings)
        assert datacentre.pve.foreign == []


def _write(datacentre: Datacentre, vmid: int, path: str, content: bytes) -> None:
    """A file in a guest."""
    pid = str(datacentre.lab.containers.init_pid(vmid))
    words = ("nsenter", "--target", pid, "--all", "--", "sh", "-c", 'cat >"$0"', path)
    subprocess.run(words, input=content, check=True)
