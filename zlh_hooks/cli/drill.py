"""How a drill looks: its timeline as it goes on, and what a person is asked in it."""

from typing import Any
from zoneinfo import ZoneInfo

import typer

from zlh_hooks.domain.drill import Moment, Question
from zlh_hooks.domain.plain_text import render_line
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.steps import RolloutState
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


def render_result(policy: Policy, person: str, ending: RolloutState, played_through: bool) -> str:
    """What it counts for."""
    if played_through or policy.emergency is None:
        return f"recorded: played through without questions ({ending}); it counts for nobody, run it without --yes"
    lasts = render_length(policy.emergency.drill_every)
    return f"recorded: {person} did the drill ({ending}); it counts for {lasts}, or until [emergency] changes"


def describe_drill(person: str, ending: RolloutState, played_through: bool, screen: Screen) -> dict[str, Any]:
    """The whole of it for --json."""
    return {
        "person": person,
        "ending": ending,
        "counts": not played_through,
        "timeline": [
            {
                "at": moment.at,
                "local": moment.at.astimezone(screen.zone),
                "what": moment.what,
                "rule": moment.rule,
                "command": moment.command,
            }
            for moment in screen.moments
        ],
    }
