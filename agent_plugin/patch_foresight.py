"""Who runs files that a patch is about to replace: a look at ``/proc`` before anything is touched.

What ``needrestart`` finds afterwards is the evidence; this says beforehand what may be brought outside of windows.
"""

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from agent_plugin.patch_impact import Findings
from agent_plugin.words import make_printable

_SERVICE, _SCOPE = ".service", ".scope"
"""A container or a session is a scope; services in it are its own."""


def find_users(files: Collection[str], proc: Path = Path("/proc")) -> Findings:
    """Services, and what is in none, that have one of these files mapped. Files replaced earlier count no more.

    The plugin's own process and its service are left out. ``files``: paths as packages have them.
    """
    wanted = {variant for file in files for variant in _list_variants(file)}
    own = _find_unit(proc / str(os.getpid()))
    units, others = set(), set()
    for process in proc.glob("[0-9]*"):
        if process.name == str(os.getpid()) or not wanted.intersection(_list_mapped(process)):
            continue
        unit, name = _find_unit(process), _read(process / "comm").strip()
        if unit and unit != own:
            units.add(unit)
        elif not unit and name:  # else it has ended meanwhile
            others.add(make_printable(f"PID: {process.name} {name}"))
    return Findings(frozenset(units), frozenset(others))


def _list_variants(file: str) -> "Iterator[str]":
    """Where ``/lib`` is a link to ``/usr/lib``, packages name either and the kernel the second."""
    yield file
    yield f"/usr{file}"
    yield file.removeprefix("/usr")


def _list_mapped(process: Path) -> "Iterator[str]":
    for line in _read(process / "maps").splitlines():
        path = line.split(None, 5)[5:]
        yield from path  # one that was replaced earlier ends with " (deleted)", which is no file's of a package


def _find_unit(process: Path) -> str:
    """The service of systemd's that it belongs to; empty if that is none."""
    for line in _read(process / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        unit = next((part for part in path.split("/") if part.endswith((_SERVICE, _SCOPE))), "")
        if unit.endswith(_SERVICE) and controllers in ("", "name=systemd"):
            return unit
    return ""


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it has ended meanwhile
        return ""
