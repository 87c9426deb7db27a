"""The status document, wire format version 1: what a guest says of its agent. Written here, read by the controller.

A reader keeps fields that it does not know, so that a newer guest's document passes an older reader unharmed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

FORMAT = 1
MOST_BYTES = 64 * 1024


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
class Status:
    """``written``: UTC, ISO 8601. Releases are ``<version>-<sha8>``, empty where there is none.

    ``step`` and ``outcome`` belong to the swap ``txn``, which brings ``wanted``; ``on_trial``: it is not proved yet.
    ``outcome``: empty while it is open, else installed, reverted, refused, failed or stuck; ``reason`` says why.
    ``blocked``: release to the reason why it is not tried here.
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
    patch: "Patched | None" = None
    unknown: Mapping[str, Any] = field(default_factory=dict)


def render_status(status: Status) -> str:
    """The document as text."""
    both = {"failure": status.failure, "patch": status.patch}
    parts = {name: _flatten(part) if part else None for name, part in both.items()}
    return json.dumps({"format": FORMAT, **_flatten(status), **parts}, indent=1) + "\n"


def _flatten(value: "Status | Failure | Patched") -> "dict[str, Any]":
    known = {name.name: getattr(value, name.name) for name in fields(value) if name.name != "unknown"}
    return {**known, **value.unknown}


def parse_status(text: "str | bytes") -> Status:
    """``BadDocument`` for what is not one: other formats, missing or wrong fields, more than 64 KiB."""
    if len(text) > MOST_BYTES:
        raise BadDocument(f"the document is longer than {MOST_BYTES} bytes")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadDocument(f"the document is not JSON: {error}") from error
    if not isinstance(found, dict) or found.pop("format", None) != FORMAT:
        raise BadDocument(f"the document is not of format {FORMAT}")
    return _parse(found)


def _parse(found: "dict[str, Any]") -> Status:
    failure, patch = found.pop("failure", None), found.pop("patch", None)
    blocked = _take_texts(found, "blocked")
    if "written" not in found:
        raise BadDocument("written is missing: the time in UTC is wanted")
    texts = {name: _take(found, name, str, "") for name in _TEXTS}
    on_trial = _take(found, "on_trial", bool, False)
    return Status(
        **texts,
        on_trial=on_trial,
        blocked=blocked,
        failure=_parse_failure(failure),
        patch=_parse_patch(patch),
        unknown=found,
    )


_TEXTS = ("written", "current", "previous", "txn", "wanted", "step", "outcome", "reason")


def _parse_failure(found: object) -> "Failure | None":
    if found is None:
        return None
    if not isinstance(found, dict):
        raise BadDocument("failure: a table is wanted")
    texts = {name.name: _take(found, name.name, str, "") for name in fields(Failure) if name.name != "unknown"}
    return Failure(**texts, unknown=found)


def _parse_patch(found: object) -> "Patched | None":
    if found is None:
        return None
    if not isinstance(found, dict) or not {"txn", "step"} <= found.keys():
        raise BadDocument("patch: a table with txn and step is wanted")
    texts = {name: _take(found, name, str, "") for name in ("txn", "step", "outcome", "reason", "impact")}
    tables = {name: _take_texts(found, name) for name in ("packages", "previous")}
    lists = {name: tuple(_take_list(found, name)) for name in ("restarted", "waits", "beside")}
    values: dict[str, Any] = {**texts, **tables, **lists}
    return Patched(**values, unknown=found)


def _take_texts(found: "dict[str, Any]", name: str) -> "dict[str, str]":
    values: dict[str, str] = _take(found, name, dict, {})
    if not all(isinstance(value, str) for value in values.values()):
        raise BadDocument(f"{name}: texts are wanted")
    return values


def _take_list(found: "dict[str, Any]", name: str) -> "list[str]":
    values: list[str] = _take(found, name, list, [])
    if not all(isinstance(value, str) for value in values):
        raise BadDocument(f"{name}: texts are wanted")
    return values


def _take(found: "dict[str, Any]", name: str, kind: type, default: object) -> Any:
    value = found.pop(name, default)
    if not isinstance(value, kind):
        raise BadDocument(f"{name}: {kind.__name__} is wanted")
    return value
