"""Notes of guest hooks become entries of the ledger: each once, whatever ends this on the way.

A note goes when its entry is on disk, and not before. If that end is not reached, its name is found in the ledger.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from zlh_hooks.application.ports import NoteRecord, Spool
from zlh_hooks.domain.errors import RoadError
from zlh_hooks.domain.guest_note import NAME, GuestNote, GuestPhase, parse_guest_note
from zlh_hooks.domain.note_book import draft_note, find_move


@dataclass(frozen=True, slots=True)
class Taken:
    """What one intake did. ``notes``: how many are recorded now that lay there; ``guests``: whose they are.

    ``left``: why something that is no note could not be set aside. ``started``: those of which the latest that was
    noted is that they came up.
    """

    notes: int
    guests: frozenset[int]
    left: tuple[RoadError, ...] = ()
    started: frozenset[int] = frozenset()


@dataclass(slots=True)
class Intake:
    """One reader of one spool. ``say`` gets a line for what a person may want to know.

    ``node``: whose notes alone these are, whatever they say; empty: each says itself whose it is.
    """

    spool: Spool
    record: NoteRecord
    say: Callable[[str], None]
    node: str = ""
    _left: dict[str, RoadError] = field(default_factory=dict)
    _notes: int = 0
    _guests: set[int] = field(default_factory=set)
    _last: dict[int, GuestPhase] = field(default_factory=dict)

    def run(self) -> Taken:
        """Take in all that lies there, and what comes meanwhile."""
        while names := [name for name in self.spool.list_notes() if name not in self._left]:
            for name in names:
                self._take(name)
        started = frozenset(vmid for vmid, phase in self._last.items() if phase is GuestPhase.POST_START)
        return Taken(self._notes, frozenset(self._guests), tuple(self._left.values()), started)

    def _take(self, name: str) -> None:
        try:
            note = self._read(name)
        except ValueError as error:
            self._set_aside(name, error)
            return
        if not self.record.has_note(note.node, name):
            self._keep(name, note)
        self.spool.delete_note(name)
        self._notes += 1
        self._guests.add(note.guest)
        self._last[note.guest] = note.phase

    def _read(self, name: str) -> GuestNote:
        if not NAME.fullmatch(name):
            raise ValueError("its name is none of a note")
        note = parse_guest_note(self.spool.read_note(name))
        if self.node and note.node not in ("", self.node):
            raise ValueError(f"node: found {note.node}; expected {self.node}, which sent it")
        return replace(note, node=self.node or note.node)

    def _keep(self, name: str, note: GuestNote) -> None:
        moved_from = find_move(note, self.record.find_last_note(note.guest))
        self.record.append(draft_note(name, note, moved_from))
        if moved_from:
            self.say(f"guest {note.guest} moved from {moved_from} to {note.node}, noted at its {note.phase}")

    def _set_aside(self, name: str, reason: ValueError) -> None:
        """What is bad keeps nobody else from being taken in, not even where there is no room to move it."""
        try:
            self.spool.set_aside(name)
        except RoadError as error:
            self._left[name] = error
        self.say(f"{name!a} is no note and is {'left' if name in self._left else 'set aside'}: {reason}")
