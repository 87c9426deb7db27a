"""``zlh-hooks defer``: another date for a guest, by whoever runs the platform or by its customer with a link."""

import sys
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from zlh_hooks import wiring
from zlh_hooks.application.deferral_desk import DeferralDesk, Request, Standing
from zlh_hooks.cli.option import Config, Json, PolicyFile
from zlh_hooks.cli.output import print_json, print_table
from zlh_hooks.domain.deferral import INDIVIDUAL, Deferral, Offer, Room, Wish
from zlh_hooks.domain.deferral_case import refuse_shared
from zlh_hooks.domain.emergency_text import render_moment
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.window_rule import Component
from zlh_hooks.domain.wording import render_list

DEFERRAL_COLUMNS = (
    "rollout",
    "guest",
    "name",
    "deferred until (UTC)",
    "by",
    "at (UTC)",
    "latest (UTC)",
    "state",
    "reason",
)
OFFER_COLUMNS = ("--until", "starts", "ends (UTC)")
STDIN = "-"
_TYPED = "%Y-%m-%dT%H:%M"


def defer(
    what: Annotated[
        str | None, typer.Argument(metavar="VMID", help="The guest; left out: list who is deferred, and until when.")
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            "--until",
            formats=["%Y-%m-%d", _TYPED],
            help="The window of that date, in the policy's zone; else list them.",
        ),
    ] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Give the deferral up: the next date in time.")] = False,
    link: Annotated[
        str | None,
        typer.Option("--link", metavar="TOKEN", help="A customer's link or its token; - reads it from standard input."),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; recorded in the ledger.")] = "",
    config: Config = None,
    policy: PolicyFile = None,
    json: Json = False,
) -> None:
    """Show to which dates a guest can be moved, or move it; its customer is told. The rest of the rollout goes on."""
    _refuse_senseless(what, until, cancel, link, reason)
    site = wiring.open_site(config, policy)
    desk, vmid = site.deferral_desk(), _parse_vmid(what, site.policy)
    if vmid is None and link is None:
        _print_standings(desk, json)
    elif vmid is not None and cancel:
        _cancel(site, desk, vmid, reason, json)
    else:
        request = desk.ask(vmid) if link is None and vmid is not None else desk.verify(_read_link(str(link)), vmid)
        _serve(site, desk, request, until, reason, json)


def _refuse_senseless(what: str | None, until: datetime | None, cancel: bool, link: str | None, reason: str) -> None:
    """Options that would do nothing together."""
    if cancel and (until or link or what is None):
        raise typer.BadParameter("--cancel takes a VMID, and neither --until nor --link")
    if until and what is None and link is None:
        raise typer.BadParameter("--until needs a VMID, or a --link")
    if reason and not (until or cancel):
        raise typer.BadParameter("--reason is recorded with --until or --cancel; alone it changes nothing")


def _parse_vmid(what: str | None, policy: Policy) -> int | None:
    """A guest's number. What is named by its component is refused: for most of them because all share it."""
    if what is None or (what.isascii() and what.isdigit()):
        return int(what) if what else None
    if what not in set(Component):
        raise typer.BadParameter(f"{what!r} is no guest's number, such as 5001")
    refuse_shared(Component(what), policy)
    raise typer.BadParameter(f"{render_list(sorted(INDIVIDUAL))} come to each guest by itself: name it by its number")


def _read_link(link: str) -> str:
    return sys.stdin.readline() if link == STDIN else link


def _serve(
    site: wiring.Site, desk: DeferralDesk, request: Request, until: datetime | None, reason: str, json: bool
) -> None:
    if until is None:
        _print_room(site.policy, request, desk.offer(request), json)
        return
    taken = desk.take(request, Wish(until.replace(tzinfo=ZoneInfo(site.policy.time_zone))), reason)
    if not request.link:  # whoever serves a page may read and write the ledger, and start nothing
        site.ensure_worker()
    if json:
        print_json({"rollout": request.rollout, "deferrals": [_describe(one) for one in taken]})
        return
    for one in taken:
        name, begin = request.guests[one.vmid], render_moment(one.until, site.policy)
        typer.echo(f"{name} ({one.vmid}) is not changed before {begin}; a notice follows")


def _cancel(site: wiring.Site, desk: DeferralDesk, vmid: int, reason: str, json: bool) -> None:
    request = desk.cancel(vmid, reason)
    site.ensure_worker()
    if json:
        print_json({"rollout": request.rollout, "cancelled": [vmid]})
        return
    name = request.guests[vmid]
    typer.echo(f"{name} ({vmid}) is deferred no more: it gets the next date of which its customer can be told in time")


def _describe(one: Deferral) -> dict[str, Any]:
    return {"vmid": one.vmid, "until": one.until, "author": one.author, "at": one.at, "reason": one.reason}


# -------------------------------------------------------------------- dates


def _print_room(policy: Policy, request: Request, room: Room, json: bool) -> None:
    if json:
        dates = [{"until": _type(policy, one), "start": one.start, "end": one.end} for one in room.offers]
        guests = [{"vmid": vmid, "name": name} for vmid, name in request.guests.items()]
        found = {"rollout": request.rollout, "guests": guests, "first": room.first, "latest": room.latest}
        print_json({**found, "dates": dates})
        return
    first, latest = render_moment(room.first, policy), render_moment(room.latest, policy)
    names = render_list([f"{name} ({vmid})" for vmid, name in request.guests.items()])
    typer.echo(f"{request.rollout}, {names}: first announced for {first}, deferred until {latest} at the latest")
    print_table(OFFER_COLUMNS, [_row_of_offer(policy, one) for one in room.offers])


def _type(policy: Policy, one: Offer) -> str:
    return f"{one.start.astimezone(ZoneInfo(policy.time_zone)):{_TYPED}}"


def _row_of_offer(policy: Policy, one: Offer) -> tuple[str, ...]:
    return (_type(policy, one), render_moment(one.start, policy), f"{one.end:%Y-%m-%d %H:%M}")


# ----------------------------------------------------------------- deferred


def _print_standings(desk: DeferralDesk, json: bool) -> None:
    found = desk.list_standings()
    if json:
        print_json([_describe_standing(one) for one in found])
    else:
        print_table(DEFERRAL_COLUMNS, [_row_of_standing(one) for one in found])


def _row_of_standing(one: Standing) -> tuple[str, ...]:
    deferral = one.deferral
    until, at, latest = (f"{moment:%Y-%m-%d %H:%M}" for moment in (deferral.until, deferral.at, one.latest))
    state = f"{one.state}, overdue" if one.is_overdue else one.state
    guest = str(one.target.vmid), one.target.name
    return (one.rollout, *guest, until, deferral.author, at, latest, state, deferral.reason)


def _describe_standing(one: Standing) -> dict[str, Any]:
    return {
        "rollout": one.rollout,
        "name": one.target.name,
        **_describe(one.deferral),
        "first": one.first,
        "latest": one.latest,
        "state": one.state,
        "overdue": one.is_overdue,
    }
