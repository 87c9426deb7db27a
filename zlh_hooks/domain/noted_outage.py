"""How long guests were away by the notes of their nodes' hooks, as far as notes can tell. Pure.

A hook sees that a guest stops, not by whose will. So only what its owner cannot have wanted counts as down: a backup
that stops the guest, and a migration by restart. A stop that somebody asked Proxmox for is taken for its owner's, or is
our own, which the rollouts' source knows. Of a guest that ended unasked (a crash, or switched off from inside), and of
one that comes up though nobody noted its stop, nobody knows.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto

from zlh_hooks.domain.guest_note import GuestNote, GuestPhase, Occasion
from zlh_hooks.domain.outage import Gap, Outage
from zlh_hooks.domain.span import make_spans

SOON = timedelta(hours=1)
"""So long a stop may take after it was asked for, and a migration by restart from its begin to its end."""
BACKED_UP = "stopped for its backup"
BY_ITSELF = "it stopped without being asked to: it crashed, or was switched off from inside"
UNNOTED = "it came up again, and nobody has noted since when it was off"


class _Why(Enum):
    """Why a guest is off, as far as that is known."""

    ASKED = auto()
    BACKUP = auto()
    BY_ITSELF = auto()
    UNNOTED = auto()
    BEFORE = auto()  # it was off before the first that was noted


@dataclass(frozen=True, slots=True)
class _Off:
    why: _Why
    since: datetime
    node: str


@dataclass(slots=True)
class NotedGuest:
    """One guest's notes, taken in one after another by their times."""

    vmid: int
    _known: list[Outage | Gap] = field(default_factory=list)
    _home: str | None = None  # where it came up; None unless it is up
    _off: _Off | None = None
    _asked: GuestNote | None = None
    _last_at: datetime | None = None

    def add(self, note: GuestNote) -> None:
        """Take in the next one. A vetoed start, a backup's end, and what comes twice or late change nothing."""
        if note.vetoed or note.phase is GuestPhase.BACKUP_END or (note.phase.is_stop and self._runs_elsewhere(note)):
            return
        if note.phase is GuestPhase.PRE_STOP:
            self._asked = note
        elif note.phase is GuestPhase.POST_STOP:
            self._stop(note)
        else:
            self._start(note)
        self._last_at = note.at

    def _runs_elsewhere(self, note: GuestNote) -> bool:
        return bool(self._home and note.node and self._home != note.node)

    def _stop(self, note: GuestNote) -> None:
        if self._off is None and note.occasion is not Occasion.MIGRATION:
            self._go_off(note, _Why.BY_ITSELF, note.at, note.node)

    def _start(self, note: GuestNote) -> None:
        if self._home is not None and self._has_been_off(note):
            self._go_off(note, _Why.UNNOTED, self._last_at or note.at, self._home)
        if note.occasion is Occasion.BACKUP and self._is_only_read(note):
            return
        if note.phase is GuestPhase.POST_START:
            self._come_up(note)

    def _has_been_off(self, note: GuestNote) -> bool:
        """Proxmox starts no guest that runs: its stop was not noted. One on its way to another node does run."""
        if note.occasion is Occasion.BACKUP:
            return self._asked is not None and self._asked.occasion is Occasion.BACKUP
        return note.occasion is Occasion.ORDINARY

    def _is_only_read(self, note: GuestNote) -> bool:
        """A backup starts a virtual machine that is off to read its disks: it does not boot."""
        if self._home is None and self._off is None:
            self._off = _Off(_Why.BEFORE, note.at, note.node)
        return self._off is not None and self._off.why is not _Why.BACKUP

    def _go_off(self, note: GuestNote, why: _Why, since: datetime, node: str) -> None:
        asked = self._asked
        if asked is not None and note.at - asked.at <= SOON:
            why, since = _Why.BACKUP if asked.occasion is Occasion.BACKUP else _Why.ASKED, asked.at
        self._off, self._home, self._asked = _Off(why, since, node), None, None

    def _come_up(self, note: GuestNote) -> None:
        if self._off is not None:
            self._known += self._judge(self._off, note.at, note.node)
        self._off, self._home, self._asked = None, note.node, None

    def _judge(self, off: _Off, until: datetime, node: str = "", *, is_open: bool = False) -> Iterator[Outage | Gap]:
        """What of the time until then is known, or is known not to be. ``node``: where it comes up, if it does."""
        has_moved = off.why is _Why.ASKED and bool(off.node and node) and off.node != node
        for span in make_spans(off.since, until):
            if off.why is _Why.BACKUP:
                yield Outage(self.vmid, span, BACKED_UP, is_open=is_open)
            elif off.why is _Why.BY_ITSELF:
                yield Gap(self.vmid, span, BY_ITSELF)
            elif off.why is _Why.UNNOTED:
                yield Gap(self.vmid, span, UNNOTED)
            elif has_moved and span.length <= SOON:
                yield Outage(self.vmid, span, f"moved from {off.node} to {node} by a restart")
            elif has_moved:
                yield Gap(
                    self.vmid, span, f"stopped on {off.node}, started on {node}: moved, or off by its owner's will"
                )

    def tell(self, until: datetime) -> tuple[Outage | Gap, ...]:
        """Everything so far; what has not ended is cut at ``until``."""
        open_ones = self._judge(self._off, until, is_open=True) if self._off is not None else ()
        return (*self._known, *open_ones)


def fold_notes(notes: Iterable[GuestNote]) -> Mapping[int, NotedGuest]:
    """Guest to what its notes tell. They may come in any order: nodes are read one after another."""
    guests: dict[int, NotedGuest] = {}
    for note in sorted(notes, key=lambda one: one.at):
        guests.setdefault(note.guest, NotedGuest(note.guest)).add(note)
    return guests
