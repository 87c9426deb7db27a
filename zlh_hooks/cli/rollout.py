"""``zlh-hooks rollout``: start, watch, steer and end rollouts. The work itself is the worker's."""

import time
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from zlh_hooks import wiring
from zlh_hooks.application.signed_planning import PreparedRollout
from zlh_hooks.cli.agent_keys import Ask, PasswordFile, open_ask
from zlh_hooks.cli.option import Config, Emergency, Json, PolicyFile, RolloutId, Security, Yes
from zlh_hooks.cli.output import print_json, print_table
from zlh_hooks.cli.plan import OnlyLine, RolledOut, Version, prepare, print_plan
from zlh_hooks.cli.question import make_sure
from zlh_hooks.cli.view import (
    TARGET_COLUMNS,
    changed_rows,
    describe_progress,
    render_headline,
    render_live,
    rows_of_progress,
)
from zlh_hooks.domain.emergency_text import render_moment
from zlh_hooks.domain.guest import render_guests
from zlh_hooks.domain.plain_text import render_line
from zlh_hooks.domain.plan import AGENT
from zlh_hooks.domain.progress import FINALIZE, Progress
from zlh_hooks.domain.settling import decide_settling
from zlh_hooks.domain.steps import RolloutState, TargetState
from zlh_hooks.domain.window import Decision
from zlh_hooks.domain.window_rule import Component

app = typer.Typer(no_args_is_help=True)
REFRESH_SECONDS = 0.5
Reason = Annotated[str, typer.Option("--reason", help="Why; recorded in the ledger.")]
Detach = Annotated[bool, typer.Option("--detach", help="Do not watch.")]
EFFECTS = {
    "pause": "no further guest is begun; what has begun is brought to its end",
    "resume": "it goes on as soon as a worker has heard",
    "abort": "it ends as soon as what has begun is at its end; guests on the new version stay on it",
}
"""What an order leads to, for whoever gave it."""
LOSERS = (TargetState.APPLYING, TargetState.PROVING, TargetState.HEALTHY)
"""Guests whose old root ``finalize`` gives up; those whose proof is still owed lose it once they are proved."""


@app.command()
def start(
    line: RolledOut,
    to: Version,
    only: OnlyLine = None,
    config: Config = None,
    policy: PolicyFile = None,
    security: Security = False,
    emergency: Emergency = False,
    sign: Annotated[
        str | None,
        typer.Option("--sign", metavar="HOLDER", help="Agent: sign all that it may show with this person's keys."),
    ] = None,
    password_file: PasswordFile = None,
    yes: Yes = False,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Show the plan, ask, and carry it out: smoke test, canary, waves, promotion; back by itself if it is bad."""
    site = wiring.open_site(config, policy)
    site.desk().refuse_second()
    if (line == AGENT) != (sign is not None):
        raise typer.BadParameter("a rollout of the agent needs --sign HOLDER, for all that it may show; no other does")
    ask = open_ask(password_file)
    prepared = prepare(site, line, to, only, ask, security=security, emergency=emergency)
    if not json:
        print_plan(site, prepared.plan)
    confirm_and_follow(site, prepared, f"{line} {to}", ask, sign, yes=yes, detach=detach, json=json)


def confirm_and_follow(
    site: wiring.Site,
    prepared: PreparedRollout,
    what: str,
    ask: Ask,
    sign: str | None,
    *,
    yes: bool,
    detach: bool,
    json: bool,
) -> None:
    """Hand a plan that was shown to the worker, when a person says yes, and watch it."""
    _warn_of_emergency(site, prepared.plan.component)
    make_sure(f"Bring {what} to {render_guests(len(prepared.plan.targets))}?", yes=yes)
    site.submit(prepared, ask, sign)
    site.summon_worker()
    _follow(site, prepared.plan.id, detach, json)


def _warn_of_emergency(site: wiring.Site, component: Component) -> None:
    """It lets every rollout of the component begin at once, also one that it was not declared for."""
    known = site.emergency_desk().find_open(component)
    if known is not None:
        until = render_moment(known.until, site.policy)
        typer.echo(f"emergency {known.id} is open until {until}: no window or promise is waited for", err=True)


@app.command("list")
def list_rollouts(config: Config = None, policy: PolicyFile = None, json: Json = False) -> None:
    """Every rollout that the ledger knows, oldest first."""
    site = wiring.open_site(config, policy)
    rollouts = site.list_progress()
    if json:
        print_json([describe_progress(progress) for progress in rollouts])
        return
    rows = [
        (p.plan.id, p.plan.release.line, p.plan.release.version, p.state, f"{len(p.plan.targets)}", p.reason)
        for p in rollouts
    ]
    print_table(("id", "line", "version", "state", "guests", "reason"), rows)


@app.command()
def status(rollout: RolloutId = None, config: Config = None, policy: PolicyFile = None, json: Json = False) -> None:
    """How a rollout stands, guest by guest."""
    site = wiring.open_site(config, policy)
    _print(site.desk().find(rollout), json)


@app.command()
def watch(rollout: RolloutId = None, config: Config = None, policy: PolicyFile = None, json: Json = False) -> None:
    """Watch a rollout until it ends or pauses. Ctrl-C stops watching, not the rollout."""
    site = wiring.open_site(config, policy)
    progress = site.desk().find(rollout)
    if progress.is_executing or progress.state is RolloutState.PLANNED:
        site.ensure_worker()
    _follow(site, progress.plan.id, False, json)


@app.command()
def pause(rollout: RolloutId = None, config: Config = None, policy: PolicyFile = None, reason: Reason = "") -> None:
    """Begin with no further guest; what has begun is brought to its end."""
    _order("pause", rollout, config, policy, reason)


@app.command()
def resume(rollout: RolloutId = None, config: Config = None, policy: PolicyFile = None, reason: Reason = "") -> None:
    """Go on with a rollout that is paused."""
    _order("resume", rollout, config, policy, reason)


@app.command()
def abort(rollout: RolloutId = None, config: Config = None, policy: PolicyFile = None, reason: Reason = "") -> None:
    """End here: guests on the new version stay on it, the others on theirs.

    Who was shown a release of the agent, or packages, follows.
    """
    _order("abort", rollout, config, policy, reason)


@app.command()
def revert(
    rollout: RolloutId = None,
    config: Config = None,
    policy: PolicyFile = None,
    reason: Reason = "",
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Take every guest back: to its old root, and `stable` to the version before; or to its old agent, or packages."""
    take_back(wiring.open_site(config, policy), rollout, reason, detach, json)


def take_back(site: wiring.Site, rollout: str | None, reason: str, detach: bool, json: bool) -> None:
    """Order all back, and watch it."""
    progress = site.desk().order("revert", rollout, reason)
    site.summon_worker()
    _follow(site, progress.plan.id, detach, json, after_order=True)


@app.command()
def finalize(
    rollout: RolloutId = None,
    config: Config = None,
    policy: PolicyFile = None,
    reason: Reason = "",
    force: Annotated[
        bool, typer.Option("--force", help="End a rollout on paper that nothing else ends; needs --reason.")
    ] = False,
    yes: Yes = False,
    detach: Detach = False,
) -> None:
    """Ask, and give up the way back before the soak is over; old roots go in the next window, now if that is open.

    A guest that runs and is not healthy keeps its old root: it is told, and the exit code is 1.
    """
    site = wiring.open_site(config, policy)
    if force:
        if not reason:
            raise typer.BadParameter("--force needs --reason")
        typer.echo(render_headline(site.close_by_force(rollout, reason)))
        return
    found = site.desk().check(FINALIZE, rollout)
    if not found.count(*LOSERS):
        typer.echo(f"nothing to do: no guest of {found.plan.id} has a way back to give up")
        return
    make_sure(_ask_to_finalize(site, found), yes=yes)
    progress = site.desk().order(FINALIZE, found.plan.id, reason)
    site.summon_worker()
    if progress.plan.signed is not None:
        typer.echo(f"finalize ordered for {progress.plan.id}; its guests go back no more")
        return
    decision = _decide_settling(site, progress)
    typer.echo(f"finalize ordered for {progress.plan.id}; {_say_when_settled(site, decision)}")
    if decision is not None and decision.allowed and not detach:
        _tell_of_settling(site, progress)


def _ask_to_finalize(site: wiring.Site, progress: Progress) -> str:
    """Whom it concerns, and what they would have otherwise."""
    losers = [str(row.target.vmid) for row in progress.targets if row.state in LOSERS]
    whom = f"{render_guests(len(losers))} ({', '.join(losers)})"
    return f"Give up the way back of {whom} for good; {_say_how_long_kept(site, progress)}?"


def _say_how_long_kept(site: wiring.Site, progress: Progress) -> str:
    """Only what has ended can be finalized, so its end is known."""
    assert progress.ended_at is not None
    until = progress.ended_at + progress.plan.rules.soak
    moment = render_moment(until, site.policy)
    if until <= site.clock.now():
        return f"its time was over at {moment}, so else it goes in the next window"
    return f"else it is kept until {moment} at least"


def _tell_of_settling(site: wiring.Site, ordered: Progress) -> None:
    """Wait until the worker has looked at every guest, or the window closes; then say whom it kept, and why."""
    while True:
        progress = site.desk().find(ordered.plan.id)
        decision = _decide_settling(site, progress)
        is_open = decision is not None and decision.allowed
        if not is_open or not progress.is_soaking or not progress.list_unanswered():
            break
        site.ensure_worker()
        time.sleep(REFRESH_SECONDS)
    settled = progress.count(TargetState.SETTLED) - ordered.count(TargetState.SETTLED)
    typer.echo(f"{settled} old roots given up")
    left = [row for row in progress.targets if row.state is TargetState.HEALTHY]
    for row in left:
        typer.echo(f"  {row.target.vmid} {row.reason or _say_when_settled(site, decision)}")
    if left:
        raise typer.Exit(1)


def _decide_settling(site: wiring.Site, progress: Progress) -> Decision | None:
    """Whether the old roots may go now, and if not, when; None while no guest is proved."""
    began = [row.began_at for row in progress.targets if row.state is TargetState.HEALTHY and row.began_at is not None]
    if not began:
        return None
    return decide_settling(site.policy, max(began), site.clock.now(), security=progress.plan.security)


def _say_when_settled(site: wiring.Site, decision: Decision | None) -> str:
    if decision is None:
        return "old roots are given up once their guests are proved"
    if decision.allowed:
        return "old roots are given up now"
    if decision.until is None:
        return f"but old roots stay: {decision.rule}"
    return f"old roots are given up from {render_moment(decision.until, site.policy)} on"


def _order(verb: str, rollout: str | None, config: Config, policy: PolicyFile, reason: str) -> None:
    site = wiring.open_site(config, policy)
    progress = site.desk().order(verb, rollout, reason)
    site.summon_worker()
    typer.echo(f"{verb} ordered for {progress.plan.id}; {EFFECTS[verb]}")


def _print(progress: Progress, json: bool) -> None:
    if json:
        print_json(describe_progress(progress))
        return
    typer.echo(render_headline(progress))
    print_table(TARGET_COLUMNS, rows_of_progress(progress))


def _follow(site: wiring.Site, rollout: str, detach: bool, json: bool, after_order: bool = False) -> None:
    """Watch until the end, say how to come back if interrupted, and exit 0 only after a good end."""
    if detach:
        done = f"revert ordered for {rollout}" if after_order else f"started {rollout}"
        typer.echo(f"{done}; watch it with: zlh-hooks rollout watch {rollout}")
        return
    try:
        progress = _watch(site, rollout, json)
    except KeyboardInterrupt:
        way = "back" if after_order else "on"
        typer.echo(f"\ndetached; {rollout} goes {way}. Come back with: zlh-hooks rollout watch {rollout}", err=True)
        raise
    _print(progress, json)
    wanted = RolloutState.REVERTED if after_order else RolloutState.SUCCEEDED
    if progress.state is not wanted:
        raise typer.Exit(1)


def _watch(site: wiring.Site, rollout: str, json: bool) -> Progress:
    console = Console()
    if json or not console.is_terminal:
        return _watch_lines(site, rollout, json)
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while True:
            progress = site.desk().find(rollout)
            live.update(render_live(progress))
            if _is_over(site, progress):
                return progress
            site.ensure_worker()
            time.sleep(REFRESH_SECONDS)


def _watch_lines(site: wiring.Site, rollout: str, json: bool) -> Progress:
    """One line per change; none with --json, which prints one document at the end."""
    before: Progress | None = None
    while True:
        progress = site.desk().find(rollout)
        if not json:
            _print_changes(before, progress)
        if _is_over(site, progress):
            return progress
        before = progress
        site.ensure_worker()
        time.sleep(REFRESH_SECONDS)


def _print_changes(before: Progress | None, now: Progress) -> None:
    headline = render_headline(now)
    if before is None or headline != render_headline(before):
        typer.echo(headline)
    for row in changed_rows(before.targets if before else (), now.targets):
        typer.echo(f"  {render_line(f'{row.target.vmid} {row.state} {row.reason}')}")


def _is_over(site: wiring.Site, progress: Progress) -> bool:
    """A pause is told to the person who watches; what was ordered has yet to begin."""
    if progress.state in (RolloutState.PLANNED, RolloutState.RUNNING, RolloutState.REVERTING):
        return False
    return not site.desk().awaits_worker(progress)
