"""Options that several commands share, and what they lead to."""

import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from zlh_hooks.domain.duration import parse_duration
from zlh_hooks.domain.policy import Policy

Config = Annotated[
    Path | None,
    typer.Option("--config", envvar="ZLH_HOOKS_CONFIG", help="Connections; default /etc/zlh-hooks/zlh-hooks.toml."),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option("--policy", envvar="ZLH_HOOKS_POLICY", help="Rules; default /etc/zlh-hooks/policy.toml."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Security = Annotated[
    bool, typer.Option("--security", help="It closes a hole: freezes that stop all but security do not stop it.")
]
Emergency = Annotated[
    bool, typer.Option("--emergency", help="It is what the open emergency was declared for; may spare the canary.")
]
LOCAL_FORMATS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M")
"""How a local time is typed."""
RolloutId = Annotated[str | None, typer.Argument(help="The rollout's id; the latest if left out.")]


def parse_length(text: str) -> timedelta:
    """A duration as it is typed."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def render_options(config: Path | None, policy: Path | None) -> str:
    """What other commands need to find the same files; begins with a blank if there is any."""
    named = (("--config", config), ("--policy", policy))
    return "".join(f" {name} {shlex.quote(str(path.absolute()))}" for name, path in named if path)


def resolve_instant(policy: Policy, typed: datetime | None) -> datetime:
    """An aware instant in UTC from what was typed as local time of the policy, or the present."""
    return datetime.now(UTC) if typed is None else typed.replace(tzinfo=ZoneInfo(policy.time_zone)).astimezone(UTC)
