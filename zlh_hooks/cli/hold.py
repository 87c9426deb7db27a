"""``zlh-hooks hold``: keep our work away from guests for a while, and keep a guest from starting."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from zlh_hooks import wiring
from zlh_hooks.application.hold_desk import HeldGuest, Place
from zlh_hooks.application.retag import Written
from zlh_hooks.cli.option import LOCAL_FORMATS, Config, Json, PolicyFile, Yes, parse_length
from zlh_hooks.cli.output import print_json, print_table
from zlh_hooks.cli.view import render_guests
from zlh_hooks.domain.emergency_text import render_moment
from zlh_hooks.domain.hold import Claim, Hold

app = typer.Typer(no_args_is_help=True)
COLUMNS = ("guest", "name", "node", "claim", "until (UTC)", "owner", "reason")


Vmids = Annotated[list[int] | None, typer.Argument(metavar="VMID", help="Containers, by number.")]
Node = Annotated[str | None, typer.Option("--node", help="Every container that is on this node now.")]
Line = Annotated[str | None, typer.Option("--line", help="A line of templates: no rollout of it, and none goes on.")]


@app.command("set")
def set_hold(
    vmids: Vmids = None,
    node: Node = None,
    line: Line = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; who meets it reads it.")] = "",
    until: Annotated[
        datetime | None, typer.Option("--until", formats=[*LOCAL_FORMATS], help="Its end, in the policy's zone.")
    ] = None,
    length: Annotated[
        timedelta | None, typer.Option("--for", metavar="LENGTH", parser=parse_length, help="How long, e.g. 12h.")
    ] = None,
    owner: Annotated[str | None, typer.Option("--owner", help="Whose it is; you, if left out.")] = None,
    keep_down: Annotated[
        bool, typer.Option("--keep-down", help="It must not start either, whoever starts it. Asks twice.")
    ] = False,
    config: Config = None,
    policy: PolicyFile = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Do no work on these guests until then. They run, stop and start as ever. It ends by itself."""
    place = _parse_place(vmids, node, line)
    if keep_down and not place.vmids:
        raise typer.BadParameter("--keep-down takes guests by number: what must not start is named one by one")
    if (until is None) == (length is None):
        raise typer.BadParameter("say its end by --until or by --for, one of the two")
    site = wiring.open_site(config, policy)
    zone, desk = ZoneInfo(site.policy.time_zone), site.hold_desk()
    end = until.replace(tzinfo=zone).astimezone(UTC) if until else site.clock.now() + (length or timedelta(0))
    claim = Claim.DOWN if keep_down else Claim.HOLD if line is None else Claim.LINE
    hold = desk.make(claim, end, reason, owner)
    guests = desk.find(place)
    when = render_moment(hold.until or end, site.policy)
    if keep_down and not yes:
        _ask_twice(place, when)
    _tell(desk.hold(place, hold), f"{_name(place, len(guests))} until {when}", json)


@app.command()
def clear(
    vmids: Vmids = None,
    node: Node = None,
    line: Line = None,
    config: Config = None,
    policy: PolicyFile = None,
    json: Json = False,
) -> None:
    """Take every claim off these guests, also the one that keeps a guest from starting."""
    place = _parse_place(vmids, node, line)
    desk = wiring.open_site(config, policy).hold_desk()
    guests = desk.find(place)
    _tell(desk.clear(place), f"{_name(place, len(guests))}: no claim any more", json)


@app.command("list")
def list_holds(config: Config = None, policy: PolicyFile = None, json: Json = False) -> None:
    """Every claim, whose it is, why, and until when. One that is over counts no more; the next write takes it off."""
    found = wiring.open_site(config, policy).hold_desk().list()
    if json:
        print_json([_describe(one) for one in found])
    else:
        print_table(COLUMNS, [_row_of(one) for one in found])


def _parse_place(vmids: list[int] | None, node: str | None, line: str | None) -> Place:
    if sum(map(bool, (vmids, node, line))) != 1:
        raise typer.BadParameter("name guests by number, or a --node, or a --line: one of the three")
    return Place(tuple(vmids or ()), node, line)


def _ask_twice(place: Place, when: str) -> None:
    """The one thing of ours that stops a customer's server from coming up."""
    typer.echo(f"Until {when} guest {place} will not start: not by its customer, not after a crash or a node's reboot.")
    if not typer.confirm("Keep it down?"):
        raise typer.Abort
    typed = typer.prompt("Type its number once more" if len(place.vmids) == 1 else "Type the numbers once more")
    if str(typed).replace(",", " ").split() != [str(vmid) for vmid in place.vmids]:
        raise typer.BadParameter(f"that is not {place}: nothing was changed")


def _name(place: Place, count: int) -> str:
    held = f"line {place.line} ({count} templates)" if place.line else render_guests(count)
    return f"{held}{f' on node {place.node}' if place.node else ''}"


def _tell(written: Written[None], done: str, json: bool) -> None:
    if json:
        failed = {str(ref.vmid): str(error) for ref, error in written.failed.items()}
        print_json({"written": [ref.vmid for ref in written.done], "failed": failed})
    elif not written.failed:
        typer.echo(done)
    for ref, error in written.failed.items():
        typer.echo(f"guest {ref} was not changed: {error}", err=True)
    if written.failed:
        raise typer.Exit(1)


def _claim_of(hold: Hold) -> str:
    return hold.claim.word.removeprefix("zlh-")


def _row_of(one: HeldGuest) -> tuple[str, ...]:
    hold = one.hold
    until = f"{hold.until:%Y-%m-%d %H:%M}" if hold.until else f"{hold.end}: no time"
    end = f"{until}, over" if one.is_over else until
    return str(one.guest.vmid), one.guest.name, one.guest.ref.node, _claim_of(hold), end, hold.owner, hold.reason


def _describe(one: HeldGuest) -> dict[str, Any]:
    hold, guest = one.hold, one.guest
    where = {"vmid": guest.vmid, "name": guest.name, "node": guest.ref.node, "template": guest.template}
    claim = {"claim": _claim_of(hold), "until": hold.until, "over": one.is_over, "owner": hold.owner}
    return where | claim | {"reason": hold.reason}
