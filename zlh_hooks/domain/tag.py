"""The tags by which Proxmox itself is the registry.

Only tags that begin with ``zlh-`` are ever ours. Proxmox stores tags lower-case, sorted and joined by ``;``; a tag is
``[a-z0-9_][a-z0-9_.+-]*`` (PVE::JSONSchema, format ``pve-tag``). Times in tags are UTC, ``YYYYMMDDtHHMMz``.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

OURS = "zlh-"
LINE = "zlh-line."
VERSION = "zlh-version."
CHANNEL = "zlh-channel."
REVOKED = "zlh-revoked"
ROLLOUT = "zlh-rollout."
OLD_ROOT = "zlh-old-root."
FROM_VERSION = "zlh-from-version."
TO_VERSION = "zlh-to-version."
KEPT_ROOT = "zlh-kept-root."
BUSY = "zlh-busy."
HOLD = "zlh-hold."
DOWN = "zlh-down."
LINE_HOLD = "zlh-line-hold."
LEASE = "zlh-lease."
_VALID = re.compile(r"[a-z0-9_][a-z0-9_.+-]*\Z")
_TIME = "%Y%m%dt%H%Mz"


def parse_tags(text: str) -> tuple[str, ...]:
    """Proxmox's tag list as a tuple, in stored order; it accepts ``;``, ``,`` and blanks between tags."""
    return tuple(tag for tag in re.split(r"[;,\s]+", text) if tag)


def render_tags(tags: Iterable[str]) -> str:
    """The list as Proxmox stores it: sorted, each once, joined by ``;``."""
    return ";".join(sorted(set(tags)))


def is_ours(tag: str) -> bool:
    """Whether this project may write or remove the tag."""
    return tag.startswith(OURS)


def is_valid(tag: str) -> bool:
    """Whether Proxmox would store the tag."""
    return bool(_VALID.match(tag))


def values_of(prefix: str, tags: Iterable[str]) -> tuple[str, ...]:
    """What stands behind ``prefix`` in each tag that begins with it."""
    return tuple(tag.removeprefix(prefix) for tag in tags if tag.startswith(prefix))


def value_of(prefix: str, tags: Iterable[str]) -> str | None:
    """The single value behind ``prefix``; None if there is none or if several contradict each other."""
    found = set(values_of(prefix, tags))
    return found.pop() if len(found) == 1 else None


def replace(tags: Iterable[str], prefix: str, value: str | None) -> tuple[str, ...]:
    """The tags with those behind ``prefix`` removed and, unless ``value`` is None, one new one added."""
    kept = tuple(tag for tag in tags if not tag.startswith(prefix))
    return kept if value is None else (*kept, prefix + value)


def render_time(instant: datetime) -> str:
    """An aware instant for a tag, e.g. ``20261123t0412z``."""
    return instant.astimezone(UTC).strftime(_TIME)


def parse_time(text: str) -> datetime | None:
    """The aware UTC instant, or None if the text is none."""
    try:
        return datetime.strptime(text, _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
