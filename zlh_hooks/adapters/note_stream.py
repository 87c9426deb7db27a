"""Notes that another node sends, batch by batch; each is acknowledged when it is recorded. None of it is believed.

A batch is a frame for each note, and an empty line. A frame is a line ``NAME BYTES``, and so many bytes. Each note is
answered by a line, ``kept NAME`` or ``refused NAME``. Nothing is written under such a name.
"""

import os
import re
import select
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from zlh_hooks.application.ports import Clock
from zlh_hooks.domain.errors import RoadError
from zlh_hooks.domain.guest_note import LONGEST_BYTES

MOST_NOTES = 1000
"""In one batch: what is read before it is answered takes at most a megabyte."""
MOST_BATCHES = 100
"""In one stream, so that none is without end. Who has more to send begins another one."""
PATIENCE = timedelta(seconds=60)
"""How long the sender may be silent."""
BATCH_TIME = timedelta(minutes=3)
"""How long a batch may come in: the sender itself waits no longer for its answers."""
_FRAME = re.compile(rb"([!-~]{1,128}) (\d{1,4})", re.ASCII)
_LONGEST_LINE = 160
_CHUNK = 65536


@dataclass(slots=True)
class NoteBatch:
    """The Spool port on notes that were sent together. ``answers``: what the sender is to hear of them."""

    notes: dict[str, bytes] = field(default_factory=dict)
    answers: bytearray = field(default_factory=bytearray)

    def list_notes(self) -> tuple[str, ...]:
        """Those that are not answered yet."""
        return tuple(sorted(self.notes))

    def read_note(self, name: str) -> str:
        """The text; ``ValueError`` if it is none."""
        try:
            return self.notes[name].decode()
        except UnicodeDecodeError as error:
            raise ValueError("it is no text in UTF-8") from error

    def delete_note(self, name: str) -> None:
        """The sender may delete it: it is recorded."""
        self._answer("kept", name)

    def set_aside(self, name: str) -> None:
        """The sender is to keep it for a person."""
        self._answer("refused", name)

    def _answer(self, word: str, name: str) -> None:
        del self.notes[name]
        self.answers += f"{word} {name}\n".encode()


@dataclass(slots=True)
class NoteStream:
    """Batches from one open file, answered by another when the next is asked for, so that a deaf one hinders nobody."""

    source: int
    target: int
    clock: Clock
    patience: timedelta = PATIENCE
    _read: bytearray = field(default_factory=bytearray)
    _due: float = 0.0

    def list_batches(self) -> Iterator[NoteBatch]:
        """Until the stream ends between two of them; ``RoadError`` if it ends elsewhere, pauses or makes no sense."""
        for _ in range(MOST_BATCHES):
            self._due = self.clock.monotonic() + BATCH_TIME.total_seconds()
            if not self._read and not self._fill():
                return
            batch = self._read_batch()
            if batch.notes:  # each that is yielded takes the lock of all intakes
                yield batch
            self._send(batch.answers)

    def _read_batch(self) -> NoteBatch:
        batch = NoteBatch()
        while line := self._read_line():
            name, size = _parse_frame(line)
            if name in batch.notes or len(batch.notes) == MOST_NOTES:
                raise RoadError(f"notes that were sent make no sense: {name!a} is there twice, or one of too many")
            batch.notes[name] = self._take(size)
        return batch

    def _read_line(self) -> bytes:
        while (end := self._read.find(b"\n")) < 0:
            if len(self._read) > _LONGEST_LINE:
                raise RoadError(f"notes that were sent make no sense: no line of {_LONGEST_LINE} bytes")
            self._must_fill()
        return self._take(end + 1)[:-1]

    def _take(self, size: int) -> bytes:
        while len(self._read) < size:
            self._must_fill()
        taken = bytes(self._read[:size])
        del self._read[:size]
        return taken

    def _must_fill(self) -> None:
        if not self._fill():
            raise RoadError("notes that were sent were cut off; what was not answered will be sent again")

    def _fill(self) -> bool:
        """Wait for more; whether there is any."""
        if self.clock.monotonic() > self._due:
            raise RoadError(f"the sender of notes took more than {BATCH_TIME.total_seconds():g} s for a batch")
        ready, _, _ = select.select([self.source], [], [], self.patience.total_seconds())
        if not ready:
            raise RoadError(f"the sender of notes was silent for {self.patience.total_seconds():g} s")
        more = os.read(self.source, _CHUNK)
        self._read += more
        return bool(more)

    def _send(self, answers: bytearray) -> None:
        while answers:
            _, ready, _ = select.select([], [self.target], [], self.patience.total_seconds())
            if not ready:
                raise RoadError(f"the sender of notes did not listen for {self.patience.total_seconds():g} s")
            try:
                del answers[: os.write(self.target, answers[: select.PIPE_BUF])]
            except OSError as error:
                raise RoadError(f"the sender of notes does not listen any more: {error.strerror}") from error


def _parse_frame(line: bytes) -> tuple[str, int]:
    found = _FRAME.fullmatch(line)
    size = int(found[2]) if found else 0
    if found is None or size > LONGEST_BYTES:
        expected = f"a name and at most {LONGEST_BYTES} bytes"
        raise RoadError(f"notes that were sent make no sense: found {line[:40]!a}, expected {expected}")
    return found[1].decode(), size
