"""Whether a restart of the agent would take something else with it."""

import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from agent_plugin.fault import NotNow
from agent_plugin.systemd import UnitLook

PATIENCE_SECONDS = 5.0
_PAUSE_SECONDS = 0.1


def refuse_foreign(agent: UnitLook, helpers: Collection[str], patience: float = PATIENCE_SECONDS) -> None:
    """``NotNow`` if a process stays in the agent's control group that is neither the agent nor one of its helpers.

    Short-lived children are waited for, ``patience`` seconds at most.
    """
    deadline = time.monotonic() + patience
    while foreign := dict(find_foreign(agent, helpers)):
        if time.monotonic() > deadline:
            raise NotNow(render_refusal(foreign, agent.group))
        time.sleep(_PAUSE_SECONDS)


def find_foreign(agent: UnitLook, helpers: Collection[str]) -> Iterator["tuple[int, str]"]:
    """PID and name of everything that would die with the agent. Nothing if the agent does not run."""
    if not agent.group.strip("/"):
        return
    for process in Path("/proc").glob("[0-9]*"):
        pid = int(process.name)
        if pid in (agent.pid, os.getpid()) or not _is_in(process, agent.group):
            continue
        name = _read(process / "comm").strip()
        if name and name not in helpers:
            yield pid, name


def _is_in(process: Path, group: str) -> bool:
    """A line of ``/proc/PID/cgroup`` is ``number:controllers:path``; systemd's is number 0, or named ``systemd``."""
    for line in _read(process / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "name=systemd") and (path == group or path.startswith(f"{group}/")):
            return True
    return False


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def render_refusal(foreign: "dict[int, str]", group: str) -> str:
    """What is wrong, and how it is split."""
    named = ", ".join(f"{name} ({pid})" for pid, name in sorted(foreign.items()))
    return (
        f"{named} would die with the agent: in its control group {group}. A workload needs a unit of its own: write"
        " zlh-game.service and let the agent call systemctl start zlh-game.service, or start it with"
        " systemd-run --unit=zlh-game; a helper of the agent may be named in helpers, in the plugin's settings"
    )
