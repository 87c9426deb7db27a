"""Guests as real LXC containers with systemd as init.

Each start writes a fresh LXC config from the spec it is given and runs ``lxc-start`` in the foreground: the monitor is our
child, and its end is the guest's end. A reboot from inside ends the monitor too (see ``hook.sh``); the listener then says
what to start, so that a pending root comes with it, as on Proxmox.
"""

import logging
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.image import FIRST_ID
from tests.lab.network import BRIDGE, HOST, choose_address, enter_command, read_address, veth_prefix
from tests.lab.place import Place
from tests.lab.volume import DirectoryVolumes
from tests.stand_in.backend import GuestSpec, StopListener

ID_COUNT = 65536
START_SECONDS = 30
STOP_SECONDS = 60
_HERE = Path(__file__).parent
_LOG = logging.getLogger(__name__)
# systemd's own signal for "power off", see systemd(1).
_POWER_OFF = signal.SIGRTMIN + 3
_DROPPED = "mac_admin mac_override mknod sys_module sys_rawio sys_time"


@dataclass(slots=True)
class Guest:
    """A guest that runs: its monitor (our child), its init and whether somebody here asked it to stop."""

    vmid: int
    directory: Path
    monitor: subprocess.Popen[bytes]
    init: int = 0
    started: float = 0.0
    stopping: bool = False
    ended: threading.Event = field(default_factory=threading.Event)


class Containers:
    """A :class:`tests.stand_in.backend.Runtime` of real containers."""

    def __init__(self, place: Place, volumes: DirectoryVolumes) -> None:
        self.place = place
        self.volumes = volumes
        self._guests: dict[int, Guest] = {}
        self._lock = threading.Lock()
        self._listener: StopListener = lambda _vmid, _reboot: None

    def listen(self, listener: StopListener) -> None:
        self._listener = listener

    def start(self, guest: GuestSpec) -> None:
        started = self._launch(guest)
        _wait_for_init(started)
        with self._lock:
            self._guests[guest.vmid] = started
        threading.Thread(target=self._watch, args=(started,), daemon=True).start()

    def shutdown(self, vmid: int, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:  # an init that is not up yet overhears it: say it again
            if self._end(vmid, _POWER_OFF, min(left, 1.0)):
                return True
        return False

    def stop(self, vmid: int) -> None:
        if not self._end(vmid, signal.SIGKILL, STOP_SECONDS):
            raise RuntimeError(f"container {vmid} did not die in {STOP_SECONDS} s")

    def is_running(self, vmid: int) -> bool:
        return vmid in self._guests

    def uptime(self, vmid: int) -> int:
        guest = self._guests.get(vmid)
        return int(time.monotonic() - guest.started) if guest else 0

    def address(self, vmid: int) -> str | None:
        guest = self._guests.get(vmid)
        return read_address(guest.init) if guest else None

    def init_pid(self, vmid: int) -> int:
        """The guest's init as this machine numbers it; KeyError if it does not run."""
        return self._guests[vmid].init

    def close(self) -> None:
        """Stop all guests hard."""
        for vmid in tuple(self._guests):
            self.stop(vmid)

    def _launch(self, spec: GuestSpec) -> Guest:
        name = self.place.guest_name(spec.vmid)
        directory = self.place.lxc_path / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        mounts = tuple(self._mounts(spec))
        (directory / "config").write_text("\n".join(render_config(spec, self.place)) + "\n")
        start = ("lxc-start", "-F", "-P", self.place.lxc_path, "-n", name, "-l", "INFO", "-o", directory / "log")
        isolate = ("unshare", "--mount", "--propagation", "slave", _HERE / "enter.sh", *mounts, "--")
        with (directory / "output").open("wb") as output:
            monitor = subprocess.Popen(
                (*enter_command(self.place), *isolate, *start),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Guest(spec.vmid, directory, monitor)

    def _mounts(self, spec: GuestSpec) -> Iterator[str | Path]:
        """What ``enter.sh`` takes: the root first, then outer before inner paths."""
        owner = FIRST_ID if spec.config.get("unprivileged") == "1" else 0
        volumes = {_mount_path(key, value): value.partition(",")[0] for key, value in _volume_keys(spec.config)}
        for path in sorted(volumes):
            content = self.volumes.path(volumes[path])
            if not any(content.iterdir()):
                os.chown(content, owner, owner)  # a new volume's file system belongs to the guest's root
            yield from (self.volumes.lower(volumes[path]) or "-", content.parent, path)

    def _watch(self, guest: Guest) -> None:
        guest.monitor.wait()
        with self._lock:
            asked = guest.stopping
            self._guests.pop(guest.vmid, None)
        guest.ended.set()
        if not asked:
            self._left_by_itself(guest)

    def _left_by_itself(self, guest: Guest) -> None:
        target = guest.directory / "target"
        spec = self._listener(guest.vmid, target.exists() and target.read_text().strip() == "reboot")
        if spec is None:
            return
        try:
            self.start(spec)
        except (OSError, RuntimeError):
            _LOG.exception("guest %d did not come back from its own reboot", guest.vmid)

    def _end(self, vmid: int, number: int, timeout: float) -> bool:
        with self._lock:
            guest = self._guests.get(vmid)
            if guest is None:
                return True
            guest.stopping = True
            _send_signal(guest.init, number)
        if guest.ended.wait(timeout):
            return True
        guest.stopping = False
        return False


def render_config(spec: GuestSpec, place: Place) -> Iterator[str]:
    """The lines of an LXC config; the root and what is mounted in it already lie in ``/mnt/root``."""
    name = place.guest_name(spec.vmid)
    yield f"lxc.uts.name = {spec.config.get('hostname', name)}"
    yield "lxc.rootfs.path = dir:/mnt/root"
    yield "lxc.mount.auto = proc:mixed sys:mixed"
    # Debian 13's systemd knows cgroup v2 only; with this line both releases see just that, on hybrid machines too.
    yield "lxc.mount.entry = cgroup2 sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec 0 0"
    yield from ("lxc.console.path = none", "lxc.tty.max = 0", "lxc.apparmor.profile = unconfined")
    yield "lxc.pty.max = 1024"  # as on Proxmox: units with PrivateDevices= need /dev/ptmx
    yield "lxc.hook.version = 1"
    yield from (
        f"lxc.hook.{kind} = {_HERE / 'hook.sh'} {place.lxc_path / name}" for kind in ("start-host", "post-stop")
    )
    if spec.config.get("unprivileged") == "1":
        yield from (f"lxc.idmap = {kind} 0 {FIRST_ID} {ID_COUNT}" for kind in "ug")
    else:
        yield f"lxc.cap.drop = {_DROPPED}"
    if "net0" in spec.config:
        yield "lxc.net.0.type = veth"
        yield f"lxc.net.0.veth.pair = {veth_prefix(place)}{spec.vmid}"
        yield from _render_net(spec.vmid, spec.config["net0"])
    else:
        yield "lxc.net.0.type = empty"


def _render_net(vmid: int, net: str) -> Iterator[str]:
    options = dict(part.partition("=")[::2] for part in net.split(","))
    yield from (f"lxc.net.0.link = {BRIDGE}", "lxc.net.0.flags = up")
    yield f"lxc.net.0.name = {options.get('name', 'eth0')}"
    yield f"lxc.net.0.ipv4.address = {choose_address(vmid, net)}"
    yield f"lxc.net.0.ipv4.gateway = {HOST.ip}"
    if "hwaddr" in options:
        yield f"lxc.net.0.hwaddr = {options['hwaddr']}"


def _volume_keys(config: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for key, value in config.items():
        if key == "rootfs" or (key.startswith("mp") and key[2:].isdigit()):
            yield key, value


def _mount_path(key: str, value: str) -> str:
    if key == "rootfs":
        return "/"
    return next(part.removeprefix("mp=") for part in value.split(",") if part.startswith("mp="))


def _wait_for_init(guest: Guest) -> None:
    """Until LXC has an init; RuntimeError with LXC's own words if it never gets there."""
    init, deadline = guest.directory / "init", time.monotonic() + START_SECONDS
    while not init.exists():
        if guest.monitor.poll() is not None or time.monotonic() > deadline:
            guest.monitor.kill()
            guest.monitor.wait()
            logs = (
                path.read_text(errors="replace")
                for path in (guest.directory / "output", guest.directory / "log")
                if path.exists()
            )
            raise RuntimeError(f"startup for container '{guest.vmid}' failed: {' '.join(logs)[-2000:]}")
        time.sleep(0.005)
    guest.init, guest.started = int(init.read_text()), time.monotonic()


def _send_signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
