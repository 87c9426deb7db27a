"""How a drill looks: its timeline as it goes on, and what a person is asked in it."""

from typing import Any
from zoneinfo import ZoneInfo

import typer

from zlh_hooks.domain.drill import Drill, Moment, Question, find_gap
from zlh_hooks.domain.emergency_rules import EmergencyRules
from zlh_hooks.domain.plain_text import render_line
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.wording import render_length


class Screen:
    """Prints each moment in the policy's local time, and keeps it; ``quiet``: keeps it only."""

    def __init__(self, policy: Policy, *, quiet: bool) -> None:
        self.moments: list[Moment] = []
        self.zone = ZoneInfo(policy.time_zone)
        self.quiet = quiet

    def see(self, moment: Moment) -> None:
        """One line; what decided it and what is typed stand below."""
        self.moments.append(moment)
        if self.quiet:
            return
        typer.echo(f"{moment.at.astimezone(self.zone):%a %Y-%m-%d %H:%M:%S %Z}  {render_line(moment.what)}")
        if moment.rule:
            typer.echo(f"    by: {render_line(moment.rule)}")
        if moment.command:
            typer.echo(f"    $ {moment.command}")


class Spectator(Screen):
    """Is asked nothing."""

    def answer(self, question: Question) -> str:
        """The example."""
        return question.example

    def confirm(self) -> None:
        """At once."""


class Player(Screen):
    """A person who answers. With ``quiet`` the questions go to standard error."""

    def answer(self, question: Question) -> str:
        """Asked again until it says something."""
        text = ""
        while not text:
            text = render_line(typer.prompt(f"{question.what} ({question.option})", err=self.quiet))
        return text

    def confirm(self) -> None:
        """Enter, as after the command itself."""
        if self.quiet:
            typer.echo(self.moments[-1].command, err=True)
        typer.prompt("    Enter carries it out", default="", show_default=False, err=self.quiet)


def render_result(policy: Policy, done: Drill) -> str:
    """What it counts for."""
    rules = policy.emergency or EmergencyRules()
    gap = find_gap(rules, done, done.at)
    if gap:
        return f"recorded, and it does not count for {done.person}: {gap}"
    lasts = render_length(rules.drill_every)
    return f"recorded: {done.person} did the drill ({done.ending}); it counts for {lasts}, or until [emergency] changes"


def describe_drill(policy: Policy, done: Drill, screen: Screen) -> dict[str, Any]:
    """The whole of it for --json."""
    return {
        "person": done.person,
        "ending": done.ending,
        "counts": not find_gap(policy.emergency or EmergencyRules(), done, done.at),
        "timeline": [_describe_moment(one, screen.zone) for one in screen.moments],
    }


def _describe_moment(one: Moment, zone: ZoneInfo) -> dict[str, Any]:
    return {"at": one.at, "local": one.at.astimezone(zone), "what": one.what, "rule": one.rule, "command": one.command}
