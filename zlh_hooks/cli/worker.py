"""``zlh-hooks worker``: execute what the ledger holds."""

from datetime import timedelta
from typing import Annotated

import typer

from zlh_hooks import wiring
from zlh_hooks.cli.option import Config, PolicyFile


def run_worker(
    config: Config = None,
    policy: PolicyFile = None,
    stay: Annotated[bool, typer.Option("--stay", help="Do not end when nothing is left to do.")] = False,
    wait: Annotated[
        float, typer.Option("--wait", help="Seconds to wait for the lease of a worker that died.", min=0)
    ] = 0,
) -> None:
    """Execute rollouts in the foreground. One worker at a time; a second one is told who and until when."""
    wiring.open_site(config, policy).run_worker(stays=stay, patience=timedelta(seconds=wait))
