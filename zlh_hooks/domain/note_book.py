"""What the ledger holds of the notes that guest hooks left: one entry for each, known by node and file. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
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


def _read_past_notes(entries: Iterable[Entry]) -> Iterable[GuestNote]:
    """None is later than its record: what a clock in the future has noted would stay the last one for years."""
    return (replace(note, at=min(note.at, entry.at)) for entry in entries for note in read_notes([entry]))


def find_backups(entries: Iterable[Entry]) -> Mapping[int, datetime]:
    """When the last good backup of each guest (VMID) ended, by its node's clock; at the latest when it was recorded."""
    ends: dict[int, datetime] = {}
    for note in _read_past_notes(entries):
        if note.phase is GuestPhase.BACKUP_END:
            ends[note.guest] = max(note.at, ends.get(note.guest, note.at))
    return ends


def find_backup_nodes(entries: Iterable[Entry]) -> frozenset[str]:
    """Nodes whose hook of backups was at work: a good backup was noted there."""
    return frozenset(note.node for note in read_notes(entries) if note.phase is GuestPhase.BACKUP_END)


@dataclass(slots=True)
class NoteBook:
    """Which files of which nodes are recorded, and where each guest was when it was last noted."""

    _files: set[tuple[str, str]] = field(default_factory=set)
    _last: dict[int, GuestNote] = field(default_factory=dict)

    def add(self, entries: Iterable[Entry]) -> "NoteBook":
        """Take in more entries, of whatever."""
        recorded = [entry for entry in entries if entry.name == PHASE]
        self._files |= {(entry.data["node"], entry.data["file"]) for entry in recorded}
        for note in _read_past_notes(recorded):
            last = self._last.get(note.guest)
            if note.node and (last is None or last.at <= note.at):
                self._last[note.guest] = note
        return self

    def has(self, node: str, file: str) -> bool:
        """Whether it is recorded. A node's names are its own: none can take another's note for recorded."""
        return (node, file) in self._files

    def find_move(self, note: GuestNote) -> str:
        """The node from which the guest came since it was last noted; empty if it did not, or the note comes late."""
        last = self._last.get(note.guest)
        if last is None or not note.node or note.at < last.at or note.node == last.node:
            return ""
        return last.node
