"""What the dead man's switch has seen and told, in a file that each look replaces."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from zlh_hooks.adapters.file import write_over
from zlh_hooks.domain.dead_man import Memory

OURS = 0o640
"""Whoever is on duty stands in it by address."""
_FORM = TypeAdapter(Memory)


@dataclass(frozen=True, slots=True)
class FileMemory:
    """The DeadManMemory port. It holds names, addresses and times, and no secret."""

    path: Path

    def read(self) -> Memory:
        """As it was left; of what is not there or makes no sense nothing is remembered, and it is told again."""
        try:
            return _FORM.validate_json(self.path.read_bytes())
        except (OSError, ValidationError):
            return Memory()

    def write(self, memory: Memory) -> None:
        """Replace it; ``SettingsError`` if it cannot be written."""
        write_over(self.path, _FORM.dump_json(memory).decode(), OURS)
