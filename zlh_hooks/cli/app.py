"""The command line's root: mounts one noun per file and turns errors into exit codes.

Exit codes: 0 done, 1 it failed or is stuck, 2 settings or usage are wrong, 3 policy says no, 4 the road is broken,
130 interrupted.
"""

import sys

import typer

from zlh_hooks.cli import ledger, plan, policy, ready, recover, rollout, template, window, worker
from zlh_hooks.domain.errors import NotAllowed, RoadError, SettingsError, ZlhError

EXIT_CODES: tuple[tuple[type[ZlhError], int], ...] = (
    (SettingsError, 2),
    (NotAllowed, 3),
    (RoadError, 4),
    (ZlhError, 1),
)

app = typer.Typer(
    name="zlh-hooks",
    help="Maintenance windows, staged template rollouts and a proved way back for Proxmox VE.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(policy.app, name="policy", help="Check the policy and print its schema.")
app.add_typer(window.app, name="window", help="When restricted work may start.")
app.add_typer(template.app, name="template", help="Versions and channels of container templates.")
app.add_typer(rollout.app, name="rollout", help="Carry a template version out to guests, and back.")
app.add_typer(ledger.app, name="ledger", help="The record of intents and outcomes.")
app.add_typer(ready.app, name="ready", help="What is missing before a rollout can start.")
app.command("plan")(plan.show_plan)
app.command("worker")(worker.run_worker)
app.command("recover")(recover.recover)


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
