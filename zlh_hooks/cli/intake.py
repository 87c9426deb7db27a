"""``zlh-hooks intake``: what the guest hook has noted becomes part of the ledger."""

from pathlib import Path
from typing import Annotated

import typer

from zlh_hooks import intake_wiring, wiring
from zlh_hooks.cli.option import Config, PolicyFile


def take_in(
    spool: Annotated[
        Path, typer.Option("--spool", metavar="DIR", help="Where the notes lie, or were brought to.", readable=False)
    ] = intake_wiring.SPOOL,  # whether it can be read is found by reading: access(2) knows of no capability
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Record each note that the guest hook left, once, and take it away; what is no note is set aside in DIR/bad.

    May be run as often as you like: nothing is lost and nothing is recorded twice, however it ends.
    """
    taken = intake_wiring.take_in(wiring.open_site(config, policy), spool, typer.echo)
    typer.echo(f"{taken.notes} notes of {len(taken.guests)} guests recorded")
    for error in taken.left:
        raise error
