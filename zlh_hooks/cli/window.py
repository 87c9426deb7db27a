"""``zlh-hooks window``: when restricted work may start."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from zlh_hooks.cli.option import LOCAL_FORMATS, Json, PolicyFile, resolve_instant
from zlh_hooks.cli.output import print_json, print_table
from zlh_hooks.domain.window import HORIZON, Occurrence, decide, list_occurrences, next_occurrence
from zlh_hooks.domain.window_rule import Component
from zlh_hooks.settings import load_policy

app = typer.Typer(no_args_is_help=True)
OCCURRENCE_COLUMNS = ("effect", "window", "starts (local)", "starts (UTC)", "ends (UTC)", "last start (UTC)", "note")
NEXT_COLUMNS = ("component", "now", "next window", "starts (local)", "starts (UTC)", "note")


ComponentOption = Annotated[
    Component | None, typer.Option("--component", "-c", help="For which system; all if left out.")
]
From = Annotated[
    datetime | None,
    typer.Option("--from", formats=[*LOCAL_FORMATS], help="As if it were then, in the policy's zone; now if left out."),
]


@app.command("list")
def list_windows(
    days: Annotated[int, typer.Option("--days", help="How far ahead.", min=1, max=HORIZON.days)] = 14,
    component: ComponentOption = None,
    begin: From = None,
    policy: PolicyFile = None,
    json: Json = False,
) -> None:
    """Windows and freezes of the next days, in local time and UTC, and where a change of clocks moves a start."""
    rules = load_policy(policy)
    after = resolve_instant(rules, begin)
    found = list_occurrences(rules, component, after, after + timedelta(days=days))
    if json:
        print_json([_describe(occurrence) for occurrence in found])
    else:
        print_table(OCCURRENCE_COLUMNS, [_row(occurrence) for occurrence in found])


@app.command("next")
def show_next(
    component: ComponentOption = None, begin: From = None, policy: PolicyFile = None, json: Json = False
) -> None:
    """Whether work may start now, and the next window that is not denied altogether; for one component or for each."""
    rules = load_policy(policy)
    now = resolve_instant(rules, begin)
    wanted = (component,) if component else tuple(Component)
    found = [(one, decide(rules, one, now, timedelta(0)), next_occurrence(rules, one, now)) for one in wanted]
    if json:
        print_json(
            [
                {
                    "component": one,
                    "allowed": decision.allowed,
                    "rule": decision.rule,
                    "allowed_from": decision.until,
                    "next": _describe(then) if then else None,
                }
                for one, decision, then in found
            ]
        )
        return
    print_table(NEXT_COLUMNS, [(one, decision.rule, *_next_cells(then)) for one, decision, then in found])


def _row(occurrence: Occurrence) -> tuple[str, ...]:
    last_start = _render_utc(occurrence.cutoff) if occurrence.effect == "allow" else ""
    times = (_render_local(occurrence), _render_utc(occurrence.start), _render_utc(occurrence.end), last_start)
    return (occurrence.effect, occurrence.name, *times, occurrence.moved or occurrence.reason)


def _next_cells(occurrence: Occurrence | None) -> tuple[str, ...]:
    if occurrence is None:
        return ("none", "", "", "")
    start = _render_utc(occurrence.start)
    return (occurrence.name, _render_local(occurrence), start, occurrence.moved or "")


def _render_local(occurrence: Occurrence) -> str:
    return f"{occurrence.local_start:%a %Y-%m-%d %H:%M %Z}"


def _render_utc(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M}"


def _describe(occurrence: Occurrence) -> dict[str, Any]:
    return {
        "name": occurrence.name,
        "effect": occurrence.effect,
        "start": occurrence.start,
        "end": occurrence.end,
        "last_start": occurrence.cutoff if occurrence.effect == "allow" else None,
        "local_start": occurrence.local_start,
        "moved": occurrence.moved,
        "reason": occurrence.reason,
    }
