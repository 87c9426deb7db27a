"""The services of this guest, by ``systemctl``."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from agent_plugin.fault import NotNow
from agent_plugin.patch_impact import UNIT, Unit
from agent_plugin.program import run

READ_SECONDS = 30.0
RESTART_SECONDS = 120.0
_PROPERTIES = "Id,FragmentPath,InvocationID,MainPID"


class Units(Protocol):
    """What a patch asks of the service manager."""

    def list_running(self) -> "Mapping[str, Unit]":
        """All services that run, by name; ``NotNow`` if that cannot be read."""

    def restart(self, name: str) -> None:
        """Restart one and wait for it; ``NotNow`` with its words if it does not come up."""


class SystemdUnits:
    """:class:`Units` of systemd."""

    def list_running(self) -> "Mapping[str, Unit]":
        options = ("--type=service", "--state=running", "--plain", "--no-legend", "--full", "--no-pager")
        listed = run("systemctl", "list-units", *options, seconds=READ_SECONDS).or_not_now().output
        names = [words[0] for line in listed.splitlines() if (words := line.split()) and UNIT.fullmatch(words[0])]
        if not names:
            return {}
        shown = run("systemctl", "show", f"--property={_PROPERTIES}", "--", *names, seconds=READ_SECONDS).or_not_now()
        return {unit.name: unit for unit in parse_units(shown.output)}

    def restart(self, name: str) -> None:
        if not UNIT.fullmatch(name):
            raise NotNow(f"{name!r} is no name of a service")
        run("systemctl", "restart", "--", name, seconds=RESTART_SECONDS).or_not_now()


def parse_units(output: str) -> "Iterator[Unit]":
    """What ``systemctl show`` printed of several units: a block for each, in any order of its lines."""
    for block in output.strip().split("\n\n"):
        found = dict(line.partition("=")[::2] for line in block.splitlines())
        if found.get("Id"):
            yield Unit(
                found["Id"],
                found.get("FragmentPath", ""),
                found.get("InvocationID", ""),
                int(found.get("MainPID") or 0),
            )
