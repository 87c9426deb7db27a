"""What the ledger holds of the notes that guest hooks left: one entry for each, known by node and file. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from zlh_hooks.domain.entry import Draft, Entry, Kind
from zlh_hooks.domain.guest_note import GuestKind, GuestNote, GuestPhase

PHASE = "guest.phase"
"""Evidence of a guest: a phase that its node's hook has noted."""


def draft_note(file: str, note: GuestNote, moved_from: str) -> Draft:
    """What is recorded. ``moved_from``: the node where the guest was when it was last noted, if that is another one."""
    data = {
        "file": file,
        "phase": note.phase.value,
        "at": note.at.isoformat(timespec="microseconds"),
        "node": note.node,
        "kind": note.kind.value,
        "lock": note.lock,
        "migrated_from": note.migrated_from,
        "vetoed": note.vetoed,
        "moved_from": moved_from,
    }
    return Draft(Kind.EVIDENCE, PHASE, target=note.guest, data=data)


def read_notes(entries: Iterable[Entry]) -> Iterable[GuestNote]:
    """Every note that was recorded, in the order of the entries; those of other things are passed over."""
    return (_read_note(entry.target, entry.data) for entry in entries if entry.name == PHASE and entry.target)


def _read_note(guest: int, data: Mapping[str, Any]) -> GuestNote:
    return GuestNote(
        guest=guest,
        phase=GuestPhase(data["phase"]),
        at=datetime.fromisoformat(data["at"]),
        node=data["node"],
        kind=GuestKind(data["kind"]),
        lock=data["lock"],
        migrated_from=data["migrated_from"],
        vetoed=data["vetoed"],
    )


def _read_past_note(entry: Entry) -> GuestNote:
    """Never later than its record: what a clock in the future has noted would stay the last one for years."""
    note = _read_note(entry.target or 0, entry.data)
    return replace(note, at=min(note.at, entry.at))


def find_backups(entries: Iterable[Entry]) -> Mapping[int, datetime]:
    """When the last good backup of each guest (VMID) ended, by its node's clock; at the latest when it was recorded."""
    ends: dict[int, datetime] = {}
    for note in (_read_past_note(entry) for entry in entries if entry.name == PHASE and entry.target):
        if note.phase is GuestPhase.BACKUP_END:
            ends[note.guest] = max(note.at, ends.get(note.guest, note.at))
    return ends


def find_backup_nodes(entries: Iterable[Entry]) -> frozenset[str]:
    """Nodes whose hook of backups was at work: a good backup was noted there."""
    return frozenset(note.node for note in read_notes(entries) if note.phase is GuestPhase.BACKUP_END)


def is_note(entry: Entry, node: str, file: str) -> bool:
    """Whether that file of that node became this entry."""
    return entry.name == PHASE and (entry.data["node"], entry.data["file"]) == (node, file)


def choose_last(entries: Iterable[Entry], guest: int) -> Entry | None:
    """The guest's latest note that says at which node it was; of several at one moment what was recorded last."""
    notes = [one for one in entries if (one.name, one.target) == (PHASE, guest) and one.data["node"]]
    return max(notes, key=lambda one: (_read_past_note(one).at, one.sequence), default=None)


def find_move(note: GuestNote, last: Entry | None) -> str:
    """The node from which the guest came since it was last noted; empty if it did not, or the note comes late."""
    before = _read_past_note(last) if last is not None else None
    if before is None or not note.node or note.at < before.at or note.node == before.node:
        return ""
    return before.node
