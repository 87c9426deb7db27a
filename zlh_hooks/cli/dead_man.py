"""``zlh-hooks dead-man``: does anybody look after the work?"""

from typing import Annotated

import typer

from zlh_hooks import dead_man_wiring
from zlh_hooks.cli.option import Config, PolicyFile


def look(
    test: Annotated[bool, typer.Option("--test", help="Try every way to whoever is on duty, and record it.")] = False,
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Look once whether a worker cares for what is open; tell whoever is on duty if not, else call the heartbeat.

    zlh-hooks-dead-man.timer calls it every minute. Exit code 1: something is amiss, or somebody could not be told.
    """
    switch = dead_man_wiring.open_dead_man(config, policy, lambda line: typer.echo(line, err=True))
    if not test:
        raise typer.Exit(0 if switch.run() else 1)
    if not switch.test():
        raise typer.Exit(1)
    dead_man_wiring.note_test(config, policy)
    typer.echo("every way works, and that is recorded")
