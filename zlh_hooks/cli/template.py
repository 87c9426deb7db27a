"""``zlh-hooks template``: versions and channels of container templates."""

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zlh_hooks.cli.option import Config, Json, PolicyFile, Yes
from zlh_hooks.cli.output import print_json, print_table
from zlh_hooks.domain.errors import NotAllowed, RoadError
from zlh_hooks.domain.line import (
    Problem,
    Promotion,
    TemplateVersion,
    choose_template,
    list_born,
    parse_catalogue,
)

if TYPE_CHECKING:
    from zlh_hooks.application.channel import Moved
    from zlh_hooks.application.recall import Affected, Cancellation

# `pick` is asked for every new guest: what only the other commands need is imported by them.

app = typer.Typer(no_args_is_help=True)
Line = Annotated[str, typer.Argument(help="The template line, e.g. game-base.")]
Version = Annotated[str, typer.Argument(help="The version, e.g. 2026.11.1.")]


@app.command("list")
def list_versions(
    line: Annotated[str | None, typer.Argument(help="One line; all if left out.")] = None,
    config: Config = None,
    policy: PolicyFile = None,
    json: Json = False,
) -> None:
    """Show each line's versions, oldest first: channel, templates, and how many guests carry it."""
    from zlh_hooks import wiring
    from zlh_hooks.application.recall import find_line

    site = wiring.open_site(config, policy)
    guests = site.cluster.inventory.list_guests()
    catalogue = parse_catalogue(guests)
    versions = catalogue.versions_of(line) if line else catalogue.versions
    problems = catalogue.problems_of(line) if line else catalogue.problems
    line_of = partial(find_line, site.policy)
    carried = {version: len(list_born(guests, line_of, version)) for version in versions}
    if json:
        described = [_describe(version) | {"guests": carried[version]} for version in versions]
        print_json({"versions": described, "problems": [problem.text for problem in problems]})
        return
    _warn(problems)
    rows = [(v.line, v.version, _render_channel(v), _render_refs(v), str(carried[v])) for v in versions]
    print_table(("line", "version", "channel", "templates", "guests"), rows)


@app.command()
def promote(line: Line, version: Version, config: Config = None, policy: PolicyFile = None, json: Json = False) -> None:
    """Make a version stable on every node: new guests get it. Run again, it completes what was cut short."""
    from zlh_hooks import wiring
    from zlh_hooks.application import channel

    site = wiring.open_site(config, policy)
    moved = channel.promote(site.engine(site.ledger).open_channels(line), line, version)
    if json:
        print_json(_describe_promotion(moved.promotion))
    else:
        where = ", ".join(f"{vmid} on {node}" for node, vmid in sorted(moved.promotion.templates.items()))
        typer.echo(f"{line}: stable is {moved.promotion.version} now ({where})")
    _report_untold(moved)


@app.command()
def revoke(
    line: Line,
    version: Version,
    reason: Annotated[str, typer.Option("--reason", help="Why; recorded in the ledger.")],
    config: Config = None,
    policy: PolicyFile = None,
    json: Json = False,
) -> None:
    """Never give a version to a new guest again; stable goes back, pending exchanges are taken back.

    Lists the guests that carry the version and what can be done for each.
    """
    from zlh_hooks import wiring
    from zlh_hooks.application import channel, recall

    site = wiring.open_site(config, policy)
    ports = site.engine(site.ledger).open_channels(line)
    revocation = channel.revoke(ports, line, version, reason)
    name = revocation.revoked.version
    turned = site.desk().turn_back(line, name, f"version {name} was revoked: {reason}")
    if turned is None:
        cancelled = recall.cancel_pending(ports, recall.list_staged(site.ledger, line, name))
    else:  # its worker takes pending exchanges back itself, and proves each guest
        site.summon_worker()
        cancelled = ()
    care = recall.care_of(site.policy, line)
    affected = recall.list_affected(ports.inventory, revocation.revoked, revocation.stable, care)
    if json:
        print_json(
            {"line": line, "revoked": name, "stable": revocation.stable, "reason": reason}
            | {"rollout": turned.plan.id if turned else None}
            | {"pending": [{"vmid": one.vmid, "state": one.state, "reason": one.reason} for one in cancelled]}
            | {"guests": [_describe_affected(one) for one in affected]}
        )
    else:
        typer.echo(f"{line} {name} is revoked; stable is {revocation.stable or 'no version: nothing can be picked'}")
        if turned is not None:
            typer.echo(f"rollout {turned.plan.id} of it goes back: zlh-hooks rollout watch {turned.plan.id}")
        _print_consequences(cancelled, affected)
    _report_untold(revocation.moved)


@app.command()
def pick(
    line: Line,
    key: Annotated[str, typer.Option("--key", help="The new guest's number or name: the same key, the same answer.")],
    node: Annotated[str | None, typer.Option("--node", help="Only a template on this node.")] = None,
    config: Config = None,
    policy: PolicyFile = None,
    json: Json = False,
) -> None:
    """Print the VMID of the template to clone a new guest from. Asks Proxmox once, changes nothing."""
    from zlh_hooks import wiring

    site = wiring.open_site(config, policy)
    catalogue = parse_catalogue(site.cluster.inventory.list_guests())
    _warn(catalogue.problems_of(line))
    rules = site.policy.lines.get(line)
    choice = choose_template(catalogue.versions_of(line), key, node, rules.new_guests_percent if rules else 0)
    if json:
        template = choice.template
        print_json({"vmid": template.vmid, "node": template.node, "version": choice.version, "channel": choice.channel})
    else:
        typer.echo(choice.template.vmid)


@app.command()
def retain(line: Line, config: Config = None, policy: PolicyFile = None, yes: Yes = False, json: Json = False) -> None:
    """Show the versions that nobody needs any more; with --yes destroy their templates."""
    from zlh_hooks import wiring
    from zlh_hooks.application import retention

    site = wiring.open_site(config, policy)
    if line not in site.policy.lines:
        raise NotAllowed(f"line {line} is not in the policy: how many versions to keep is not said")
    keep = site.policy.lines[line].keep_versions
    ports = site.engine(site.ledger).open_channels(line)
    versions = retention.list_destroyable(ports, line, keep)
    if not json:
        print_table(("line", "version", "templates"), [(v.line, v.version, _render_refs(v)) for v in versions])
    for version in versions if yes else ():
        retention.destroy_version(ports, site.cluster.tasks, version, keep)
    if json:
        print_json({"line": line, "keep": keep, "destroyed": yes, "versions": [_describe(v) for v in versions]})
    elif not versions:
        typer.echo(f"nothing to destroy: all else is among the newest {keep}, has a channel or is in use")
    else:
        typer.echo("destroyed" if yes else "nothing was destroyed; --yes destroys these templates")


def _warn(problems: Iterable[Problem]) -> None:
    for problem in problems:
        typer.echo(f"warning: {problem.text}", err=True)


def _report_untold(moved: "Moved | None") -> None:
    if moved and moved.untold:
        version = moved.promotion.version or "no version"
        raise RoadError(f"stable is {version}, but not everybody knows: {'; '.join(moved.untold)}; promote it again")


def _render_channel(version: TemplateVersion) -> str:
    return ", ".join([*(["revoked"] if version.revoked else []), *sorted(version.channels)])


def _render_refs(version: TemplateVersion) -> str:
    return ", ".join(str(ref) for ref in version.refs)


def _describe(version: TemplateVersion) -> dict[str, Any]:
    return {
        "line": version.line,
        "version": version.version,
        "channels": sorted(version.channels),
        "revoked": version.revoked,
        "templates": {ref.node: ref.vmid for ref in version.refs},
    }


def _describe_promotion(promotion: Promotion) -> dict[str, Any]:
    return {"line": promotion.line, "stable": promotion.version, "templates": dict(promotion.templates)}


def _describe_affected(one: "Affected") -> dict[str, Any]:
    return {
        "vmid": one.ref.vmid,
        "node": one.ref.node,
        "name": one.name,
        "remedy": one.remedy,
        "detail": one.detail,
    }


def _print_consequences(cancelled: "Iterable[Cancellation]", affected: "Iterable[Affected]") -> None:
    rows = [(str(one.vmid), one.state or "not taken back", one.reason) for one in cancelled]
    if rows:
        typer.echo("exchanges that waited for a restart:")
        print_table(("guest", "state", "reason"), rows)
    typer.echo("guests that carry it:")
    columns = ("guest", "name", "node", "what can be done", "to or why")
    print_table(columns, [(str(o.ref.vmid), o.name, o.ref.node, o.remedy, o.detail) for o in affected])
