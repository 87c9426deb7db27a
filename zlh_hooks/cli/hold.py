"""``zlh-hooks hold``: keep our work away from guests for a while, and keep a guest from starting."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from zlh_hooks import wiring
from zlh_hooks.application.hold_desk import HeldGuest, HoldDesk, Place
from zlh_hooks.application.retag import Written
from zlh_hooks.cli.option import LOCAL_FORMATS, Config, Json, PolicyFile, parse_length
from zlh_hooks.cli.output import print_json, print_table
from zlh_hooks.cli.question import make_sure
from zlh_hooks.domain.emergency_text import render_moment
from zlh_hooks.domain.guest import GuestRef, render_guests, render_ha_resource
from zlh_hooks.domain.hold import Claim, Hold, find_end

app = typer.Typer(no_args_is_help=True)
COLUMNS = ("guest", "name", "node", "claim", "until (UTC)", "owner", "reason")


Vmids = Annotated[list[int] | None, typer.Argument(metavar="VMID", help="Containers and virtual machines, by number.")]
Node = Annotated[str | None, typer.Option("--node", help="Every guest that is on this node now.")]
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
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Spare the first question of --keep-down. The second is asked always.")
    ] = False,
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
    end = until.replace(tzinfo=zone).astimezone(UTC) if until else find_end(site.clock.now(), length or timedelta(0))
    claim = Claim.DOWN if keep_down else Claim.HOLD if line is None else Claim.LINE
    hold = desk.make(claim, end, reason, owner)
    guests = desk.find(place)
    when = render_moment(hold.until or end, site.policy)
    if keep_down:
        desk.refuse_loopholes(guests)
        _ask_twice(place, when, yes, json)
    written = desk.hold(place, hold)
    _tell(written, list(written.done), f"{_name(place, len(guests))} until {when}", json)


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
    written = desk.clear(place)
    _tell_ignored(desk, written)
    freed = [ref for ref, holds in written.done.items() if holds]
    done = "no claim any more" if freed else "there was no claim"
    _tell(written, freed, f"{_name(place, len(guests))}: {done}", json)


@app.command("list")
def list_holds(config: Config = None, policy: PolicyFile = None, json: Json = False) -> None:
    """Every claim, whose it is, why, and until when. One that is over counts no more; the next write takes it off."""
    found = wiring.open_site(config, policy).hold_desk().list()
    for loophole in (loophole for one in found for loophole in one.loopholes):
        typer.echo(loophole, err=True)
    if json:
        print_json([_describe(one) for one in found])
    else:
        print_table(COLUMNS, [_row_of(one) for one in found])


def _parse_place(vmids: list[int] | None, node: str | None, line: str | None) -> Place:
    if sum(map(bool, (vmids, node, line))) != 1:
        raise typer.BadParameter("name guests by number, or a --node, or a --line: one of the three")
    return Place(tuple(vmids or ()), node, line)


def _ask_twice(place: Place, when: str, yes: bool, is_quiet: bool) -> None:
    """The one thing of ours that stops a customer's server from coming up. ``is_quiet``: asks on the error output."""
    typer.echo(
        f"Until {when} the guest hook refuses each start of guest {place}, its customer's and a booting node's.\n"
        "One that runs is not stopped, and may reboot from inside. Let through is what a backup starts, and a start\n"
        "where the guest's config cannot be read in time. Whoever may edit its tags can lift it.",
        err=is_quiet,
    )
    make_sure("Keep it down?", yes=yes, err=is_quiet)
    question = "Type its number once more" if len(place.vmids) == 1 else "Type the numbers once more"
    typed = typer.prompt(question, err=is_quiet)
    if str(typed).replace(",", " ").split() != [str(vmid) for vmid in place.vmids]:
        raise typer.BadParameter(f"that is not {place}: nothing was changed")


def _name(place: Place, count: int) -> str:
    held = f"line {place.line} ({count} templates)" if place.line else render_guests(count)
    return f"{held}{f' on node {place.node}' if place.node else ''}"


def _tell_ignored(desk: HoldDesk, written: Written[tuple[Hold, ...]]) -> None:
    for ref in desk.list_ignored(written):
        back = f"ha-manager set {render_ha_resource(ref)} --state started"
        typer.echo(f"guest {ref} is ignored by the HA manager still; what gives it back, on a node: {back}", err=True)


def _tell(written: Written[tuple[Hold, ...]], changed: Sequence[GuestRef], done: str, json: bool) -> None:
    if json:
        failed = {str(ref.vmid): str(error) for ref, error in written.failed.items()}
        print_json({"written": [ref.vmid for ref in changed], "failed": failed})
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
    return where | claim | {"reason": hold.reason, "loopholes": one.loopholes}
