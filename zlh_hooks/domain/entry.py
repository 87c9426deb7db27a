"""Entries of the ledger: the append-only record of intents, outcomes and what was seen."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

GENESIS = "0" * 64


class Kind(StrEnum):
    """What an entry says."""

    PLAN = "plan"  # a rollout and all that it will do
    COMMAND = "command"  # what a person asked: pause, resume, abort, revert, finalize, promote ...
    EVENT = "event"  # a transition of a state table
    INTENT = "intent"  # a side effect is about to be requested
    REQUESTED = "requested"  # the request was answered; the task, if any, still runs
    DONE = "done"  # the side effect has happened
    FAILED = "failed"  # the side effect did not happen, or its task failed
    EVIDENCE = "evidence"  # facts and measurements
    NOTE = "note"  # told to people, decides nothing


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry before it has a place in the chain. ``rollout`` is empty for what belongs to none.

    ``data`` holds JSON values only. Never secrets: entries are shown and copied.
    """

    kind: Kind
    name: str
    rollout: str = ""
    target: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as recorded: ``sequence`` from 1 without gaps, ``at`` aware UTC, ``digest`` over it and ``previous``."""

    sequence: int
    at: datetime
    kind: Kind
    name: str
    rollout: str
    target: int | None
    data: Mapping[str, Any]
    previous: str
    digest: str


def chain_digest(sequence: int, at: datetime, draft: Draft, previous: str) -> str:
    """SHA-256 (hex) over the canonical JSON of an entry and the digest of the one before it."""
    canonical = json.dumps(
        [
            sequence,
            at.astimezone(UTC).isoformat(timespec="microseconds"),
            draft.kind,
            draft.name,
            draft.rollout,
            draft.target,
            draft.data,
            previous,
        ],
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=True,
    )
    return hashlib.sha256(canonical.encode()).hexdigest()
