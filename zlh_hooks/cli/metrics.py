"""``zlh-hooks metrics``: what monitoring should know, for Prometheus."""

from pathlib import Path
from typing import Annotated

import typer

from zlh_hooks import wiring
from zlh_hooks.cli.option import Config, PolicyFile
from zlh_hooks.settings import EXPECTED_TEXTFILE, METRICS_SUFFIX


def print_metrics(
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE.prom", help="Write it there, for node_exporter, instead of printing."),
    ] = None,
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Emergencies, their debts, rollouts, notices and the worker's lease, in Prometheus' text format."""
    if output is not None and output.suffix != METRICS_SUFFIX:
        raise typer.BadParameter(f"--output {output}: expected {EXPECTED_TEXTFILE}")
    measures = wiring.open_site(config, policy).measures()
    if output is None:
        typer.echo(measures.render(), nl=False)
    else:
        measures.publish(output)
