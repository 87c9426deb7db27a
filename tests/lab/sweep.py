"""Finds and removes whatever a lab left on the machine, after SIGKILL at any moment too.

Everything is found by the lab's own names and paths (see :class:`tests.lab.place.Place`); nothing else is touched.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab.network import run_quietly, veth_prefix
from tests.lab.place import HOME, Place, name_prefix

CGROUPS = Path("/sys/fs/cgroup")
LXC_LOCKS = Path("/run/lxc/lock")
NAMESPACES = Path("/run/netns")
PATIENCE_SECONDS = 20


@dataclass(frozen=True, slots=True, order=True)
class Leftover:
    """``kind``: process, cgroup, veth, mount, loop or namespace; ``name``: its pid, path or name."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class _Scope:
    """What to look for: names that match and things below ``directory``."""

    names: re.Pattern[str]
    directory: Path
    veths: str


def list_leftovers(home: Path = HOME, lab: str | None = None) -> tuple[Leftover, ...]:
    """Everything that is there now of all labs below ``home``, or of the one called ``lab``; empty on a clean machine."""
    scope = _scope(home, lab)
    found = [Leftover("process", str(pid)) for pid in _find_processes(scope)]
    found += [Leftover("cgroup", str(path)) for path in _find_cgroups(scope)]
    found += [Leftover("namespace", path.name) for path in _find_namespaces(scope)]
    found += [Leftover("veth", name) for name in _find_veths(scope)]
    found += [Leftover("mount", path) for path in _find_mounts(scope)]
    found += [Leftover("loop", path) for path in _find_loops(scope)]
    return tuple(sorted(found))


def sweep(home: Path = HOME, lab: str | None = None) -> None:
    """Remove all of it, and the labs' directories; built roots in the cache stay. May be repeated."""
    scope = _scope(home, lab)
    _kill_processes(scope)
    for namespace in _find_namespaces(scope):
        subprocess.run(("ip", "netns", "delete", namespace.name), check=True, capture_output=True)
    for path in reversed(tuple(_find_mounts(scope))):
        subprocess.run(("umount", "--lazy", path), check=True, capture_output=True)
    for device in _find_loops(scope):
        subprocess.run(("losetup", "--detach", device), check=True, capture_output=True)
    _remove_cgroups(scope)
    for state in _find_states(home, lab):
        shutil.rmtree(state, ignore_errors=True)
        shutil.rmtree(LXC_LOCKS / state.relative_to("/"), ignore_errors=True)


def _scope(home: Path, lab: str | None) -> _Scope:
    prefix = re.escape(name_prefix(home))
    names = prefix if lab is None else f"{prefix}{re.escape(lab)}(?:-\\d+)*\\Z"
    return _Scope(re.compile(names), home if lab is None else home / lab, veth_prefix(Place(home / "any")))


def _find_states(home: Path, lab: str | None) -> Iterator[Path]:
    """Directories that a lab marked as its own by making ``lxc`` in them."""
    for state in home.glob(lab or "*"):
        if (state / "lxc").is_dir():
            yield state


def _find_namespaces(scope: _Scope) -> tuple[Path, ...]:
    return tuple(path for path in NAMESPACES.glob("zlhlab-*") if scope.names.match(path.name))


def _find_cgroups(scope: _Scope) -> Iterator[Path]:
    for parent, directories, _ in os.walk(CGROUPS):
        ours = [name for name in directories if _is_cgroup(name, scope)]
        directories[:] = [name for name in directories if name not in ours]
        yield from (Path(parent, name) for name in ours)


def _is_cgroup(name: str, scope: _Scope) -> bool:
    _, kind, rest = (*name.split(".", 2), "", "")[:3]
    return kind in ("payload", "monitor") and bool(scope.names.match(rest))


def _find_processes(scope: _Scope) -> set[int]:
    """Of guests and monitors by their cgroup, of everything else by the lab's network namespace."""
    spared = set(_ancestors(os.getpid()))
    found = {pid for cgroup in _find_cgroups(scope) for pid in _read_pids(cgroup)}
    networks = {_identity(path) for path in _find_namespaces(scope)}
    for process in Path("/proc").glob("[0-9]*"):
        if _identity(process / "ns/net") in networks or _is_monitor(process, scope):
            found.add(int(process.name))
    return found - spared


def _is_monitor(process: Path, scope: _Scope) -> bool:
    """A monitor may be caught before it has a cgroup: it, and what leads to it, names LXC's path of one of our labs."""
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    below = f"{scope.directory}/"
    return "lxc-start" in words and any(word.startswith(below) and word.endswith("/lxc") for word in words)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 0:
        yield pid
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _read_pids(cgroup: Path) -> Iterator[int]:
    for parent, _, files in os.walk(cgroup):
        if "cgroup.procs" in files:
            try:
                yield from map(int, Path(parent, "cgroup.procs").read_text().split())
            except OSError:  # the cgroup went away meanwhile, or its kind lists no processes
                continue


def _kill_processes(scope: _Scope) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while pids := _find_processes(scope):
        if time.monotonic() > deadline:
            raise RuntimeError(f"processes of the lab do not die: {sorted(pids)}")
        for pid in pids - {0}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)


def _remove_cgroups(scope: _Scope) -> None:
    """Deepest first. The kernel may need a moment after the last process; ``lxc.pivot`` is where LXC parks monitors."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while cgroups := tuple(_find_cgroups(scope)):
        for cgroup in cgroups:
            for parent, _, _ in os.walk(cgroup, topdown=False):
                _remove_empty(Path(parent))
        if time.monotonic() > deadline:
            raise RuntimeError(f"cgroups of the lab cannot be removed: {[str(path) for path in cgroups]}")
        time.sleep(0.01)
    for pivot in (*CGROUPS.glob("lxc.pivot"), *CGROUPS.glob("*/lxc.pivot")):
        _remove_empty(pivot)


def _remove_empty(cgroup: Path) -> None:
    try:
        cgroup.rmdir()
    except OSError:  # busy: tried again, or somebody else's
        return


def _find_veths(scope: _Scope) -> Iterator[str]:
    for where in ((), *(("-n", path.name) for path in _find_namespaces(scope))):
        for line in run_quietly(("ip", *where, "-o", "link", "show", "type", "veth")).stdout.splitlines():
            name = line.split(":")[1].strip().partition("@")[0]
            if name.startswith(scope.veths):
                yield name


def _find_mounts(scope: _Scope) -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        path = line.split()[4]
        if path.startswith(f"{scope.directory}/"):
            yield path


def _find_loops(scope: _Scope) -> Iterator[str]:
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            file = backing.read_text().strip()
        except OSError:
            continue
        if file.startswith(f"{scope.directory}/"):
            yield f"/dev/{backing.parts[3]}"
