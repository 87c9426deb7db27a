"""``zlh-hooks emergency``: what cannot wait for a window. Declared with a reason, limited, and looked back on."""

from datetime import timedelta
from typing import Annotated, Any

import typer

from zlh_hooks import wiring
from zlh_hooks.application.drill import note_drill
from zlh_hooks.application.emergency_desk import Account
from zlh_hooks.cli.drill import Player, Spectator, describe_drill, render_result
from zlh_hooks.cli.option import Config, Json, PolicyFile, Yes, parse_length
from zlh_hooks.cli.output import print_json, print_table
from zlh_hooks.cli.question import make_sure
from zlh_hooks.domain.drill import find_trainee
from zlh_hooks.domain.emergency import Word, describe_emergency
from zlh_hooks.domain.emergency_text import render_effect, render_moment
from zlh_hooks.domain.window_rule import Component

app = typer.Typer(no_args_is_help=True)
COLUMNS = ("id", "component", "state", "declared (UTC)", "over (UTC)", "author", "reason", "reference", "owed")
Optional = Annotated[str | None, typer.Argument(help="The emergency's id; the open one if left out.")]


Length = Annotated[
    timedelta | None,
    typer.Option(
        "--for", metavar="LENGTH", parser=parse_length, help="How long, e.g. 2h; the policy's limit if left out."
    ),
]


@app.command()
def declare(
    component: Annotated[Component, typer.Argument(help="What must be changed now.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it cannot wait. Customers read it.")],
    reference: Annotated[str, typer.Option("--reference", help="A ticket, an advisory, a CVE.")],
    length: Length = None,
    without_canary: Annotated[
        str | None, typer.Option("--without-canary", help="Why not even the proof of a first server can be waited for.")
    ] = None,
    config: Config = None,
    policy: PolicyFile = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Show what it passes over and until when, ask, and open it. Windows and promises do not count meanwhile."""
    site = wiring.open_site(config, policy)
    desk = site.emergency_desk()
    proposed = desk.propose(component, reason, reference, length, without_canary)
    if not (json and yes):
        typer.echo("\n".join(render_effect(proposed, site.policy)), err=json)
    make_sure(f"Declare it as {site.author}?", yes=yes, err=json)
    desk.declare(proposed)
    if json:
        print_json(describe_emergency(proposed))
    else:
        typer.echo(f"{proposed.id} is open until {render_moment(proposed.until, site.policy)}")


@app.command()
def end(
    emergency: Optional = None,
    reason: Annotated[str, typer.Option("--reason", help="How it went; recorded.")] = "",
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Close it now. What has begun is brought to its end; all else waits for windows and promises again."""
    site = wiring.open_site(config, policy)
    ended = site.emergency_desk().end(emergency, reason)
    typer.echo(f"{ended.id} is over; look back on it: zlh-hooks emergency review {ended.id} --text '...'")


@app.command()
def review(
    emergency: Annotated[str, typer.Argument(help="The emergency's id.")],
    text: Annotated[str, typer.Option("--text", help="What happened, and what will be done otherwise.")],
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Pay the debt: record what was learnt of it."""
    wiring.open_site(config, policy).emergency_desk().review(emergency, text)
    typer.echo(f"recorded: {emergency} is reviewed")


@app.command()
def drill(
    who: Annotated[str, typer.Option("--who", metavar="PERSON", help="You, by your short name in the policy.")],
    bad: Annotated[bool, typer.Option("--bad", help="The version is bad: it has to go back.")] = False,
    config: Config = None,
    policy: PolicyFile = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; then it counts for nobody.")] = False,
    json: Json = False,
) -> None:
    """Go through an emergency of this policy on simulated servers. Nothing real is touched; that you did is noted."""
    site = wiring.open_site(config, policy)
    find_trainee(site.policy, who)
    screen = (Spectator if yes else Player)(site.policy, quiet=json)
    ending = site.open_drill(who, screen, bad=bad).play()
    done = note_drill(site.ledger, site.policy, who, site.author, ending, played_through=yes)
    if json:
        print_json(describe_drill(site.policy, done, screen))
    else:
        typer.echo(render_result(site.policy, done))


@app.command("list")
def list_emergencies(config: Config = None, policy: PolicyFile = None, json: Json = False) -> None:
    """Every emergency, how it stands, and what is still owed, with when that is due."""
    accounts = wiring.open_site(config, policy).emergency_desk().list_accounts()
    if json:
        print_json([_describe(one) for one in accounts])
    else:
        print_table(COLUMNS, [_row(one) for one in accounts])


def _row(one: Account) -> tuple[str, ...]:
    known = one.emergency
    owed = "; ".join(f"{debt.what}, by {debt.due:%Y-%m-%d %H:%M}" for debt in one.debts)
    times = f"{known.declared_at:%Y-%m-%d %H:%M}", f"{known.closes_at:%Y-%m-%d %H:%M}"
    return (
        known.id,
        known.component,
        one.state,
        *times,
        known.author,
        known.reason,
        known.reference,
        owed or "nothing",
    )


def _describe(one: Account) -> dict[str, Any]:
    known = one.emergency
    return {
        **describe_emergency(known),
        "declared_at": known.declared_at,
        "closes_at": known.closes_at,
        "state": one.state,
        "ended": _describe_word(known.ended),
        "reviewed": _describe_word(known.reviewed),
        "debts": [{"kind": debt.kind, "what": debt.what, "due": debt.due} for debt in one.debts],
    }


def _describe_word(word: Word | None) -> dict[str, Any] | None:
    return {"text": word.text, "author": word.author, "at": word.at} if word else None
