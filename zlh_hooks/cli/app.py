"""The command line's root: mounts one noun per file and turns errors into exit codes.

``EPILOG`` says what the exit codes mean.
"""

import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from zlh_hooks.domain.errors import NotAllowed, RoadError, SettingsError, ZlhError

EPILOG = (
    "Begin with init, then ready: it names what is missing, and how that is done. Then plan, and rollout start. "
    "Exit codes: 0 done, 1 it failed or is stuck, 2 settings or usage are wrong, 3 policy says no, "
    "4 a server, or a file that the work needs, could not be reached; 130 interrupted."
)
EXIT_CODES: tuple[tuple[type[ZlhError], int], ...] = (
    (SettingsError, 2),
    (NotAllowed, 3),
    (RoadError, 4),
    (ZlhError, 1),
)

NOUNS = {
    "policy": "Check the policy, print its schema, and the pages that people read.",
    "window": "When restricted work may start.",
    "template": "Versions and channels of container templates.",
    "rollout": "Carry a template version out to guests, and back.",
    "hold": "Keep our work away from guests for a while; keep a guest from starting.",
    "hooks": "Which guests name the guest hook, and how the others come to it.",
    "patch": "Carry packages out to guests, and back.",
    "agent": "Which agent guests install: keys, releases, pins.",
    "notice": "What customers are told of a rollout.",
    "emergency": "What cannot wait for a window.",
    "downtime": "What customers could not use, and what it is worth.",
    "ledger": "The record of intents and outcomes.",
    "ready": "What is missing before the launch.",
}
COMMANDS = {
    "init": "found_site",
    "plan": "show_plan",
    "defer": "defer",
    "worker": "run_worker",
    "recover": "recover",
    "intake": "take_in",
    "dead-man": "look",
    "metrics": "print_metrics",
}


class Rooms(TyperGroup):
    """Imports a noun's file when it is asked for: ``template pick``, run for every new guest, pays for no other."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Every noun, then the commands without one."""
        return [*NOUNS, *COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The noun's group or the command; None if there is no such word."""
        if cmd_name not in NOUNS and cmd_name not in COMMANDS:
            return None
        room = import_module(f"zlh_hooks.cli.{cmd_name.replace('-', '_')}")
        parent = typer.Typer(add_completion=False)
        if cmd_name in NOUNS:
            parent.add_typer(room.app, name=cmd_name, help=NOUNS[cmd_name])
        else:
            parent.command(cmd_name)(getattr(room, COMMANDS[cmd_name]))
        return get_group(parent).commands[cmd_name]


app = typer.Typer(
    name="zlh-hooks",
    cls=Rooms,
    help="Maintenance windows, staged template rollouts and a proved way back for Proxmox VE.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    """Print the version, or go on to a command."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("zlh-hooks"))
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Run the command line."""
    try:
        app()
    except ZlhError as error:
        typer.echo(f"zlh-hooks: {error}", err=True)
        sys.exit(next(code for kind, code in EXIT_CODES if isinstance(error, kind)))
    except KeyboardInterrupt:
        sys.exit(130)
