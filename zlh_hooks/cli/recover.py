"""``zlh-hooks recover``: what rollouts left on Proxmox, also with the ledger lost."""

from collections.abc import Callable
from typing import Annotated

import typer

from zlh_hooks import wiring
from zlh_hooks.application.journal import Journal
from zlh_hooks.application.recover import Remnant
from zlh_hooks.cli.option import Config, Json, PolicyFile, Yes
from zlh_hooks.cli.output import print_json, print_table
from zlh_hooks.cli.question import make_sure
from zlh_hooks.domain.errors import NotAllowed, TargetError
from zlh_hooks.domain.guest import render_guests

COLUMNS = ("guest", "name", "node", "rollout", "is", "old root", "new root", "can go")


def recover(
    guest: Annotated[int | None, typer.Argument(help="Only this guest.")] = None,
    back: Annotated[
        bool, typer.Option("--back", help="Take it back to its old root; scratch guests go, trials end.")
    ] = False,
    forward: Annotated[bool, typer.Option("--forward", help="Leave it on its new root for good.")] = False,
    now: Annotated[
        bool, typer.Option("--now", help="Restart it whatever others do meanwhile; a lock is waited for still.")
    ] = False,
    config: Config = None,
    policy: PolicyFile = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """List what a rollout left in work, from Proxmox alone; with --back or --forward bring it to an end."""
    if back and forward:
        raise typer.BadParameter("--back or --forward, not both")
    site = wiring.open_site(config, policy)
    recovery = site.recovery(insists=now, say=lambda text: typer.echo(text, err=True))
    found = [remnant for remnant in recovery.list_remnants() if guest in (None, remnant.ref.vmid)]
    none = (
        "no guest was left in work"
        if guest is None
        else f"guest {guest} was not left in work, if there is such a guest"
    )
    if not (back or forward):
        _print(found, none, json)
        return
    site.refuse_recovery()
    if not found:
        raise NotAllowed(none)
    _print(found, none, False)
    make_sure(f"Take {render_guests(len(found))} {'back' if back else 'forward'}?", yes=yes)
    _bring_to_end(recovery.take_back if back else recovery.go_forward, site, found)


def _bring_to_end(act: Callable[[Remnant, Journal], str], site: wiring.Site, found: list[Remnant]) -> None:
    """Each guest by itself: one that cannot be helped does not keep the others waiting."""
    failed = 0
    for remnant in found:
        try:
            left = act(remnant, site.open_recovery_journal())
            typer.echo(f"{remnant.ref.vmid}: done" + (f"; {left}" if left else ""))
        except (TargetError, NotAllowed) as error:
            failed += 1
            typer.echo(f"{remnant.ref.vmid}: {error}", err=True)
    if failed:
        raise typer.Exit(1)


def _print(found: list[Remnant], none: str, json: bool) -> None:
    if json:
        print_json([_describe(remnant) for remnant in found])
        return
    if not found:
        typer.echo(none)
        return
    print_table(COLUMNS, [tuple(str(value) for value in _describe(remnant).values()) for remnant in found])


def _describe(remnant: Remnant) -> dict[str, str | int]:
    return {
        "vmid": remnant.ref.vmid,
        "name": remnant.name,
        "node": remnant.ref.node,
        "rollout": remnant.rollout,
        "mode": remnant.mode,
        "old": remnant.old,
        "new": remnant.new,
        "ways": " or ".join(remnant.ways),
    }
