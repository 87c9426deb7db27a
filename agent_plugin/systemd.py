"""systemd and its journal in this guest, by their own programs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent_plugin.fault import Interrupted, NotNow
from agent_plugin.program import run

AGENT = "zlh-agent.service"
SOCKET = "zlh-agent.socket"
DEADLINE = "zlh-agent-revert.timer"
SECONDS = 20
LONGEST_LOG = 16 * 1024
_PROPERTIES = ("ActiveState", "SubState", "InvocationID", "NRestarts", "MainPID", "ControlGroup")
_AT_WORK = ("running", "listening", "waiting")


@dataclass(frozen=True)
class UnitLook:
    """What systemd says of a unit. ``restarts`` counts those that nobody asked for, since the last asked one."""

    active: bool
    invocation: str = ""
    restarts: int = 0
    pid: int = 0
    group: str = ""


class Systemd(Protocol):
    """What the swap asks of the service manager."""

    def look(self, unit: str = AGENT) -> UnitLook:
        """``Interrupted`` if systemd does not answer."""

    def refuse_shutdown(self) -> None:
        """``Interrupted`` if the system is going down."""

    def restart_agent(self) -> None:
        """Ask for one restart and do not wait for it."""

    def arm_deadline(self) -> None:
        """Start the deadline anew; ``NotNow`` if it does not count then."""

    def disarm_deadline(self) -> None: ...

    def revert(self, script: Path) -> None:
        """Run the shell script that goes back; ``NotNow`` with its words if it could not."""

    def read_cursor(self) -> str:
        """Where the journal ends now; empty if it cannot be read."""

    def read_log(self, cursor: str) -> str:
        """The end of what the agent's unit said after ``cursor``, at most 16 KiB; empty if it cannot be read."""


class SystemdPrograms:
    """:class:`Systemd` by ``systemctl`` and ``journalctl``."""

    def look(self, unit: str = AGENT) -> UnitLook:
        try:
            shown = _run("systemctl", "show", f"--property={','.join(_PROPERTIES)}", "--", unit)
        except NotNow as error:
            raise Interrupted(str(error)) from error
        found = dict(line.partition("=")[::2] for line in shown.splitlines())
        return UnitLook(
            active=found.get("ActiveState") == "active" and found.get("SubState") in _AT_WORK,
            invocation=found.get("InvocationID", ""),
            restarts=int(found.get("NRestarts") or 0),
            pid=int(found.get("MainPID") or 0),
            group=found.get("ControlGroup", ""),
        )

    def refuse_shutdown(self) -> None:
        if _run("systemctl", "show", "--property=SystemState", "--value").strip() == "stopping":
            raise Interrupted("the system is going down")

    def restart_agent(self) -> None:
        self._order("--no-block", "restart", AGENT)

    def _order(self, *words: str) -> None:
        try:
            _run("systemctl", *words)
        except NotNow:
            self.look()  # if systemd is not there at all, it is no answer
            raise

    def arm_deadline(self) -> None:
        self._order("restart", DEADLINE)
        if not self.look(DEADLINE).active:
            raise NotNow(f"{DEADLINE} does not count: see systemctl status {DEADLINE}")

    def disarm_deadline(self) -> None:
        self._order("stop", DEADLINE)

    def revert(self, script: Path) -> None:
        _run(str(script), "plugin")

    def read_cursor(self) -> str:
        words = _run_if_possible("journalctl", "--lines=0", "--show-cursor", "--no-pager").split("cursor: ")
        return words[-1].strip() if len(words) > 1 else ""

    def read_log(self, cursor: str) -> str:
        since = (f"--after-cursor={cursor}",) if cursor else ()
        ask = ("journalctl", f"--unit={AGENT}", "--lines=200", "--output=short-iso", "--no-pager", "--quiet")
        return _run_if_possible(*ask, *since)[-LONGEST_LOG:]


def _run(*command: str) -> str:
    return run(*command, seconds=SECONDS, environment={"SYSTEMD_PAGER": ""}).or_not_now().output


def _run_if_possible(*command: str) -> str:
    try:
        return _run(*command)
    except NotNow:
        return ""
