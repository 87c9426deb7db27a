"""``zlh-hooks hooks``: which guests name the guest hook, and the commands by which root on nodes changes that."""

from typing import Annotated

import typer

from zlh_hooks import wiring
from zlh_hooks.application.guest_hook import read_hooks
from zlh_hooks.cli.option import Config, Json, PolicyFile
from zlh_hooks.cli.output import print_json, print_table
from zlh_hooks.domain.guest import render_guests
from zlh_hooks.domain.guest_hook import GuestChoice, NamedHook, NodeOrders, plan_install, plan_uninstall
from zlh_hooks.domain.note_book import find_backup_nodes
from zlh_hooks.domain.value import VmidRange

app = typer.Typer(no_args_is_help=True)
COLUMNS = ("guest", "name", "node", "hookscript")
BESIDE = "whether the script is there on each node on which they could start is seen by root: zlh-hooks-node status"


def parse_vmids(text: str) -> VmidRange:
    """``5000-5999`` or ``5000``."""
    try:
        return VmidRange.model_validate(text)
    except ValueError as error:
        raise typer.BadParameter('expected "5000-5999" or "5000", the smaller number first') from error


All = Annotated[bool, typer.Option("--all", help="Every guest and template, virtual machines too.")]
Pool = Annotated[list[str] | None, typer.Option("--pool", help="Guests of this pool. Choices add up.")]
Tag = Annotated[list[str] | None, typer.Option("--tag", help="Guests with this tag.")]
Vmid = Annotated[
    list[VmidRange] | None,
    typer.Option("--vmid", metavar="FIRST-LAST", parser=parse_vmids, help="Guests with these numbers."),
]
Storage = Annotated[str, typer.Option("--storage", help="In whose snippets the script lies on nodes.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="The commands by which nodes only say what they would do.")]


@app.command()
def status(
    everybody: All = False,
    pool: Pool = None,
    tag: Tag = None,
    vmid: Vmid = None,
    config: Config = None,
    policy: PolicyFile = None,
    json: Json = False,
) -> None:
    """Guests that do not name the guest hook; without a choice those of the policy, and templates of lines.

    Exit code 1 if there are any. Whether the script is there on each node is seen by root on a node alone:
    zlh-hooks-node status.
    """
    named = _read(wiring.open_site(config, policy), _choose(everybody, pool, tag, vmid))
    amiss = [one for one in named if not one.is_ours]
    if json:
        print_json([_describe(one) for one in named])
    elif amiss:
        print_table(COLUMNS, [_row_of(one) for one in amiss])
    else:
        typer.echo(f"{render_guests(len(named))}: all name the guest hook")
    typer.echo(BESIDE, err=True)
    raise typer.Exit(1 if amiss else 0)


@app.command()
def install(
    everybody: All = False,
    pool: Pool = None,
    tag: Tag = None,
    vmid: Vmid = None,
    storage: Storage = "local",
    dry_run: DryRun = False,
    config: Config = None,
    policy: PolicyFile = None,
    json: Json = False,
) -> None:
    """The commands that bring the hook to nodes and guests. Proxmox takes them from root on a node, from no token.

    Without a choice: to the guests of the policy, and templates of lines. Whether backups call theirs is seen by root
    on a node alone: here only that one was noted.
    """
    site = wiring.open_site(config, policy)
    named = _read(site, _choose(everybody, pool, tag, vmid))
    for one in named:
        if one.volume and not one.is_ours:
            typer.echo(f"guest {one.guest.ref} is left alone, for it names {one.volume}", err=True)
    orders = plan_install(named, find_backup_nodes(site.ledger.read(rollout="")), storage, dry_run=dry_run)
    _print_orders(site, orders, "no guest is without a hookscript, and no node without a noted backup", json)


@app.command()
def uninstall(
    everybody: All = False,
    pool: Pool = None,
    tag: Tag = None,
    vmid: Vmid = None,
    storage: Storage = "local",
    dry_run: DryRun = False,
    config: Config = None,
    policy: PolicyFile = None,
    json: Json = False,
) -> None:
    """The commands that take the hook off guests; without a choice off all, and then remove the script on nodes."""
    site, choice = wiring.open_site(config, policy), _choose(everybody, pool, tag, vmid)
    named = _read(site, GuestChoice(takes_all=True) if choice.is_empty else choice)
    orders = plan_uninstall(named, choice, storage, dry_run=dry_run)
    _print_orders(site, orders, "none of these guests names the guest hook", json)


def _choose(
    everybody: bool, pools: list[str] | None, tags: list[str] | None, vmids: list[VmidRange] | None
) -> GuestChoice:
    return GuestChoice(everybody, tuple(pools or ()), tuple(tags or ()), tuple(vmids or ()))


def _read(site: wiring.Site, choice: GuestChoice) -> tuple[NamedHook, ...]:
    return read_hooks(site.cluster.inventory, site.policy, choice)


def _print_orders(site: wiring.Site, orders: NodeOrders, nothing: str, json: bool) -> None:
    nodes = site.cluster.inventory.list_nodes()
    if json:
        backups = {"nodes": orders.silent, "on_each_node": orders.on_silent}
        print_json({"nodes": nodes, "on_each_node": orders.on_each, "then_on_one": orders.on_one, "backups": backups})
    elif orders == NodeOrders():
        typer.echo(f"nothing to do: {nothing}")
    else:
        _print_for(f"on each node of the cluster ({', '.join(nodes)})", orders.on_each)
        _print_for("on one node of the cluster", orders.on_one)
        _print_for(f"on {', '.join(orders.silent)}, where no good backup was noted yet", orders.on_silent)


def _print_for(where: str, commands: tuple[str, ...]) -> None:
    if commands:
        typer.echo(f"As root, with the package zlh-hooks-node, {where}:")
    for command in commands:
        typer.echo(f"  {command}")


def _row_of(one: NamedHook) -> tuple[str, ...]:
    guest = one.guest
    return str(guest.vmid), guest.name, guest.ref.node, one.volume or "none"


def _describe(one: NamedHook) -> dict[str, object]:
    guest = one.guest
    kind = "container" if guest.is_container else "virtual machine"
    where = {"vmid": guest.vmid, "name": guest.name, "node": guest.ref.node, "kind": kind, "template": guest.template}
    return where | {"hookscript": one.volume or None, "ours": one.is_ours}
