"""The status document, wire format version 1: what a guest says of its agent. Written here, read by the controller.

A reader keeps fields that it does not know, so that a newer guest's document passes an older reader unharmed.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, TypeVar

FORMAT = 1
MOST_BYTES = 64 * 1024
REVERTS_WISHES = "revert-wish"
"""The ability to take back what a wish brought, when a later wish says so."""


class BadDocument(ValueError):
    """Says which field is wrong and what would be right."""


@dataclass(frozen=True)
class Failure:
    """The release that failed. ``net``: who went back; ``exit``: systemd's result, code, status; ``log``: its end."""

    release: str
    reason: str
    net: str = ""
    exit: str = ""
    log: str = ""
    unknown: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """How the last check ended. ``at``: UTC, ISO 8601; ``outcome``: the ruling's name, or the refusal's.

    ``said``: the rule that decided, or what was refused and where; ``opens``: when the guest may start, if it waits;
    ``suspicious``: a person must look at it. ``pin``: the newest one that is known here, 0 if there was none.
    """

    at: str
    outcome: str
    said: str = ""
    opens: str = ""
    suspicious: bool = False
    pin: int = 0
    unknown: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Patched:
    """The last patch of packages, in step ``step``; ``outcome`` is empty while it is open.

    Then: installed, nothing, reverted, refused, failed or stuck. ``packages``: name to the version that it brings,
    ``previous``: to the one before. ``impact``: live, reload, restart or guest-restart, empty if not known;
    ``restarted``: units that were restarted for it; ``waits``: what still runs old files; ``beside``: new files of
    settings that lie beside those that were kept.
    """

    txn: str
    step: str
    outcome: str = ""
    reason: str = ""
    impact: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    previous: Mapping[str, str] = field(default_factory=dict)
    restarted: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    unknown: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Wished:
    """The packages that operators wish here, as the last check found it. ``id``: of this wish, another one each time.

    ``words``: what is wished; ``ruling`` and ``said``: what the state says of it; ``opens``: when a window opens, if
    none is open. ``state``: empty if it was not tried; ``done``; ``failed``, and not tried again; ``again`` after an
    end that changed nothing, ``tries`` of them by now; ``waits`` for a window. ``reason`` says why; ``txn``: the patch,
    and ``outcome`` how that ended, also when a person has begun another one since; it came later than the rest.
    """

    number: int
    id: str
    words: str
    ruling: str
    said: str
    opens: str = ""
    state: str = ""
    reason: str = ""
    tries: int = 0
    txn: str = ""
    outcome: str = ""
    unknown: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Status:
    """``written``: UTC, ISO 8601. Releases are ``<version>-<sha8>``, empty where there is none.

    ``step`` and ``outcome`` belong to the swap ``txn``, which brings ``wanted``; ``on_trial``: it is not proved yet.
    ``outcome``: empty while it is open, else installed, reverted, refused, failed or stuck; ``reason`` says why.
    ``blocked``: release to the reason why it is not tried here. ``abilities``: what this plugin can do that others
    could not; it came later, and is left out while there is none.
    """

    written: str
    current: str = ""
    previous: str = ""
    on_trial: bool = False
    txn: str = ""
    wanted: str = ""
    step: str = ""
    outcome: str = ""
    reason: str = ""
    blocked: Mapping[str, str] = field(default_factory=dict)
    failure: "Failure | None" = None
    check: "Check | None" = None
    patch: "Patched | None" = None
    wish: "Wished | None" = None
    abilities: tuple[str, ...] = ()
    unknown: Mapping[str, Any] = field(default_factory=dict)


Part = TypeVar("Part", Failure, Check, Patched, Wished, Status)
_PARTS: "Mapping[str, type[Any]]" = {"failure": Failure, "check": Check, "patch": Patched, "wish": Wished}


def render_status(status: Status) -> str:
    """The document as text."""
    parts = {name: flatten(part) if (part := getattr(status, name)) else None for name in _PARTS}
    return json.dumps({"format": FORMAT, **flatten(status), **parts}, indent=1) + "\n"


def flatten(part: "Failure | Check | Patched | Wished | Status") -> "dict[str, Any]":
    """A part of the document as it is written."""
    known = {name.name: getattr(part, name.name) for name in fields(part) if name.name != "unknown"}
    if not known.get("abilities", True):
        del known["abilities"]
    return {**known, **part.unknown}


def parse_status(text: "str | bytes") -> Status:
    """``BadDocument`` for what is not one: other formats, missing or wrong fields, more than 64 KiB."""
    found = parse_table(text, "the document", MOST_BYTES)
    take_format(found, "the document", FORMAT)
    parts = {name: parse_part(name, found.pop(name, None), kind) for name, kind in _PARTS.items()}
    return _parse_fields("the document", found, Status, parts)


def parse_table(text: "str | bytes", what: str, most: int) -> "dict[str, Any]":
    """JSON with fields; ``BadDocument`` if it is longer than ``most`` bytes, or something else."""
    if len(text) > most:
        raise BadDocument(f"{what} is longer than {most} bytes")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadDocument(f"{what} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise BadDocument(f"{what} is not a table")
    return found


def take_format(found: "dict[str, Any]", what: str, wanted: int) -> None:
    """``BadDocument`` for a format that this program does not know."""
    if take(found, "format", int, 0) != wanted:
        raise BadDocument(f"{what} is not of format {wanted}")


def parse_part(name: str, found: object, kind: "type[Part]") -> "Part | None":
    """One part alone, None if there is none; ``BadDocument``."""
    if found is None:
        return None
    if not isinstance(found, dict):
        raise BadDocument(f"{name}: a table is wanted")
    return _parse_fields(name, dict(found), kind, {})


def _parse_fields(what: str, left: "dict[str, Any]", kind: "type[Part]", parts: "Mapping[str, Any]") -> Part:
    """Takes from ``left`` what the kind has; the rest of it is what nobody knows."""
    known = [one for one in fields(kind) if one.type in _TAKERS]
    for one in known:
        if one.name not in left and _is_needed(one):
            raise BadDocument(f"{what}: {one.name} is missing")
    values = {one.name: _TAKERS[one.type](left, one.name) for one in known if one.name in left}
    return kind(**values, **parts, unknown=left)


def _is_needed(one: "Field[Any]") -> bool:
    return one.default is MISSING and one.default_factory is MISSING


def take(found: "dict[str, Any]", name: str, kind: type, default: object = None) -> Any:
    """A field of exactly this kind, taken away: a truth value is no number, and half a surrogate pair no text."""
    value = found.pop(name, default)
    if type(value) is not kind or (isinstance(value, str) and not _is_encodable(value)):
        raise BadDocument(f"{name}: {kind.__name__} is wanted")
    return value


def _is_encodable(text: str) -> bool:
    """JSON can hold half a surrogate pair, which has no bytes."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _take_texts(found: "dict[str, Any]", name: str) -> "dict[str, str]":
    values: dict[str, str] = take(found, name, dict)
    _refuse_other_than_texts(name, (*values, *values.values()))
    return values


def _take_list(found: "dict[str, Any]", name: str) -> "tuple[str, ...]":
    values = tuple(take(found, name, list))
    _refuse_other_than_texts(name, values)
    return values


def _refuse_other_than_texts(name: str, values: "tuple[object, ...]") -> None:
    if not all(isinstance(value, str) and _is_encodable(value) for value in values):
        raise BadDocument(f"{name}: texts are wanted")


_TAKERS: "Mapping[Any, Callable[[dict[str, Any], str], Any]]" = {
    str: lambda found, name: take(found, name, str),
    bool: lambda found, name: take(found, name, bool),
    int: lambda found, name: take(found, name, int),
    Mapping[str, str]: _take_texts,
    tuple[str, ...]: _take_list,
}
"""How a field is taken, by its type; the parts of a status and what is unknown are of other types."""
