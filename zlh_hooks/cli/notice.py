"""``zlh-hooks notice``: what customers are told of a rollout. The herald sends; here it is shown and corrected."""

import time
from typing import Annotated, Any

import typer

from zlh_hooks import wiring
from zlh_hooks.application.notice_desk import Preview, Standing
from zlh_hooks.cli.option import Config, Emergency, Json, PolicyFile, RolloutId
from zlh_hooks.cli.output import print_json, print_table
from zlh_hooks.cli.view import NOBODY, PREVIEW_COLUMNS, row_of_preview
from zlh_hooks.domain.address import render_address
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.notice_book import Delivery, DeliveryState
from zlh_hooks.domain.plan import Plan

app = typer.Typer(no_args_is_help=True)
DELIVERY_COLUMNS = ("customer", "notice", "channel", "address", "state", "at (UTC)", "answer")
STANDING_COLUMNS = ("customer", "servers", "window starts (UTC)", "ends (UTC)", "standing")
Reason = Annotated[str, typer.Option("--reason", help="Why; recorded in the ledger.")]


@app.command()
def preview(
    line: Annotated[str, typer.Argument(help="The template line, e.g. game-base.")],
    to: Annotated[str, typer.Option("--to", help="The version to bring.")],
    customer: Annotated[str | None, typer.Option("--customer", help="Print the whole notice of this customer.")] = None,
    security: Annotated[bool, typer.Option("--security", help="As if it closed a security hole.")] = False,
    emergency: Emergency = False,
    config: Config = None,
    policy: PolicyFile = None,
    json: Json = False,
) -> None:
    """Who would be told what, and from when on the change could begin. Sends nothing."""
    site = wiring.open_site(config, policy)
    plan = site.make_plan(line, to, security=security, emergency=emergency)
    found = site.notice_desk().preview(plan)
    if customer is not None:
        typer.echo(_find(found, customer).message.text)
    elif json:
        print_json([_describe_preview(one) for one in found])
    else:
        print_table(PREVIEW_COLUMNS, [row_of_preview(one) for one in found])


def _find(found: tuple[Preview, ...], customer: str) -> Preview:
    mine = next((one for one in found if one.customer.id == customer), None)
    if mine is None:
        known = ", ".join(one.customer.id or NOBODY for one in found) or "nobody"
        raise NotAllowed(f"the change concerns no customer {customer!r}; it concerns {known}")
    return mine


def _describe_preview(one: Preview) -> dict[str, Any]:
    return {
        "customer": one.customer.id,
        "addresses": {name: render_address(address) for name, address in one.addresses.items()},
        "subject": one.message.subject,
        "text": one.message.text,
        **one.message.facts,
    }


@app.command()
def send(
    rollout: RolloutId = None,
    test: Annotated[
        str | None,
        typer.Option(
            "--test", metavar="ADDRESS", help='Send only a test: to a mail address, a webhook, or the word "operator".'
        ),
    ] = None,
    config: Config = None,
    policy: PolicyFile = None,
    json: Json = False,
) -> None:
    """See to it that what is due is sent now, and wait until each server has answered."""
    site = wiring.open_site(config, policy)
    if test is not None:
        typer.echo(f"accepted: {site.notice_desk().send_test(test)}")
        return
    plan = _find_told(site, rollout)
    site.ensure_worker()
    while not _is_settled(site, plan):
        site.ensure_worker()
        time.sleep(0.5)
    _print_book(site, plan, json)


def _is_settled(site: wiring.Site, plan: Plan) -> bool:
    """Whether a round was made, or cannot be made yet, and nothing of it is just being sent."""
    progress = site.desk().find(plan.id)
    book = site.notice_desk().read_book(plan)
    sending = any(one.state is DeliveryState.SENDING for one in book.deliveries.values())
    return not sending and (bool(book.deliveries) or not progress.is_executing)


@app.command("list")
def list_notices(
    rollout: RolloutId = None, config: Config = None, policy: PolicyFile = None, json: Json = False
) -> None:
    """Who was told what and when, and whom nothing reaches."""
    site = wiring.open_site(config, policy)
    _print_book(site, _find_told(site, rollout), json)


@app.command()
def bounced(
    address: Annotated[str, typer.Argument(help="The address from which a notice came back.")],
    rollout: RolloutId = None,
    reason: Reason = "",
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """A delivered notice came back: it does not count any more, and its customer's servers wait."""
    site = wiring.open_site(config, policy)
    plan = _find_told(site, rollout)
    came_back = site.notice_desk().note_bounced(plan, address, reason)
    typer.echo(f"{len(came_back)} notices to {address} count no more; correct the address in the customer directory")


@app.command()
def vouch(
    customer: Annotated[str, typer.Argument(help="The customer whom no channel reaches.")],
    rollout: RolloutId = None,
    reason: Annotated[str, typer.Option("--reason", help="How you know that they know; recorded.")] = "",
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Take it upon you that a customer knows of the change although every channel failed."""
    if not reason:
        raise typer.BadParameter("say with --reason how you know that they know")
    site = wiring.open_site(config, policy)
    plan = _find_told(site, rollout)
    site.notice_desk().vouch(plan, customer, reason)
    typer.echo(f"recorded: {customer} counts as told of {plan.id}")


def _find_told(site: wiring.Site, rollout: str | None) -> Plan:
    plan = site.desk().find(rollout).plan
    if plan.notices is None:
        raise NotAllowed(f"rollout {plan.id} was ordered without [notices] in the policy: nobody is told of it")
    return plan


def _print_book(site: wiring.Site, plan: Plan, json: bool) -> None:
    desk = site.notice_desk()
    deliveries = sorted(desk.read_book(plan).deliveries.values(), key=lambda one: one.at)
    standings = desk.list_standings(plan)
    if json:
        print_json(
            {
                "rollout": plan.id,
                "customers": [
                    {
                        "customer": s.customer,
                        "start": s.round.start,
                        "end": s.round.end,
                        "standing": _stand(s),
                        "emergency": s.round.emergency or None,
                    }
                    for s in standings
                ],
                "deliveries": [_describe_delivery(one) for one in deliveries],
            }
        )
        return
    rows = [
        (
            s.customer or NOBODY,
            str(len(s.round.guests[s.customer])),
            f"{s.round.start:%Y-%m-%d %H:%M}",
            f"{s.round.end:%Y-%m-%d %H:%M}",
            _stand(s),
        )
        for s in standings
    ]
    print_table(STANDING_COLUMNS, rows)
    print_table(DELIVERY_COLUMNS, [_row_of_delivery(one) for one in deliveries])


def _stand(one: Standing) -> str:
    if one.round.emergency and one.heard:
        return f"told at once: emergency {one.round.emergency}"
    if one.told:
        return "told in time"
    if one.unreachable:
        return "unreachable: vouch for them, or correct the address"
    return f"not told: emergency {one.round.emergency}" if one.round.emergency else "not told long enough before"


def _row_of_delivery(one: Delivery) -> tuple[str, ...]:
    at = f"{one.at:%Y-%m-%d %H:%M}"
    return (one.customer or NOBODY, one.stage, one.channel, one.address, one.state, at, one.reason)


def _describe_delivery(one: Delivery) -> dict[str, Any]:
    return {
        "notice": one.notice,
        "customer": one.customer,
        "stage": one.stage,
        "channel": one.channel,
        "address": one.address,
        "state": one.state,
        "at": one.at,
        "attempts": one.attempts,
        "answer": one.reason,
    }
