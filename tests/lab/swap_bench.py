"""Guests with the plugin baked in, releases of the reference agent for them, and load on their port."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from agent_plugin.place import Place
from agent_plugin.setting import read_settings
from agent_plugin.source import FileSource
from agent_plugin.swap import Hands
from agent_plugin.systemd import SystemdPrograms
from agent_plugin.update import install
from agent_plugin.wire import Status, parse_status
from tests.agent.release import Release, pack
from tests.lab.condition import read_agent, until
from tests.lab.image import FIRST_ID, Debian, TemplateVersion, install_root
from tests.lab.lab import Lab
from tests.lab.network import choose_address
from tests.lab.place import CHECKOUT
from tests.stand_in.backend import GuestSpec

VMIDS = count(5001)
PLUGIN = CHECKOUT / "agent_plugin"
AGENT = CHECKOUT / "tests" / "lab" / "guest" / "zlh_agent.py"
PROGRAM = "zlh-agent-plugin"
SERVICE = "zlh-agent-update.service"
DOOM = CHECKOUT / "tests" / "agent" / "doom.py"
_DOOM_INSIDE = "/usr/local/lib/doom.py"
VENDORED = CHECKOUT / ".lab" / "vendor"
SETTINGS = "[trial]\nbake_seconds = 2\ndeadline_seconds = 60\n"
"""A short bake: tests swap often."""
STATE = "var/lib/zlh-agent-plugin"
_ENABLED = {
    "multi-user.target.wants": ("zlh-agent.service",),
    "sockets.target.wants": ("zlh-agent.socket", "zlh-agent-report.socket"),
    "timers.target.wants": ("zlh-agent-revert.timer", "zlh-agent-update.timer"),
}


def build_release(version: str, fault: str = "") -> Release:
    """A release of the reference agent; ``fault``: see ``guest/zlh_agent.py``."""
    return pack(version, {"zlh-agent": AGENT.read_bytes(), "VERSION": version.encode(), "FAULT": fault.encode()})


def fetch_libraries() -> None:
    """What the plugin carries; to be called outside the lab's network, from which nothing can be fetched."""
    subprocess.run([CHECKOUT / "workshop/vendor.sh", VENDORED], check=True)


def bake_plugin(root: Path, settings: str, first: Release) -> None:
    """What the Debian package and an image's builder will do: plugin, nets, units, and the first release."""
    library, units, wanted = (
        root / "usr/lib/zlh-agent-plugin",
        root / "usr/lib/systemd/system",
        root / "etc/systemd/system",
    )
    units.mkdir(parents=True, exist_ok=True)
    (wanted / "zlh-agent.service").unlink()  # the lab's smaller agent
    shutil.copytree(PLUGIN, library / "agent_plugin", ignore=shutil.ignore_patterns("__pycache__", "net", "units"))
    shutil.copytree(PLUGIN / "net", library / "net")
    fetch_libraries()
    shutil.copytree(VENDORED, library / "vendor", ignore=shutil.ignore_patterns("bin", "made-from"))
    (root / "usr/sbin").mkdir(exist_ok=True)
    shutil.copy(PLUGIN / "zlh-agent-plugin", root / "usr/sbin")
    for unit in (PLUGIN / "units").iterdir():
        shutil.copy(unit, units / unit.name)
    for target, names in _ENABLED.items():
        (wanted / target).mkdir(exist_ok=True)
        for name in names:
            (wanted / target / name).unlink(missing_ok=True)
            (wanted / target / name).symlink_to(f"/usr/lib/systemd/system/{name}")
    (root / "etc/zlh-agent-plugin.conf").write_text(settings)
    place = Place(root)
    archive = root / "first.tar.gz"
    archive.write_bytes(first.archive)
    hands = Hands(place, SystemdPrograms(), read_settings(place.settings), FileSource(archive))
    ended = install(hands, first.wanted)
    assert ended.outcome == "installed", ended
    archive.unlink()


class SwapGuest:
    """A running guest whose agent is at its first release."""

    def __init__(self, lab: Lab, debian: Debian, settings: str = SETTINGS, first: "Release | None" = None) -> None:
        self.lab, self.vmid = lab, next(VMIDS)
        self.address = str(choose_address(self.vmid, "").ip)
        self.first = first or build_release("1.0.0")
        volume = lab.volumes.allocate("local", self.vmid, 2**30)
        self.root, self.was_off = lab.volumes.path(volume), False
        template = TemplateVersion("1", debian)
        install_root(lab.volumes, volume, template, FIRST_ID, lambda root: bake_plugin(root, settings, self.first))
        config = {
            "rootfs": f"{volume},size=1G",
            "mp0": f"{lab.volumes.allocate('local', self.vmid, 2**28)},mp=/srv/game,size=256M",
            "net0": "name=eth0,bridge=vmbr0,ip=dhcp,type=veth",
            "unprivileged": "1",
            "hostname": f"swap-{self.vmid}",
        }
        self.spec = GuestSpec(self.vmid, "pve1", config)
        self.start()

    def start(self) -> None:
        """Until agent and game answer."""
        self.lab.containers.start(self.spec)
        until(lambda: (self.ask() or {}).get("state") == "running", 20, "agent and game")

    def stop(self) -> None:
        """The power is gone."""
        self.was_off = True
        self.lab.containers.stop(self.vmid)

    def ask(self, path: str = "/status") -> "dict[str, str] | None":
        return read_agent(self.lab, self.address, path)

    def version(self) -> str:
        """What answers on the port; empty if nothing does."""
        return (self.ask("/health") or {}).get("version", "")

    def command(self, *words: str) -> "list[str]":
        """The words of a command that runs in the guest."""
        return ["nsenter", "--target", str(self.lab.containers.init_pid(self.vmid)), "--all", "--", *words]

    def run(self, *words: str) -> str:
        """What a command prints in the guest; RuntimeError if it fails."""
        return self.lab.run_inside(self.vmid, *words)

    def bring(self, release: Release) -> str:
        """Put an archive into the guest; its path there."""
        path = f"/root/{release.name}.tar.gz"
        self.put(path, release.archive)
        return path

    def put(self, path: str, content: bytes) -> None:
        """Write a file in the guest."""
        done = subprocess.run(self.command("sh", "-c", 'cat >"$0"', path), input=content, check=False)
        assert done.returncode == 0

    def install_words(self, release: Release) -> "tuple[str, ...]":
        """The plugin's command, the archive being there."""
        file = self.bring(release)
        return (PROGRAM, "install", "--file", file, "--sha256", release.sha256, "--version", release.version)

    def install(self, release: Release, *options: str) -> "subprocess.CompletedProcess[str]":
        """Install it as a person would, to the end."""
        command = self.command(*self.install_words(release), *options)
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    def status(self) -> Status:
        """The status document as it is on disk."""
        return parse_status(self.run("cat", f"/{STATE}/status.json"))

    def game(self) -> "tuple[str, str]":
        """The game's PID and when it started, as systemd and the kernel say."""
        pid = self.run("systemctl", "show", "--property=MainPID", "--value", "zlh-game.service").strip()
        return pid, self.run("cat", f"/proc/{pid}/stat").rpartition(")")[2].split()[19]

    def drop_in(self, unit: str, text: str) -> None:
        """Change a unit of the guest; an empty text takes the change away."""
        folder = f"/etc/systemd/system/{unit}.d"
        write = f"mkdir -p {folder} && cat >{folder}/test.conf && systemctl daemon-reload"
        done = subprocess.run(self.command("sh", "-c", write), input=text, text=True, check=False)
        assert done.returncode == 0

    @contextmanager
    def unit_without(self, unit: str, keys: "Sequence[str]") -> "Iterator[None]":
        """Take lines out of a unit that no drop-in can take out."""
        expressions = [word for key in keys for word in ("-e", f"/^{key}/d")]
        changed = self.run("sed", *expressions, f"/usr/lib/systemd/system/{unit}")
        self.put(f"/etc/systemd/system/{unit}", changed.encode())
        self.run("systemctl", "daemon-reload")
        yield
        self.run("rm", f"/etc/systemd/system/{unit}")
        self.run("systemctl", "daemon-reload")

    def begin(self, *words: str) -> "subprocess.Popen[str]":
        """A command that runs in the guest; the caller waits for it."""
        return subprocess.Popen(self.command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def read_step(self, file: str = "state.json") -> str:
        """The step that the plugin has written down, read from outside."""
        path = self.root / STATE / file
        try:
            return str(json.loads(path.read_text())["step"])
        except (OSError, ValueError):  # between two states
            return ""

    def begin_and_kill(self, release: Release, step: str) -> None:
        """Kill the plugin once it has come so far; by the number that this machine gives to its process."""
        started = self.begin(*self.install_words(release))
        until(lambda: self.read_step() == step, 30, step)
        children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
        for child in children:  # nsenter waits for the one process that it made in the guest
            os.kill(int(child), signal.SIGKILL)
        started.communicate()

    def begin_until(self, step: str, *words: str) -> None:
        """The plugin's unit runs this command and stands still once the step is done; nothing says yet that it is."""
        self.put(_DOOM_INSIDE, DOOM.read_bytes())
        command = " ".join(("/usr/bin/python3", _DOOM_INSIDE, step, *words[1:]))
        self.drop_in(SERVICE, f"[Service]\nExecStart=\nExecStart={command}\n")
        self.run("systemctl", "start", "--no-block", SERVICE)
        until(self._stands_still, 60, f"end of {step}")
        self.drop_in(SERVICE, "")

    def _stands_still(self) -> bool:
        pid = self.run("systemctl", "show", "--property=MainPID", "--value", SERVICE).strip()
        return pid != "0" and "State:\tT" in self.run("sh", "-c", 'cat "/proc/$0/status" || true', pid)

    def go_on(self) -> None:
        """What stood still goes on, to its end."""
        self.run("systemctl", "kill", "--signal=CONT", SERVICE)
        self.resume()

    def resume(self) -> None:
        """The plugin takes up what was interrupted, if it does not do so already, and comes to its end."""
        self.run("systemctl", "start", SERVICE)

    def lose_power(self) -> None:
        """And come back."""
        self.stop()
        self.start()

    def reboot(self) -> None:
        """In good order."""
        self.was_off = True
        assert self.lab.containers.shutdown(self.vmid, 60)
        self.start()

    def wait_version(self, version: str, seconds: float) -> float:
        """Until this version answers; how long it took."""
        began = time.monotonic()
        until(lambda: self.version() == version, seconds, f"version {version}")
        return time.monotonic() - began
