"""A release of the agent goes out by the command line, the worker and real guests: forward, back, and no further.

Keys, pins and publication are an operator's own commands; guests ask a web server, by the service of their own timer.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.conftest import need_guests_client
from tests.agent.update_server import update_server
from tests.lab.condition import read_agent, until
from tests.lab.datacentre import PVE1, PVE2, Datacentre, GuestPlan, open_datacentre
from tests.lab.image import Debian, TemplateVersion
from tests.lab.lab import Lab
from tests.lab.network import HOST, inside
from tests.lab.swap_bench import SETTINGS, bake_plugin, build_release, fetch_libraries
from tests.open_window import ALWAYS_OPEN
from tests.platform.site import kill_workers

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]
need_guests_client()

GUESTS = (GuestPlan(5001, PVE1), GuestPlan(5002, PVE1), GuestPlan(5004, PVE2))
FIRST, GOOD, BAD = build_release("1.0.0"), build_release("2.0.0"), build_release("3.0.0", "exit")
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


def bake(root: Path) -> None:
    """The plugin with its first release, and units that ask often."""
    bake_plugin(root, SETTINGS, FIRST)
    for unit, text in OFTEN.items():
        folder = root / f"etc/systemd/system/{unit}.d"
        folder.mkdir()
        (folder / "often.conf").write_text(text)


class Operator:
    """Somebody at a terminal, with keys of two people."""

    def __init__(self, datacentre: Datacentre, directory: Path) -> None:
        self.datacentre, self.home = datacentre, directory
        (directory / "policy.toml").write_text(POLICY)
        self.password = directory / "password"
        self.password.touch(mode=0o600)
        self.password.write_text(PASSWORD)
        settings = datacentre.settings.read_text()
        folders = "".join(f'{name} = "{directory / name}"\n' for name in ("folder", "public", "keys"))
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
        for release in (FIRST, GOOD, BAD):
            file = self.home / f"{release.name}.tar.gz"
            file.write_bytes(release.archive)
            self.sign("agent", "release", str(file), "--version", release.version, "--machine", "all", "--sign", "ben")
        self.sign("agent", "pin", "game-base", "all", "1.0.0", "--sign", "anna")
        self.do("agent", "publish")

    def start(self, version: str) -> "subprocess.CompletedProcess[str]":
        """A rollout, watched to its end."""
        words = ("rollout", "start", "agent", "--to", version, "--sign", "anna", "--yes")
        return self.type(*words, "--password-file", str(self.password))

    def states(self) -> "dict[int, str]":
        """Guest to its state in the latest rollout."""
        return {row["vmid"]: row["state"] for row in json.loads(self.do("rollout", "status", "--json"))["targets"]}

    def versions(self) -> "dict[int, str]":
        """Guest to what answers on its agent's port."""
        return {plan.vmid: (self.ask(plan.vmid) or {}).get("version", "") for plan in GUESTS}

    def ask(self, vmid: int) -> "dict[str, str] | None":
        return read_agent(self.datacentre.lab, self.datacentre.address(vmid), "/health")

    def games(self) -> "dict[int, str]":
        """Guest to its game's process and when that began."""
        words = ("systemctl", "show", "--property=MainPID,ActiveEnterTimestampMonotonic", "zlh-game.service")
        return {plan.vmid: self.datacentre.lab.run_inside(plan.vmid, *words) for plan in GUESTS}

    def swaps(self, vmid: int) -> str:
        """The name of the guest's last swap."""
        state = self.datacentre.lab.run_inside(vmid, "cat", "/var/lib/zlh-agent-plugin/status.json")
        return str(json.loads(state)["txn"])


@pytest.fixture(scope="module")
def operator(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    fetch_libraries()
    home = tmp_path_factory.mktemp("controller")
    template = (TemplateVersion("1", Debian.BOOKWORM),)
    with (
        inside(lab.place),
        update_server(home / "public", str(HOST.ip)) as server,
        open_datacentre(lab, template, GUESTS, bake) as datacentre,
    ):
        someone = Operator(datacentre, home)
        someone.found()
        root = home / "root.json"
        someone.do("agent", "root", "--output", str(root))
        settings = f"[source]\nurl = {server.url}\nline = game-base\n{SETTINGS}"
        for plan in GUESTS:
            write(datacentre, plan.vmid, "/etc/zlh-agent-plugin.root.json", root.read_bytes())
            write(datacentre, plan.vmid, "/etc/zlh-agent-plugin.conf", settings.encode())
        until(lambda: set(someone.versions().values()) == {"1.0.0"}, 30, "agents of all guests")
        yield someone
        kill_workers(datacentre.settings)
        assert datacentre.pve.foreign == []


def write(datacentre: Datacentre, vmid: int, path: str, content: bytes) -> None:
    """A file in a guest."""
    pid = str(datacentre.lab.containers.init_pid(vmid))
    words = ("nsenter", "--target", pid, "--all", "--", "sh", "-c", 'cat >"$0"', path)
    subprocess.run(words, input=content, check=True)


def test_a_good_release_reaches_every_guest_and_a_person_takes_it_back(operator: Operator) -> None:
    games = operator.games()
    done = operator.start("2.0.0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(operator.states().values()) == {"HEALTHY"}
    assert set(operator.versions().values()) == {"2.0.0"}

    back = operator.type("rollout", "revert", "--reason", "a rehearsal")
    assert back.returncode == 0, back.stdout + back.stderr
    assert set(operator.states().values()) == {"REVERTED"}
    assert set(operator.versions().values()) == {"1.0.0"}
    assert operator.games() == games


def test_a_release_that_does_not_start_ends_with_its_canary(operator: Operator) -> None:
    before = {plan.vmid: operator.swaps(plan.vmid) for plan in GUESTS}
    done = operator.start("3.0.0")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "REVERTED" in done.stdout, done.stdout + done.stderr
    states = operator.states()
    tried = [vmid for vmid, state in states.items() if state == "REVERTED"]
    assert (len(tried), sorted(states.values())) == (1, ["REVERTED", "SKIPPED", "SKIPPED"])
    assert set(operator.versions().values()) == {"1.0.0"}
    assert [vmid for vmid, swap in before.items() if operator.swaps(vmid) != swap] == tried
    refused = operator.start("3.0.0")
    assert refused.returncode == 3 and "blocked" in refused.stderr, refused.stdout + refused.stderr
