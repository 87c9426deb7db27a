"""``make demo``: a template version goes out to real guests, a bad one comes back, and nobody loses a byte.

Two nodes, six guests with a game that appends fsynced records for a client outside. Version 2 is good and becomes stable;
version 3 boots, but its agent turns unhealthy: its canary goes back and the version is revoked. Meanwhile new guests are
cloned from whatever ``template pick`` names. Without root or LXC the same story is told with simulated guests.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.client import Seen, list_faults
from tests.lab.datacentre import LINE, STORAGE, Datacentre, open_datacentre
from tests.lab.image import build_images
from tests.lab.lab import Lab
from tests.lab.requirement import list_missing
from tests.open_window import ALWAYS_OPEN
from tests.platform.guest import Conduct
from tests.platform.site import SimulatedSite, open_site
from zlh_hooks.cli.output import print_table

ROOT = Path(__file__).parents[2]
PROVISIONED = range(6900, 6920)
PATIENCE_SECONDS = 30.0
POLICY = f"""\
time_zone = "UTC"

{ALWAYS_OPEN}
[kinds.game]
vmids = ["5000-5999"]
line = "game-base"

[lines.game-base]
data_paths = ["/srv/game"]
new_guests_percent = 50

[[lines.game-base.probes]]
kind = "agent"
version_path = "template"
interval = "500ms"

[[lines.game-base.probes]]
kind = "tcp"
name = "game"
port = 25577
in_smoke = false
interval = "500ms"

[rollout]
min_healthy_time = "5s"
healthy_deadline = "40s"
expected_duration = "20s"
shutdown_timeout = "20s"
"""


@dataclass(slots=True)
class Story:
    """What both kinds of guests share: how the command line finds the site, and what a guest runs."""

    options: Sequence[str]
    guests: Sequence[int]
    read_version: Callable[[int], str]
    versions: dict[str, dict[int, str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def run(self, *words: str) -> int:
        """A ``zlh-hooks`` command, as an operator types it; its exit code."""
        print(f"\n$ zlh-hooks {' '.join(words)}", flush=True)
        command = (sys.executable, "-m", "zlh_hooks", *words, *self.options)
        return subprocess.run(command, cwd=ROOT, check=False).returncode

    def ask(self, *words: str) -> Any:
        """What a command answers with --json."""
        command = (sys.executable, "-m", "zlh_hooks", *words, *self.options, "--json")
        return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)

    def note_versions(self, when: str) -> None:
        """Read inside each guest which template version it runs."""
        self.versions[when] = {vmid: self.read_version(vmid) for vmid in self.guests}

    def tell(self) -> None:
        """Both rollouts, good and bad."""
        self.note_versions("before")
        self._expect(self.run("rollout", "start", LINE, "--to", "2", "--yes") == 0, "version 2 did not succeed")
        self.note_versions("after 2")
        self._expect(self.run("rollout", "start", LINE, "--to", "3", "--yes") == 1, "version 3 was not refused")
        self.note_versions("after 3")
        self.run("template", "list")
        self._expect(self.versions["after 3"] == self.versions["after 2"], "not every guest came back from version 3")

    def reasons(self) -> dict[int, str]:
        """Why the first rollout left guests alone."""
        first = self.ask("rollout", "list")[0]
        return {
            row["vmid"]: f"{row['state']}: {row['reason']}" for row in first["targets"] if row["state"] != "HEALTHY"
        }

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.faults.append(otherwise)

    def close(self) -> int:
        """Say what went wrong, if anything; the exit code."""
        for fault in self.faults:
            print(f"NOT AS PROMISED: {fault}")
        print("\nthe demo showed what it promises" if not self.faults else "\nthe demo FAILED")
        return 1 if self.faults else 0


class Provisioner(threading.Thread):
    """Somebody else's platform: clones new guests all the while, each from the template that ``pick`` names."""

    def __init__(self, story: Story, datacentre: Datacentre) -> None:
        super().__init__(name="provisioner", daemon=True)
        self._story = story
        self._datacentre = datacentre
        self._hurry = threading.Event()
        self.made: list[str] = []
        self.refused: list[str] = []

    def run(self) -> None:
        for vmid in PROVISIONED:
            try:
                self.made.append(self._provision(vmid))
            except Exception as error:  # whatever goes wrong is the finding
                self.refused.append(f"{vmid}: {error}")
            self._hurry.wait(1.0)

    def finish(self) -> None:
        """Do what is left without pausing."""
        self._hurry.set()
        self.join()

    def _provision(self, vmid: int) -> str:
        picked = self._story.ask("template", "pick", LINE, "--key", str(vmid), "--node", "pve1")
        nodes = self._datacentre.api.nodes("pve1")
        clone = nodes.lxc(picked["vmid"]).clone.post(newid=vmid, full=1, storage=STORAGE)
        self._datacentre.wait_task("pve1", clone)
        self._datacentre.wait_task("pve1", nodes.lxc(vmid).delete())
        return str(picked["version"])


def run_real(state: Path) -> int:
    """With real containers."""
    print("building Debian roots where they are not in the cache yet", flush=True)
    build_images()
    with Lab(state) as lab, open_datacentre(lab) as datacentre:
        policy = state / "policy.toml"
        policy.write_text(POLICY)
        options = ["--config", str(datacentre.settings), "--policy", str(policy)]
        story = Story(options, [plan.vmid for plan in datacentre.guests], datacentre.read_version)
        client = datacentre.client()
        _wait(lambda: _everybody_plays(client.read(), lab.containers.is_running, story.guests), "the client plays")
        datacentre.backup(5002, 8)
        provisioner = Provisioner(story, datacentre)
        provisioner.start()
        story.tell()
        provisioner.finish()
        _judge(story, datacentre, client.close(), provisioner)
        return story.close()


def _everybody_plays(seen: Mapping[int, Seen], is_running: Callable[[int], bool], guests: Sequence[int]) -> bool:
    return all(vmid in seen and seen[vmid].acknowledged > 0 for vmid in guests if is_running(vmid))


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {PATIENCE_SECONDS:g} s in vain until {what}")
        time.sleep(0.05)


def _judge(story: Story, datacentre: Datacentre, seen: Mapping[int, Seen], provisioner: Provisioner) -> None:
    reasons = story.reasons()
    rows = []
    for plan in datacentre.guests:
        inventory = datacentre.read_inventory(plan.vmid)
        known = seen.get(plan.vmid, Seen())
        faults = list_faults(known, inventory, datacentre.fixed[plan.vmid])
        story.faults += [f"{plan.vmid}: {fault}" for fault in faults]
        records = inventory["records"]
        assert isinstance(records, list)
        rows.append(
            (
                *_version_cells(story, plan.vmid),
                f"{plan.node.name}{' unprivileged' if plan.node.unprivileged else ''}",
                f"{known.downtime_seconds:.2f} s in {len(known.outages)}" if plan.vmid in seen else "not running",
                "changed" if any("fixed" in fault for fault in faults) else f"{len(datacentre.fixed[plan.vmid])} same",
                f"{known.acknowledged} / {len(records)}",
                reasons.get(plan.vmid, ""),
            )
        )
    print()
    columns = (
        "guest",
        "before",
        "after 2",
        "after 3",
        "node",
        "down",
        "fixed files",
        "acknowledged / found",
        "left alone",
    )
    print_table(columns, rows)
    _judge_leftovers(story, datacentre)
    print(f"provisioned meanwhile: {len(provisioner.made)} of {len(PROVISIONED)}")
    story.faults += [f"provisioning {refusal}" for refusal in provisioner.refused]


def _version_cells(story: Story, vmid: int) -> tuple[str, str, str, str]:
    before, second, third = (story.versions[when][vmid] for when in ("before", "after 2", "after 3"))
    return str(vmid), before, second, third


def _judge_leftovers(story: Story, datacentre: Datacentre) -> None:
    """From the volume store, not from configs: a root and data for each guest, and the old root of each exchanged one."""
    kept = sum(story.versions["before"][vmid] != story.versions["after 3"][vmid] for vmid in story.guests)
    data = sum(plan.own_data for plan in datacentre.guests)
    templates = sum("/base-" in volume for volume in datacentre.list_volumes())
    expected = len(datacentre.guests) + data + kept
    found = len(datacentre.list_volumes()) - templates
    print(f"volumes on the storage: {found} ({kept} of them old roots, kept as the way back until settled)")
    if found != expected:
        story.faults.append(
            f"{found} volumes of guests are there, {expected} were expected: {datacentre.list_volumes()}"
        )


def run_simulated() -> int:
    """With guests that are sockets on loopback, behind the same API."""
    bad = Conduct(unhealthy_after=4)
    with tempfile.TemporaryDirectory() as directory, open_site(Path(directory), guests=6, third=bad) as site:
        (site.directory / "policy.toml").write_text(_without_game(POLICY, site.port))
        story = Story(site.options, sorted(site.versions()), lambda vmid: site.versions()[vmid])
        story.tell()
        _print_simulated(story, site)
        return story.close()


def _without_game(policy: str, agent_port: int) -> str:
    head, _, tail = policy.partition('[[lines.game-base.probes]]\nkind = "tcp"')
    return head.replace('kind = "agent"', f'kind = "agent"\nport = {agent_port}') + tail[tail.index("[rollout]") :]


def _print_simulated(story: Story, site: SimulatedSite) -> None:
    reasons = story.reasons()
    rows = [(*_version_cells(story, vmid), reasons.get(vmid, "")) for vmid in sorted(site.versions())]
    print()
    print_table(("guest", "before", "after 2", "after 3", "left alone"), rows)


def main() -> int:
    """Real containers where they can be had."""
    missing = list_missing()
    if missing:
        print(f"simulated guests, no containers: {'; '.join(missing)}", flush=True)
        return run_simulated()
    print("real containers on two nodes", flush=True)
    return run_real(ROOT / ".lab" / "demo")


if __name__ == "__main__":
    sys.exit(main())
