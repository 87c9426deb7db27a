"""``zlh-hooks ready``: what is missing before the launch. Exit code 0 only if nothing is."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any

import typer

from zlh_hooks import wiring
from zlh_hooks.application.launch import list_points
from zlh_hooks.application.ready import Readiness
from zlh_hooks.cli.option import Config, Json, PolicyFile, render_options
from zlh_hooks.cli.output import print_json, print_table
from zlh_hooks.domain.attestation import BACKUP, CONFIRMED, DRILLED, MONITORING, REHEARSED
from zlh_hooks.domain.point import Point
from zlh_hooks.domain.right import render_roles
from zlh_hooks.domain.window_rule import Component
from zlh_hooks.launch_wiring import open_survey

app = typer.Typer()
COLUMNS = ("point", "state", "found", "what makes it green")
KEYS_HELP = (
    f"One of: {BACKUP}; {MONITORING}; {CONFIRMED}KEY for a key of to_confirm in the policy; {DRILLED}PERSON for "
    f"somebody on call, by their short name in the policy; {REHEARSED}COMPONENT for a manual one of "
    f"{', '.join(Component)}."
)


@app.callback(invoke_without_command=True)
def ready(context: typer.Context, config: Config = None, policy: PolicyFile = None, json: Json = False) -> None:
    """The launch gate: a line for each decision and validation, and what makes the red ones green."""
    if context.invoked_subcommand is not None:
        _refuse_lost_options(context)
        return
    site = wiring.open_site(config, policy)
    points = list_points(site.policy, open_survey(site))
    is_ready = all(point.is_green for point in points)
    options = render_options(config, policy)
    if json:
        print_json({"ready": is_ready, "points": [_describe_point(one, options) for one in points]})
    else:
        _print_points(points, options)
    raise typer.Exit(0 if is_ready else 1)


def _refuse_lost_options(context: typer.Context) -> None:
    """An option before the sub-command would not reach it."""
    for name in ("config", "policy", "json"):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"write --{name} after {context.invoked_subcommand}")


def _print_points(points: tuple[Point, ...], options: str) -> None:
    print_table(COLUMNS, [_row_of(point, options) for point in points])
    red = [point for point in points if not point.is_green]
    if red:
        typer.echo(f"not ready: {len(red)} of {len(points)} are red")
    else:
        typer.echo(f"ready: all {len(points)} are green")


def _row_of(point: Point, options: str) -> tuple[str, ...]:
    commands = " ".join(f"`{command}`" for command in _complete(point.commands, options))
    state = "green" if point.is_green else "red"
    return (point.name, state, point.found, " ".join(filter(None, (point.act, commands))))


def _describe_point(point: Point, options: str) -> dict[str, Any]:
    state = "green" if point.is_green else "red"
    commands = _complete(point.commands, options)
    return {"name": point.name, "state": state, "found": point.found, "act": point.act, "commands": commands}


def _complete(commands: Iterable[str], options: str) -> list[str]:
    return [command + options for command in commands]


@app.command()
def attest(
    key: Annotated[str, typer.Argument(metavar="KEY", help=KEYS_HELP)],
    note: Annotated[str, typer.Option("--note", help="What others should know of it, e.g. how long it took.")] = "",
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Say that you have done what only a person can do; your name and word are recorded."""
    site = wiring.open_site(config, policy)
    site.launch_desk().attest(key, note)
    typer.echo(f"recorded: {key}, by {site.author}")


@app.command("pve")
def check_pve(config: Config = None, policy: PolicyFile = None, json: Json = False) -> None:
    """Compare what the API token may do with what the guests of the policy need."""
    site = wiring.open_site(config, policy)
    found = site.ask_rights()
    reach = site.settings.proxmox
    roles = render_roles(reach.user, reach.token_name, found.scope)
    if json:
        print_json({"missing": [asdict(one) for one in found.missing], "commands": list(roles)})
    else:
        _print(found, roles)
    raise typer.Exit(1 if found.missing else 0)


def _print(found: Readiness, roles: tuple[str, ...]) -> None:
    scope = found.scope
    seen = f"{len(scope.targets)} guests and {len(scope.templates)} templates"
    if not found.missing:
        typer.echo(f"ready: the token may do all that work on {seen} needs")
        return
    typer.echo(f"not ready: the token lacks {len(found.missing)} rights for work on {seen}")
    print_table(("path", "missing privilege"), [(one.path, one.privilege) for one in found.missing])
    typer.echo("Roles for Proxmox VE 9, to be given to the user and to its token (guests; patching of nodes):")
    for command in roles:
        typer.echo(f"  {command}")
    if not scope.templates:
        typer.echo("Then ask again: which storages and bridges are needed shows once the token sees the templates.")
