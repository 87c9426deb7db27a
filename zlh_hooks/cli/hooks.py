"""``zlh-hooks hooks``: which guests name the guest hook, and the commands by which root makes the others name it."""

import typer

from zlh_hooks import wiring
from zlh_hooks.application.guest_hook import NamedHook, read_hooks
from zlh_hooks.cli.option import Config, Json, PolicyFile
from zlh_hooks.cli.output import print_json, print_table
from zlh_hooks.cli.view import render_guests
from zlh_hooks.domain.guest_hook import render_vmids

app = typer.Typer(no_args_is_help=True)
COLUMNS = ("guest", "name", "node", "hookscript")


@app.command()
def status(config: Config = None, policy: PolicyFile = None, json: Json = False) -> None:
    """Containers of the policy, and templates, that do not name the guest hook. Exit code 1 if there are any.

    Whether the script is there on each node is seen by root on a node alone: zlh-hooks-node status.
    """
    named = _read(config, policy)
    amiss = [one for one in named if not one.is_ours]
    if json:
        print_json([_describe(one) for one in named])
    elif amiss:
        print_table(COLUMNS, [_row_of(one) for one in amiss])
    else:
        typer.echo(f"{render_guests(len(named))}: all name the guest hook")
    raise typer.Exit(1 if amiss else 0)


@app.command()
def install(config: Config = None, policy: PolicyFile = None) -> None:
    """The commands that bring the hook to nodes and guests. Proxmox takes them from root on a node, from no token."""
    named = _read(config, policy)
    for one in named:
        if one.volume and not one.is_ours:
            typer.echo(f"guest {one.guest.ref} is left alone, for it names {one.volume}", err=True)
    bare = [one.guest.vmid for one in named if not one.volume]
    if not bare:
        typer.echo("nothing to do: there is no guest without a hookscript")
        return
    typer.echo("As root, on each node of the cluster, with the package zlh-hooks-node:")
    typer.echo("  zlh-hooks-node install")
    typer.echo("Then on one of them:")
    typer.echo(f"  zlh-hooks-node install {render_vmids(bare)}")


def _read(config: Config, policy: PolicyFile) -> tuple[NamedHook, ...]:
    site = wiring.open_site(config, policy)
    return read_hooks(site.cluster.inventory, site.policy)


def _row_of(one: NamedHook) -> tuple[str, ...]:
    guest = one.guest
    return str(guest.vmid), guest.name, guest.ref.node, one.volume or "none"


def _describe(one: NamedHook) -> dict[str, object]:
    guest = one.guest
    where = {"vmid": guest.vmid, "name": guest.name, "node": guest.ref.node, "template": guest.template}
    return where | {"hookscript": one.volume or None, "ours": one.is_ours}
