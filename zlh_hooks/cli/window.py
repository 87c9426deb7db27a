"""``zlh-hooks window``: when restricted work may start."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from zlh_hooks.cli.option import Json, PolicyFile
from zlh_hooks.cli.output import print_json, print_table
from zlh_hooks.domain.policy import Component
from zlh_hooks.domain.window import Occurrence, list_occurrences, next_occurrence
from zlh_hooks.settings import load_policy

app = typer.Typer(no_args_is_help=True)
COLUMNS = ("window", "effect", "starts (local)", "starts (UTC)", "ends (UTC)", "last start (UTC)", "note")
For = Annotated[Component, typer.Option("--component", help="For which system.")]


@app.command("list")
def list_windows(
    policy: PolicyFile = None,
    component: For = Component.TEMPLATE,
    days: Annotated[int, typer.Option("--days", min=1, max=3660, help="How far ahead.")] = 30,
    json: Json = False,
) -> None:
    """Every opening that begins in the next days; `deny` windows are listed too."""
    now = datetime.now(UTC)
    _print(list_occurrences(load_policy(policy), component, now, now + timedelta(days=days)), json)


@app.command("next")
def next_window(policy: PolicyFile = None, component: For = Component.TEMPLATE, json: Json = False) -> None:
    """The next opening in which something may start, freezes and `deny` windows taken out."""
    found = next_occurrence(load_policy(policy), component, datetime.now(UTC))
    if found is None and not json:
        typer.echo(f"no window for {component} within five years")
    else:
        _print((found,) if found else (), json)


def _print(occurrences: tuple[Occurrence, ...], json: bool) -> None:
    if json:
        print_json([_describe(found) for found in occurrences])
    else:
        print_table(COLUMNS, [_row(found) for found in occurrences])


def _row(found: Occurrence) -> tuple[str, ...]:
    instants = (f"{instant:%Y-%m-%d %H:%M}" for instant in (found.start, found.end, found.cutoff))
    return (found.name, found.effect, f"{found.local_start:%a %Y-%m-%d %H:%M %Z}", *instants, found.moved or "")


def _describe(found: Occurrence) -> dict[str, Any]:
    return {
        "name": found.name,
        "effect": found.effect,
        "start": found.start,
        "end": found.end,
        "cutoff": found.cutoff,
        "local_start": found.local_start,
        "moved": found.moved,
    }
