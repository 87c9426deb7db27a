"""What the launch gate says of the dead man's switch. Facts in, points out; pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from zlh_hooks.domain.attestation import TEST_LASTS
from zlh_hooks.domain.dead_man import longest_silence
from zlh_hooks.domain.entry import Entry
from zlh_hooks.domain.point import Point
from zlh_hooks.domain.wording import render_list

TESTED = "dead-man.tested"
"""Evidence that every way was tried and worked."""
PROMISE = timedelta(minutes=10)
"""So soon a person is told."""
_NAME = "dead-man"
_UNIT = "zlh-hooks-dead-man"
_ENABLE = f"systemctl enable --now {_UNIT}.timer"


@dataclass(frozen=True, slots=True)
class DeadManReach:
    """Whom it reaches: ``channels`` by name, ``heartbeat`` a service elsewhere. ``looked_at``: its latest look.

    ``is_second``: one of them is not the server that takes notices.
    """

    channels: tuple[str, ...]
    heartbeat: bool
    is_second: bool
    looked_at: datetime | None


def judge_dead_man(
    reach: DeadManReach | None, entries: Sequence[Entry], lease: timedelta, now: datetime
) -> Iterator[Point]:
    """One point for each thing that is missing; one green one if nothing is."""
    if reach is None:
        act = f"write [dead_man] into zlh-hooks.toml (docs/reference/dead-man.md), then, as root: {_ENABLE}"
        yield Point(_NAME, False, "nobody is told when the worker is dead", act)
        return
    gaps = [*_list_gaps(reach, lease), *_list_silence(reach, entries, now)]
    yield from gaps
    if not gaps:
        ways = render_list([*reach.channels, "heartbeat"])
        yield Point(_NAME, True, f"tells by {ways}, within {_minutes(lease):g} minutes at worst")


def _minutes(lease: timedelta) -> float:
    return math.ceil(longest_silence(lease).total_seconds() / 30) / 2


def _list_gaps(reach: DeadManReach, lease: timedelta) -> Iterator[Point]:
    if not reach.heartbeat:
        act = "write heartbeat_url_file into [dead_man]: a service elsewhere that tells when calls stop"
        yield Point(f"{_NAME}.heartbeat", False, "nobody is told when this machine is dead", act)
    if not reach.channels:
        act = "write [dead_man.mail] or [dead_man.webhook] into zlh-hooks.toml"
        yield Point(f"{_NAME}.channel", False, "nobody is told what is amiss", act)
    elif not reach.is_second:
        act = "write another host into [dead_man.mail], or add [dead_man.webhook]"
        yield Point(f"{_NAME}.channel", False, "the server is the one of [mail]: both end together", act)
    if longest_silence(lease) > PROMISE:
        found = f"a person is told {_minutes(lease):g} minutes after the worker's death"
        yield Point(f"{_NAME}.time", False, found, 'shorten rollout.lease of the policy; "60s" is the default')


def _list_silence(reach: DeadManReach, entries: Sequence[Entry], now: datetime) -> Iterator[Point]:
    if reach.looked_at is None or now - reach.looked_at > PROMISE:
        seen = f"the last is of {reach.looked_at:%Y-%m-%d %H:%M} UTC" if reach.looked_at else "none since the boot"
        act = f"as root: {_ENABLE}; if it is active, journalctl -u {_UNIT} says why no look is remembered"
        yield Point(f"{_NAME}.timer", False, f"no look is remembered: {seen}", act)
    if not any(entry.name == TESTED and now - entry.at <= TEST_LASTS for entry in entries):
        found = f"not tried within the last {TEST_LASTS.days} days"
        yield Point(f"{_NAME}.test", False, found, "", ("zlh-hooks dead-man --test",))
