"""Whether a ledger is whole: each entry in its place, unchanged, and chained to the one before."""

from collections.abc import Iterable
from dataclasses import dataclass

from zlh_hooks.domain.entry import GENESIS, Draft, Entry, chain_digest


@dataclass(frozen=True, slots=True)
class Break:
    """The first ``sequence`` at which the chain does not hold, and what is wrong there."""

    sequence: int
    finding: str

    def __str__(self) -> str:
        return f"entry {self.sequence}: {self.finding}"


def find_break(entries: Iterable[Entry], after: tuple[int, str] = (0, GENESIS)) -> Break | None:
    """Follow the whole chain from its first entry, or from one that is known by sequence and digest; None if it holds.

    A chain cannot know entries cut off at its end: keep the last digest elsewhere and compare.
    """
    sequence, previous = after
    for entry in entries:
        finding = _find_fault(entry, sequence + 1, previous)
        if finding:
            return Break(min(entry.sequence, sequence + 1), finding)
        sequence, previous = entry.sequence, entry.digest
    return None


def _find_fault(entry: Entry, sequence: int, previous: str) -> str:
    if entry.sequence > sequence:
        return f"missing; the next one there is entry {entry.sequence}"
    if entry.sequence < sequence:
        return f"out of order; entry {sequence} belongs here"
    if entry.previous != previous:
        return f"its previous digest is {entry.previous}; the entry before it has {previous}"
    draft = Draft(entry.kind, entry.name, entry.rollout, entry.target, entry.data)
    digest = chain_digest(entry.sequence, entry.at, draft, entry.previous)
    return "" if entry.digest == digest else f"its digest is {entry.digest}; its content has {digest}"
