"""What guests' hooks note of each phase of a guest, and vzdump's of each good backup, a text for each. Pure.

It is one JSON object on one line, written by ``hookscripts/zlh-guest-hook``; docs/reference/guest-hook.md shows one. It
comes from root on a hypervisor, perhaps another machine's: nothing in it is believed unchecked.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

FORMAT = 1
NAME = re.compile(r"\d{8}t\d{6}\.\d{6}z-[1-9]\d{2,8}-(?:(?:pre|post)-(?:start|stop)|backup-end)-\d+\.json", re.ASCII)
"""How a note is called, so that names sort as the notes came."""
LONGEST_BYTES = 1024
NODE = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9-]{0,62})?", re.ASCII)
"""A node's name, or nothing."""
_LOCK = re.compile(r"[a-z-]{0,32}", re.ASCII)
_INSTANT = "%Y-%m-%dT%H:%M:%S.%fZ"
_LOWEST_GUEST, _HIGHEST_GUEST = 100, 999_999_999


class GuestPhase(StrEnum):
    """When Proxmox calls a guest's hook; at the end of a good backup, vzdump's."""

    PRE_START = "pre-start"
    POST_START = "post-start"
    PRE_STOP = "pre-stop"
    POST_STOP = "post-stop"
    BACKUP_END = "backup-end"

    @property
    def is_stop(self) -> bool:
        """Whether the guest is about to stop, or has."""
        return self in (GuestPhase.PRE_STOP, GuestPhase.POST_STOP)


class GuestKind(StrEnum):
    """Whose config was read; ``UNKNOWN`` if none could be."""

    LXC = "lxc"
    QEMU = "qemu"
    UNKNOWN = "unknown"


class Occasion(StrEnum):
    """Why a guest starts or stops, as far as Proxmox lets a hook see it.

    A container's migration is an ordinary stop on one node and an ordinary start on another: Proxmox sets its lock
    after the one and takes it off before the other.
    """

    ORDINARY = "ordinary"
    BACKUP = "backup"
    MIGRATION = "migration"


@dataclass(frozen=True, slots=True)
class GuestNote:
    """One phase of one guest. ``at``: aware, by the clock of ``node``, which is empty if it could not be told.

    ``lock``: the config's, empty without one. ``migrated_from``: the node from which a running VM is coming.
    ``vetoed``: the hook forbade this start, because the guest is marked down.
    """

    guest: int
    phase: GuestPhase
    at: datetime
    node: str
    kind: GuestKind
    lock: str
    migrated_from: str
    vetoed: bool

    @property
    def occasion(self) -> Occasion:
        """What the lock and the node it comes from say; ``ORDINARY`` also if the config could not be read."""
        if self.migrated_from or self.lock == "migrate":
            return Occasion.MIGRATION
        return Occasion.BACKUP if self.lock == "backup" else Occasion.ORDINARY


def parse_guest_note(text: str) -> GuestNote:
    """The note in a file's text; keys that are not known here are passed over.

    ValueError names the key, what was found, and what would be right.
    """
    found = _parse_object(text)
    _expect(found, "format", found.get("format") == FORMAT, f"{FORMAT}; a later one is from a newer hook than this")
    _expect(found, "event", found.get("event") == "guest", '"guest"')
    guest = found.get("guest")
    is_guest = type(guest) is int and _LOWEST_GUEST <= guest <= _HIGHEST_GUEST
    _expect(found, "guest", is_guest, f"a number from {_LOWEST_GUEST} to {_HIGHEST_GUEST}")
    _expect(found, "vetoed", isinstance(found.get("vetoed"), bool), "true or false")
    return GuestNote(
        guest=found["guest"],
        phase=GuestPhase(_choose(found, "phase", GuestPhase)),
        at=_parse_instant(found),
        node=_match(found, "node", NODE, "a node's name or nothing"),
        kind=GuestKind(_choose(found, "kind", GuestKind)),
        lock=_match(found, "lock", _LOCK, "a config lock such as backup, or nothing"),
        migrated_from=_match(found, "migrated_from", NODE, "a node's name or nothing"),
        vetoed=found["vetoed"],
    )


def _parse_object(text: str) -> dict[str, Any]:
    if len(text.encode(errors="surrogatepass")) > LONGEST_BYTES:
        raise ValueError(f"a note of more than {LONGEST_BYTES} bytes; expected one line of JSON")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("found no JSON; expected one object on one line") from error
    if not isinstance(found, dict):
        raise ValueError("found JSON that is no object; expected one object on one line")
    return found


def _expect(found: dict[str, Any], key: str, is_right: bool, expected: str) -> None:
    if not is_right:
        shown = ascii(found[key])[:80] if key in found else "nothing"
        raise ValueError(f"{key}: found {shown}; expected {expected}")


def _choose(found: dict[str, Any], key: str, choices: type[StrEnum]) -> str:
    known = tuple(choice.value for choice in choices)
    value = found.get(key)
    _expect(found, key, isinstance(value, str) and value in known, f"one of {', '.join(known)}")
    return str(value)


def _match(found: dict[str, Any], key: str, pattern: re.Pattern[str], expected: str) -> str:
    value = found.get(key)
    _expect(found, key, isinstance(value, str) and pattern.fullmatch(value) is not None, expected)
    return str(value)


def _parse_instant(found: dict[str, Any]) -> datetime:
    try:
        return datetime.strptime(str(found.get("at")), _INSTANT).replace(tzinfo=UTC)
    except ValueError:
        _expect(found, "at", False, "a UTC instant such as 2026-11-27T02:49:35.123456Z")
        raise
