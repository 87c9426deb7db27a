"""The desired state as it travels: wire format 1, JSON. Fields that a reader does not know are kept.

Instants are UTC in whole seconds, written ``2026-12-01T03:00:00Z``; the format's samples lie in ``tests/samples/wire``.
Wishes, and the count of pins, came later and are left out while there were none: a reader that does not know them
follows the pins.
"""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from agent_plugin.desired import Block, Build, Desired, Pin, Ring, is_version
from agent_plugin.opening import Opening
from agent_plugin.patch_wanted import render_wanted
from agent_plugin.wish import MalformedWish, Wish, parse_wish, refuse_unlike_wishes

FORMAT = 1
_TIME = "%Y-%m-%dT%H:%M:%SZ"


class MalformedState(ValueError):
    """The text is no desired state; says where and what would be right."""


class NewerFormat(MalformedState):
    """It is written in a format that came after this program."""


def render_state(state: Desired) -> bytes:
    """The file's bytes; the same state has the same bytes."""
    document = {
        **state.extra,
        "format": FORMAT,
        "made": _render_time(state.made),
        "jitter_seconds": int(state.jitter.total_seconds()),
        "windows": [_render_opening(one) for one in state.windows],
        "rings": [
            {**ring.extra, "name": ring.name, "vmids": [list(span) for span in ring.vmids], "percent": ring.percent}
            for ring in state.rings
        ],
        "pins": [_render_pin(pin) for pin in state.pins],
        "blocked": [{**block.extra, "versions": block.versions, "reason": block.reason} for block in state.blocked],
        **_render_wishes(state),
        **({"last_pin": state.last_pin} if state.last_pin else {}),
    }
    return json.dumps(document, sort_keys=True, indent=1).encode() + b"\n"


def _render_pin(pin: Pin) -> dict[str, Any]:
    return {
        **pin.extra,
        "number": pin.number,
        "line": pin.line,
        "ring": pin.ring,
        "version": pin.version,
        "asked": pin.asked,
        "builds": {
            machine: {**build.extra, "sha256": build.sha256, "size": build.size}
            for machine, build in pin.builds.items()
        },
        "come_from": pin.come_from,
        "back_to": list(pin.back_to),
        "downgrade": pin.downgrade,
        "also_open": [_render_opening(one) for one in pin.also_open],
    }


def _render_wishes(state: Desired) -> dict[str, Any]:
    if not state.last_wish:
        return {}
    return {"wishes": [_render_wish(wish) for wish in state.wishes], "last_wish": state.last_wish}


def _render_wish(wish: Wish) -> dict[str, Any]:
    return {
        **wish.extra,
        "number": wish.number,
        "line": wish.line,
        "ring": wish.ring,
        "patches": render_wanted(wish.patches),
        "also_open": [_render_opening(one) for one in wish.also_open],
    }


def _render_opening(one: Opening) -> dict[str, Any]:
    start, last = _render_time(one.start), _render_time(one.last_start)
    return {**one.extra, "name": one.name, "start": start, "last_start": last}


def _render_time(instant: datetime) -> str:
    return instant.astimezone(timezone.utc).strftime(_TIME)


def parse_state(data: bytes) -> Desired:
    """The state; fields that this program does not know are kept. ``MalformedState`` names the first wrong place."""
    try:
        document = _Table("", json.loads(data, object_pairs_hook=_refuse_twice))
    except ValueError as error:
        raise MalformedState(f"expected JSON in UTF-8: {error}") from error
    found = document.take("format", int)
    if found != FORMAT:
        kind = NewerFormat if found > FORMAT else MalformedState
        raise kind(f"format: found {found}; expected {FORMAT}")
    return Desired(
        document.take_time("made"),
        timedelta(seconds=document.take_number("jitter_seconds")),
        tuple(map(_parse_opening, document.take_tables("windows"))),
        tuple(map(_parse_ring, document.take_tables("rings"))),
        tuple(map(_parse_pin, document.take_tables("pins"))),
        tuple(map(_parse_block, document.take_tables("blocked"))),
        *_parse_wishes(document),
        document.take_number("last_pin") if "last_pin" in document.left else 0,
        document.rest(),
    )


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two values of one field: which one counts would be the reader's choice, and not that of whoever signed."""
    table = dict(pairs)
    if len(table) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands twice in one table")
    return table


def _parse_wishes(document: "_Table") -> tuple[tuple[Wish, ...], int]:
    if not {"wishes", "last_wish"} & document.left.keys():
        return (), 0
    found, last = document.take("wishes", list), document.take_number("last_wish")
    try:
        wishes = tuple(parse_wish(one, f"wishes[{place}]", _parse_time_beside) for place, one in enumerate(found))
        refuse_unlike_wishes(wishes, last, "wishes")
    except MalformedWish as error:
        raise MalformedState(str(error)) from error
    return wishes, last


def _parse_time_beside(found: object, place: str) -> Opening:
    return _parse_opening(_Table(place, found))


def _parse_opening(table: "_Table") -> Opening:
    times = table.take_time("start"), table.take_time("last_start")
    return Opening(table.take("name", str), *times, table.rest())


def _parse_ring(table: "_Table") -> Ring:
    spans = table.take("vmids", list)
    if not all(isinstance(span, list) and len(span) == 2 and all(type(end) is int for end in span) for span in spans):
        raise MalformedState(f"{table.place}vmids: expected pairs of guest numbers")
    percent = table.take_number("percent")
    return Ring(table.take("name", str), tuple((first, last) for first, last in spans), percent, table.rest())


def _parse_pin(table: "_Table") -> Pin:
    builds = _Table(f"{table.place}builds.", table.take("builds", dict))
    return Pin(
        table.take_number("number"),
        table.take("line", str),
        table.take("ring", str),
        table.take_version("version"),
        table.take("asked", str),
        {machine: _parse_build(builds.take_table(machine)) for machine in list(builds.left)},
        table.take_specifier("come_from"),
        tuple(str(version) for version in table.take("back_to", list)),
        table.take("downgrade", bool),
        tuple(map(_parse_opening, table.take_tables("also_open"))),
        table.rest(),
    )


def _parse_build(table: "_Table") -> Build:
    return Build(table.take("sha256", str), table.take_number("size"), table.rest())


def _parse_block(table: "_Table") -> Block:
    return Block(table.take_specifier("versions"), table.take("reason", str), table.rest())


class _Table:
    """A JSON object from which one field after another is taken; what is left is unknown, and kept."""

    def __init__(self, place: str, found: object) -> None:
        if not isinstance(found, dict):
            raise MalformedState(f"{place.rstrip('.') or 'document'}: expected an object")
        self.place, self.left = place, dict(found)

    def take(self, name: str, kind: type[Any]) -> Any:
        """The field; a truth value is no number."""
        if type(self.left.get(name)) is not kind:
            raise MalformedState(f"{self.place}{name}: found {self.left.get(name)!r}; expected a {kind.__name__}")
        return self.left.pop(name)

    def take_number(self, name: str) -> int:
        number: int = self.take(name, int)
        if number < 0:
            raise MalformedState(f"{self.place}{name}: found {number}; expected 0 or more")
        return number

    def take_time(self, name: str) -> datetime:
        text = self.take(name, str)
        try:
            return datetime.strptime(text, _TIME).replace(tzinfo=timezone.utc)
        except ValueError as error:
            raise MalformedState(
                f"{self.place}{name}: found {text!r}; expected such as 2026-12-01T03:00:00Z"
            ) from error

    def take_version(self, name: str) -> str:
        text: str = self.take(name, str)
        if not is_version(text):
            raise MalformedState(f"{self.place}{name}: found {text!r}; expected a version such as 1.5.0")
        return text

    def take_specifier(self, name: str) -> str:
        text: str = self.take(name, str)
        try:
            SpecifierSet(text)
        except InvalidSpecifier as error:
            raise MalformedState(f"{self.place}{name}: found {text!r}; expected such as >=1.3,<2") from error
        return text

    def take_table(self, name: str) -> "_Table":
        return _Table(f"{self.place}{name}.", self.left.pop(name))

    def take_tables(self, name: str) -> list["_Table"]:
        found = enumerate(self.take(name, list))
        return [_Table(f"{self.place}{name}[{position}].", one) for position, one in found]

    def rest(self) -> dict[str, Any]:
        """What nobody took."""
        return self.left
