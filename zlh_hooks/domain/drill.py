"""A drill of the emergency: when it is set, what is seen of it, and whose counts until when. Pure."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from difflib import get_close_matches
from typing import Any
from zoneinfo import ZoneInfo

from zlh_hooks.domain.attestation import digest_policy, find_on_call
from zlh_hooks.domain.duty import Person
from zlh_hooks.domain.emergency_rules import EmergencyRules
from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.steps import RolloutState
from zlh_hooks.domain.window import decide
from zlh_hooks.domain.window_rule import Component
from zlh_hooks.domain.wording import render_length

DRILL = "emergency.drilled"
COMPLETE = (RolloutState.SUCCEEDED, RolloutState.REVERTED)
"""How the rollout of a drill ends when the policy leads to a proof, of the new version or of the one before."""
_SATURDAY, _NIGHT = 5, time(22)
_HOURS_OF_A_WEEK = 7 * 24


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of a timeline. ``at``: simulated, aware UTC; ``rule``: what decided it; ``command``: as it is typed."""

    at: datetime
    what: str
    rule: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """What a person has to say in their own words. ``option``: of the command that takes it; ``example``: an answer."""

    what: str
    option: str
    example: str


@dataclass(frozen=True, slots=True)
class Drill:
    """That somebody went through it. ``author``: at which terminal; ``rules``: digest of the emergency's rules then.

    ``played_through``: nobody was asked anything; ``ending``: the state of the rollout in it.
    """

    person: str
    at: datetime
    author: str
    rules: str
    played_through: bool
    ending: RolloutState


def find_trainee(policy: Policy, name: str) -> Person:
    """Who of those on call has that short name; ``NotAllowed`` names them all."""
    on_call = find_on_call(policy)
    if name in on_call:
        return on_call[name]
    close = get_close_matches(name, on_call, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    known = ", ".join(on_call) or "nobody yet: name people in [people]"
    raise NotAllowed(f"{name!r} is not on call under this policy; who is: {known}{hint}")


def choose_start(policy: Policy, now: datetime) -> datetime:
    """The coming or present Saturday night, or the first hour after it at which no window allows templates.

    Aware UTC. Where windows are always open it stays the Saturday night.
    """
    zone = ZoneInfo(policy.time_zone)
    today = now.astimezone(zone).date()
    saturday = today + timedelta(days=(_SATURDAY - today.weekday()) % 7)
    first = datetime.combine(saturday, _NIGHT, zone).astimezone(UTC)
    hours = (first + timedelta(hours=number) for number in range(_HOURS_OF_A_WEEK))
    needs = policy.rollout.expected_duration * 2
    return next((at for at in hours if not decide(policy, Component.TEMPLATE, at, needs).allowed), first)


# ------------------------------------------------------------------- record


def digest_rules(rules: EmergencyRules) -> str:
    """SHA-256 (hex) of what an emergency allows and demands; neither of its reason nor of how often it is drilled."""
    said = rules.model_dump(mode="json", exclude={"reason", "drill_every"})
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def describe_drill(
    policy: Policy, person: str, author: str, ending: RolloutState, played_through: bool
) -> dict[str, Any]:
    """What is recorded of it."""
    return {
        "person": person,
        "author": author,
        "policy": digest_policy(policy),
        "rules": digest_rules(policy.emergency or EmergencyRules()),
        "ending": ending,
        "played_through": played_through,
    }


def read_drills(entries: Iterable[Entry]) -> dict[str, Drill]:
    """The latest of each person; one that was played through only if there is no other."""
    found: dict[str, Drill] = {}
    for entry in entries:
        if entry.kind is not Kind.EVIDENCE or entry.name != DRILL:
            continue
        drill = parse_drill(entry)
        if not drill.played_through or drill.person not in found or found[drill.person].played_through:
            found[drill.person] = drill
    return found


def parse_drill(entry: Entry) -> Drill:
    """What was recorded."""
    data = entry.data
    person, author, rules = (str(data[key]) for key in ("person", "author", "rules"))
    return Drill(person, entry.at, author, rules, bool(data["played_through"]), RolloutState(data["ending"]))


def find_gap(rules: EmergencyRules, drill: Drill | None, now: datetime) -> str:
    """Why it does not count for its person; empty if it does.

    One that was played through is nobody's: what is drilled is a person, and none had to decide anything.
    """
    if drill is None:
        return "not done yet"
    day = f"{drill.at:%Y-%m-%d}"
    if drill.played_through:
        return f"only played through without questions on {day}, which drills nobody"
    if drill.ending not in COMPLETE:
        return f"done on {day}, and its rollout ended {drill.ending}: this policy leads to no proof in an emergency"
    if now - drill.at > rules.drill_every:
        return f"done on {day}: more than {render_length(rules.drill_every)} ago"
    if drill.rules != digest_rules(rules):
        return f"done on {day}, and the rules of [emergency] changed since"
    return ""
