"""``zlh-hooks intake``: what the guest hook has noted becomes part of the ledger."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from zlh_hooks import intake_wiring, wiring
from zlh_hooks.application.intake import Taken
from zlh_hooks.cli.option import Config, PolicyFile
from zlh_hooks.domain.errors import SettingsError
from zlh_hooks.domain.guest_note import NODE


def take_in(
    spool: Annotated[
        Path, typer.Option("--spool", metavar="DIR", help="Where the notes lie.", readable=False)
    ] = intake_wiring.SPOOL,  # whether it can be read is found by reading: access(2) knows of no capability
    receive: Annotated[
        str | None,
        typer.Option("--receive", metavar="NODE", help="Read what zlh-note-forwarder of that node sends instead."),
    ] = None,
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Record each note that the guest hook left, once, and take it away; what is no note is set aside in DIR/bad.

    May be run as often as you like: nothing is lost and nothing is recorded twice, however it ends.
    """
    site = wiring.open_site(config, policy)
    if receive is not None:
        node = _check_node(receive, spool)
        _check_sender(node, os.environ.get("SSH_ORIGINAL_COMMAND"))
        _tell(_render(intake_wiring.receive(site, node, _tell)))
        return
    taken = intake_wiring.take_in(site, spool, typer.echo)
    typer.echo(_render(taken))
    for error in taken.left:
        raise error


def _render(taken: Taken) -> str:
    return f"{taken.notes} notes of {len(taken.guests)} guests recorded"


def _check_node(name: str, spool: Path) -> str:
    if spool != intake_wiring.SPOOL:
        raise typer.BadParameter("--receive reads what is sent, and --spool a folder; expected one of them")
    if not name or not NODE.fullmatch(name):
        raise typer.BadParameter(f"--receive {name!a}: expected a node's name, as Proxmox shows it")
    return name


def _check_sender(node: str, asked: str | None) -> None:
    """What the node asked for by ssh says which one it is; None if it is no ssh that calls this."""
    expected = f"zlh-hooks-notes {node}"
    if asked is not None and asked != expected:
        raise SettingsError("authorized_keys", f"--receive {node}", ascii(asked[:80]), repr(expected))


def _tell(line: str) -> None:
    """To the sender, beside the answers that its program reads; one that has gone away misses it."""
    with suppress(OSError):
        typer.echo(line, err=True)
