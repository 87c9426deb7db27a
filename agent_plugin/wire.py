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
    check: "Check | None" = None
    unknown: Mapping[str, Any] = field(default_factory=dict)


def render_status(status: Status) -> str:
    """The document as text."""
    both = {"failure": status.failure, "check": status.check}
    parts = {name: flatten(part) if part else None for name, part in both.items()}
    return json.dumps({"format": FORMAT, **flatten(status), **parts}, indent=1) + "\n"


def flatten(value: "Status | Failure | Check") -> "dict[str, Any]":
    """A part of the document as it is written."""
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
    failure, check = found.pop("failure", None), found.pop("check", None)
    blocked = _take(found, "blocked", dict, {})
    if not all(isinstance(reason, str) for reason in blocked.values()):
        raise BadDocument("blocked: texts are wanted")
    if "written" not in found:
        raise BadDocument("written is missing: the time in UTC is wanted")
    texts = {name: _take(found, name, str, "") for name in _TEXTS}
    on_trial = _take(found, "on_trial", bool, False)
    return Status(
        **texts,
        on_trial=on_trial,
        blocked=blocked,
        failure=_parse_failure(failure),
        check=parse_check(check),
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


def parse_check(found: object) -> "Check | None":
    """That part alone; ``BadDocument``."""
    if found is None:
        return None
    if not isinstance(found, dict) or not {"at", "outcome"} <= found.keys():
        raise BadDocument("check: a table with at and outcome is wanted")
    texts = {name: _take(found, name, str, "") for name in ("at", "outcome", "said", "opens")}
    suspicious, pin = _take(found, "suspicious", bool, False), _take(found, "pin", int, 0)
    return Check(**texts, suspicious=suspicious, pin=pin, unknown=found)


def _take(found: "dict[str, Any]", name: str, kind: type, default: object) -> Any:
    value = found.pop(name, default)
    if not isinstance(value, kind):
        raise BadDocument(f"{name}: {kind.__name__} is wanted")
    return value
