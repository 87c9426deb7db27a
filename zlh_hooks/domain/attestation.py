"""What only a person can know before the launch: which acts there are, and who said when that one was done. Pure."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from zlh_hooks.domain.duty import Person, holders_of
from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.flaw import has_place, render_found
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.window_rule import Component
from zlh_hooks.domain.wording import render_list

ATTESTED = "attested"
BACKUP, MONITORING = "backup-restored", "monitoring-first"
CONFIRMED, REHEARSED, DRILLED = "confirmed.", "rehearsed.", "drilled."
TEST_LASTS = timedelta(days=30)
"""Passwords expire and servers move: a channel that worked so long ago may not work tonight."""
REHEARSAL_LASTS = timedelta(days=180)
"""People, machines and the runbook's words change; after so long a rehearsal says nothing about the next window."""


@dataclass(frozen=True, slots=True)
class Attestation:
    """A person's word. ``digest``: of the value that was confirmed; empty for acts."""

    key: str
    at: datetime
    author: str
    note: str = ""
    digest: str = ""


def read_attestations(entries: Iterable[Entry]) -> dict[str, Attestation]:
    """The latest word for each key."""
    mine = (entry for entry in entries if entry.kind is Kind.COMMAND and entry.name == ATTESTED)
    return {str(entry.data["key"]): _parse(entry) for entry in mine}


def _parse(entry: Entry) -> Attestation:
    key, author, note, digest = (str(entry.data.get(name, "")) for name in ("key", "author", "note", "digest"))
    return Attestation(key, entry.at, author, note, digest)


def list_keys(policy: Policy) -> tuple[str, ...]:
    """Everything that can be attested under this policy, in the order of the gate."""
    manual = [one for one in Component if one in policy.components and policy.components[one].driver == "manual"]
    return (
        *(CONFIRMED + key for key in policy.to_confirm),
        BACKUP,
        MONITORING,
        *(REHEARSED + one for one in manual),
        *(DRILLED + name for name in find_on_call(policy)),
    )


def may_attest(policy: Policy, key: str) -> bool:
    """Whether there is such an act. What was confirmed stays confirmable when ``to_confirm`` names it no more."""
    return key in list_keys(policy) or (key.startswith(CONFIRMED) and has_place(policy, key.removeprefix(CONFIRMED)))


def list_watched(policy: Policy, attested: Mapping[str, Attestation]) -> tuple[str, ...]:
    """Places that are to be confirmed, and those that ever were and still are there."""
    known = [key.removeprefix(CONFIRMED) for key in attested if key.startswith(CONFIRMED)]
    return tuple(dict.fromkeys((*policy.to_confirm, *(place for place in known if has_place(policy, place)))))


def find_on_call(policy: Policy) -> Mapping[str, Person]:
    """Who decides at some symptom, by their short names; everybody while no symptom says who decides."""
    deciders = {symptom.decides for symptom in policy.symptoms.values()}
    deciding = [person for role in deciders for person in holders_of(role, policy.people)]
    return {name: person for name, person in policy.people.items() if not deciders or person in deciding}


def describe(policy: Policy, key: str) -> dict[str, str]:
    """What the ledger keeps beside a key. Of tables only the digest: people's phones are not kept for ever."""
    if not key.startswith(CONFIRMED):
        return {}
    place = key.removeprefix(CONFIRMED)
    return {"value": render_value(policy, place), "digest": digest_value(policy, place)}


def render_value(policy: Policy, place: str) -> str:
    """The value as the policy's file has it; of a table its keys, which tell that it is the right one."""
    found = _find(policy.model_dump(mode="json"), place)
    if isinstance(found, Mapping):
        return render_list(list(found)) or "an empty table"
    return "an array" if isinstance(found, list) else render_found(found)


def digest_value(policy: Policy, place: str) -> str:
    """SHA-256 (hex) of what stands at the place of ``to_confirm``; keys that have their defaults do not count."""
    return _digest(_find(policy.model_dump(mode="json", exclude_defaults=True), place))


def digest_policy(policy: Policy) -> str:
    """SHA-256 (hex) of all that pages are rendered from."""
    return _digest(policy.model_dump(mode="json"))


def is_confirmed(policy: Policy, place: str, attested: Mapping[str, Attestation]) -> bool:
    """Whether somebody confirmed the value that stands there now."""
    word = attested.get(CONFIRMED + place)
    return word is not None and word.digest == digest_value(policy, place)


def drop_confirmed(policy: Policy, attested: Mapping[str, Attestation]) -> Policy:
    """The policy with only that in ``to_confirm`` which nobody has confirmed yet."""
    left = tuple(place for place in policy.to_confirm if not is_confirmed(policy, place, attested))
    return policy.model_copy(update={"to_confirm": left})


def _find(value: Any, place: str) -> Any:
    for part in place.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _digest(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
