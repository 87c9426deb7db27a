"""What the operator is told of guests that were noted: one is on another node now, or has another address. Pure.

A move stands in the note that told of it, a changed address in an entry of its own.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from zlh_hooks.domain.entry import Draft, Entry, Kind
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.note_book import PHASE
from zlh_hooks.domain.notice import Message

ADDRESS = "guest.address"
"""Evidence of a guest: where it answers; recorded when that is another address than before (``was``)."""
TOLD = "guest.change.told"
"""Told to the operator by one ``channel``: every change up to the entry ``until``."""
FRESH = timedelta(days=1)
"""So long a change is news; then it is history, and nobody is told any more."""
MOST_LINES = 20


class Changed(StrEnum):
    """What is another one."""

    NODE = "node"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True)
class GuestChange:
    """``sequence``, ``at``: of the entry that tells of it, ``at`` aware UTC; ``was`` is never empty."""

    sequence: int
    at: datetime
    guest: int
    what: Changed
    was: str
    now: str

    def __str__(self) -> str:
        if self.what is Changed.NODE:
            return f"guest {self.guest} moved from {self.was} to {self.now}"
        return f"guest {self.guest} has another address: {self.now}, and {self.was} before"


def draft_address(guest: GuestRef, address: str, was: str) -> Draft:
    """``was``: the address that was recorded before; empty at the first."""
    return Draft(Kind.EVIDENCE, ADDRESS, target=guest.vmid, data={"node": guest.node, "address": address, "was": was})


def draft_told(channel: str, changes: Sequence[GuestChange], answer: str) -> Draft:
    """``answer``: what the channel's server said."""
    return Draft(Kind.NOTE, TOLD, data={"channel": channel, "until": changes[-1].sequence, "answer": answer})


def is_change(entry: Entry) -> bool:
    """Whether it tells of one."""
    return bool(entry.data["moved_from"] if entry.name == PHASE else entry.name == ADDRESS and entry.data["was"])


def read_changes(entries: Iterable[Entry]) -> Iterator[GuestChange]:
    """In their order; entries of other things are passed over."""
    for entry in entries:
        if is_change(entry) and entry.target is not None:
            is_move = entry.name == PHASE
            what = Changed.NODE if is_move else Changed.ADDRESS
            was, now = ("moved_from", "node") if is_move else ("was", "address")
            yield GuestChange(entry.sequence, entry.at, entry.target, what, entry.data[was], entry.data[now])


def list_untold(entries: Sequence[Entry], channel: str) -> tuple[GuestChange, ...]:
    """What the operator has not been told of by that channel."""
    told = max((one.data["until"] for one in entries if one.name == TOLD and one.data["channel"] == channel), default=0)
    return tuple(change for change in read_changes(entries) if change.sequence > told)


def render_message(changes: Sequence[GuestChange], controller: str) -> Message:
    """For whoever runs the platform. At least one change."""
    first, last = changes[0], changes[-1]
    subject = str(first) if first is last else f"{len(changes)} changes of nodes and addresses of guests"
    lines = [f"{one.at:%Y-%m-%d %H:%M} UTC: {one}." for one in changes[:MOST_LINES]]
    more = len(changes) - len(lines)
    lines += [f"And {more} more: zlh-hooks ledger show."] if more else []
    hint = "What names an address or a node by hand (port forwardings, firewall, monitoring) may have to follow."
    facts = [{"guest": one.guest, "what": one.what.value, "was": one.was, "now": one.now} for one in changes]
    id_ = f"guest-change-{first.sequence}-{last.sequence}"
    return Message(id_, f"[zlh-hooks {controller}] {subject}", "\n".join([*lines, "", hint]), {"changes": facts})
