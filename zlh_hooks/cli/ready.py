"""``zlh-hooks ready``: what is missing before work can start. Exit code 0 only if nothing is."""

from dataclasses import asdict

import typer

from zlh_hooks import wiring
from zlh_hooks.application.ready import Readiness, Wanted, check_ready
from zlh_hooks.cli.option import Config, Json, PolicyFile
from zlh_hooks.cli.output import print_json, print_table
from zlh_hooks.domain.guest import GuestSummary
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.right import render_roles

app = typer.Typer(no_args_is_help=True)


@app.callback()
def ready() -> None:
    """What is missing before work can start."""


@app.command("pve")
def check_pve(config: Config = None, policy: PolicyFile = None, json: Json = False) -> None:
    """Compare what the API token may do with what the guests of the policy need."""
    site = wiring.open_site(config, policy)
    proxmox = wiring.open_proxmox(site.settings)
    found = check_ready(proxmox, proxmox, _want(site.policy))
    reach = site.settings.proxmox
    roles = render_roles(reach.user, reach.token_name, found.scope.storages, found.scope.ignores_ha)
    if json:
        print_json({"missing": [asdict(one) for one in found.missing], "commands": list(roles)})
    else:
        _print(found, roles)
    raise typer.Exit(1 if found.missing else 0)


def _want(policy: Policy) -> Wanted:
    nets = [line.smoke_net0 for line in policy.lines.values() if line.smoke_net0]

    def is_target(guest: GuestSummary) -> bool:
        found = policy.kind_of(guest.vmid, guest.tags)
        return found is not None and found[1].exchange

    return Wanted(is_target, list(policy.scratch_vmids.numbers()), nets, policy.rollout.ha == "ignore")


def _print(found: Readiness, roles: tuple[str, ...]) -> None:
    scope = found.scope
    seen = f"{len(scope.targets)} guests and {len(scope.templates)} templates"
    if not found.missing:
        typer.echo(f"ready: the token may do all that work on {seen} needs")
        return
    typer.echo(f"not ready: the token lacks {len(found.missing)} rights for work on {seen}")
    print_table(("path", "missing privilege"), [(one.path, one.privilege) for one in found.missing])
    typer.echo("Roles for Proxmox VE 9, to be given to the user and to its token (guests; patching of nodes):")
    for command in roles:
        typer.echo(f"  {command}")
