"""High-water marks: the newest versions that this guest has ever verified.

They lie outside the cache of documents and are on disk before anything is decided by them, so that a server cannot pass
off old documents as new ones, even after the cache was wiped. They only grow; but marks of what machines sign are
forgotten when a newer root names wholly other keys for it: that is the way back after an online key was stolen and its
thief signed the highest number there is.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from agent_plugin.disk import write_file
from agent_plugin.refusal import Refusal, Refused

_TIME = "%Y-%m-%dT%H:%M:%SZ"
BY_MACHINES = ("snapshot", "timestamp")


@dataclass(frozen=True)
class Marks:
    """Role to version; when the newest timestamp was signed (aware); which online keys signed."""

    versions: Mapping[str, int] = field(default_factory=dict)
    signed: datetime | None = None
    online: frozenset[str] = frozenset()

    def raised(self, found: "Marks") -> "Marks":
        """The marks after ``found`` was verified; ``Refused`` if something of it is below."""
        known = self._without_replaced_keys(found)
        for role, version in found.versions.items():
            if version < known.versions.get(role, 0):
                detail = f"version {version}; this guest has seen {known.versions[role]}"
                raise Refused(Refusal.REPLAYED, role, detail)
        signed = max((time for time in (known.signed, found.signed) if time), default=None)
        return Marks({**known.versions, **found.versions}, signed, found.online)

    def _without_replaced_keys(self, found: "Marks") -> "Marks":
        is_newer = found.versions.get("root", 0) > self.versions.get("root", 0)
        if not is_newer or self.online & found.online:
            return self
        kept = {role: version for role, version in self.versions.items() if role not in BY_MACHINES}
        return replace(self, versions=kept)


def read_marks(path: Path) -> Marks:
    """The marks; none before the first check. ``Refused`` if the file is damaged: a person must look at it."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return Marks()
    except OSError as error:
        raise Refused(Refusal.DISK, path.name, str(error)) from error
    try:
        found = json.loads(text)
        versions = {str(role): int(version) for role, version in found["versions"].items()}
        return Marks(versions, _parse_time(found["signed"]), frozenset(map(str, found["online"])))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        detail = "not as it was written; look at the disk, then remove the file to begin anew from the embedded root"
        raise Refused(Refusal.MARKS_DAMAGED, path.name, detail) from error


def write_marks(path: Path, marks: Marks) -> None:
    """On disk when this returns."""
    signed = marks.signed.astimezone(timezone.utc).strftime(_TIME) if marks.signed else None
    document = {"versions": dict(marks.versions), "signed": signed, "online": sorted(marks.online)}
    try:
        write_file(path, json.dumps(document, sort_keys=True, indent=1).encode() + b"\n")
    except OSError as error:
        raise Refused(Refusal.DISK, path.name, str(error)) from error


def _parse_time(text: str | None) -> datetime | None:
    return datetime.strptime(text, _TIME).replace(tzinfo=timezone.utc) if text is not None else None
