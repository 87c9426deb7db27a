"""``zlh-hooks downtime``: what customers could not use, month by month, and the watch from outside that sees it."""

import json as plain
import signal
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from zlh_hooks import downtime_wiring, wiring
from zlh_hooks.application.downtime_desk import Report
from zlh_hooks.cli.downtime_table import describe_report, render_csv
from zlh_hooks.cli.option import LOCAL_FORMATS, Config, Json, PolicyFile, Security, resolve_instant
from zlh_hooks.domain.month import EXPECTED, Month, parse_month

app = typer.Typer(no_args_is_help=True)


def _parse_month(text: str) -> Month:
    try:
        return parse_month(text)
    except ValueError as error:
        raise typer.BadParameter(EXPECTED) from error


@app.command()
def export(
    month: Annotated[
        Month, typer.Option("--month", metavar="YYYY-MM", parser=_parse_month, help="In the policy's time zone.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", help="A file, mode 0600, written whole or not at all; else stdout.")
    ] = None,
    config: Config = None,
    policy: PolicyFile = None,
    json: Json = False,
) -> None:
    """Planned and unplanned downtime of each guest, against the goal, and the credit that the policy proposes.

    As CSV, or with what each figure rests on as JSON. A month that is not over is reckoned up to now and says so.
    """
    report = downtime_wiring.open_desk(wiring.open_site(config, policy)).report(month)
    text = plain.dumps(describe_report(report), indent=2) + "\n" if json else render_csv(report)
    if output is None:
        typer.echo(text, nl=False)
    else:
        downtime_wiring.write_export(output, text)
    _warn(report)


def _warn(report: Report) -> None:
    """What nobody knows is told apart from the figures, so that nobody takes it for health."""
    if not report.is_over:
        typer.echo(f"{report.month} is not over: reckoned up to {report.within.end:%Y-%m-%d %H:%M} UTC", err=True)
    for span, cause, guests in report.list_gaps():
        when = f"{span.begin:%Y-%m-%d %H:%M:%S} to {span.end:%Y-%m-%d %H:%M:%S} UTC"
        typer.echo(f"not known: {when}, {guests} guests: {cause}", err=True)


@app.command()
def watch(
    config: Config = None,
    policy: PolicyFile = None,
    wait: Annotated[
        float, typer.Option("--wait", help="Seconds to wait for the lease of a watcher that died.", min=0)
    ] = 0,
) -> None:
    """Look at router, edge and all else that is shared, from outside; a line for each change. Ends on SIGTERM."""
    stop = threading.Event()
    run = downtime_wiring.open_watcher(
        wiring.open_site(config, policy),
        typer.echo,
        lambda length: stop.wait(length.total_seconds()),
        timedelta(seconds=wait),
    )
    for number in (signal.SIGTERM, signal.SIGINT):  # only now: whoever still waits for the lease just ends
        signal.signal(number, lambda *_: stop.set())
    run()


@app.command()
def announce(
    point: Annotated[str, typer.Argument(help="A watched point of the policy, e.g. router.")],
    begin: Annotated[datetime, typer.Option("--from", formats=[*LOCAL_FORMATS], help="When it may be away at first.")],
    end: Annotated[datetime, typer.Option("--until", formats=[*LOCAL_FORMATS], help="The end that was announced.")],
    reason: Annotated[str, typer.Option("--reason", help="What is done, and how customers were told; recorded.")],
    told: Annotated[
        datetime | None, typer.Option("--told", formats=[*LOCAL_FORMATS], help="When they were told; now if left out.")
    ] = None,
    security: Security = False,
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Say that you have told customers of work by hand on a watched point: up to its announced end it is planned."""
    site = wiring.open_site(config, policy)
    desk = downtime_wiring.open_desk(site)
    times = (resolve_instant(site.policy, one) for one in (begin, end, told))
    proposed = desk.propose(point, *times, security=security)
    desk.announce(proposed, reason)
    typer.echo(f"recorded: {point} may be away {proposed.begin:%Y-%m-%d %H:%M} to {proposed.end:%Y-%m-%d %H:%M} UTC")


@app.command()
def ended(
    guest: Annotated[int, typer.Argument(metavar="VMID", help="A guest that a rollout left down or unproved.")],
    reason: Annotated[str, typer.Option("--reason", help="How you know; recorded.")],
    at: Annotated[
        datetime | None,
        typer.Option("--at", formats=[*LOCAL_FORMATS], help="Since when, in the policy's zone; now if left out."),
    ] = None,
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Say that a guest can be used again whose outage nothing has ended, because you mended it by hand."""
    site = wiring.open_site(config, policy)
    since = resolve_instant(site.policy, at)
    downtime_wiring.open_desk(site).note_ended(guest, since, reason)
    typer.echo(f"recorded: guest {guest} can be used since {since:%Y-%m-%d %H:%M} UTC")
