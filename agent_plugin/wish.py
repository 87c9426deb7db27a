"""Packages that operators wish for a ring of a line: the value, and how it is read from the signed state. Pure.

Each form that is none is refused by a name of its own, so that a guest's report says what was wrong with it.
A wish holds no command: whoever signs it chooses among what the guest's own sources offer, and nothing else.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from agent_plugin.fault import BadInput
from agent_plugin.opening import Extra, Opening
from agent_plugin.patch_wanted import (
    MOST_PACKAGES,
    Package,
    PatchWanted,
    is_package_name,
    is_package_version,
    parse_packages,
    render_wanted,
)

LONGEST_NAME = 128
"""Of a line or a ring, in letters."""
MOST_SHOWN, MOST_NAMED = 80, 3
SHORT_ID = 12
_ID = re.compile(r"[0-9a-f]{64}")


class WishFault(str, Enum):
    """What is wrong with a wish."""

    TABLE = "wish-table"  # it is no table
    NUMBER = "wish-number"  # no whole number from 1 on
    LINE = "wish-line"  # no name of a line
    RING = "wish-ring"  # no name of a ring
    PATCHES = "wish-patches"  # what is wished is no table
    SECURITY = "wish-security"  # neither true nor false
    PACKAGES = "wish-packages"  # no table of names and versions
    REVERT = "wish-revert"  # no id of a wish whose packages are taken back
    BOTH = "wish-both"  # two of security fixes, exact packages and a way back at once
    NAME = "wish-name"  # no package can have this name
    VERSION = "wish-version"  # no package can have this version
    MANY = "wish-many"  # more packages than one patch takes
    OPENING = "wish-opening"  # a time beside the windows that is none
    TWICE = "wish-twice"  # two wishes for one ring of a line, or of one number
    AHEAD = "wish-ahead"  # a number above the highest one that was ever given


class MalformedWish(ValueError):
    """Begins with the fault's name, and says where, what was found, and what would be right."""

    def __init__(self, fault: WishFault, place: str, found: object, expected: str) -> None:
        self.fault = fault
        super().__init__(f"{fault.value}: {place}: found {repr(found)[:MOST_SHOWN]}; expected {expected}")


@dataclass(frozen=True)
class Wish:
    """Packages for a ring of a line. ``number`` is never given twice; ``also_open``: times beside the windows."""

    number: int
    line: str
    ring: str
    patches: PatchWanted
    also_open: tuple[Opening, ...] = ()
    extra: Extra = field(default_factory=dict)

    @property
    def id(self) -> str:
        """SHA-256, in hex, of what is wished: the same thing wished anew has another number, and so another id."""
        said = [self.number, self.line, self.ring, render_wanted(self.patches)]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    @property
    def words(self) -> str:
        """What is wished, for people."""
        if self.patches.security:
            return "security fixes"
        if self.patches.revert:
            return f"back from wish {self.patches.revert[:SHORT_ID]}"
        return " ".join(map(str, self.patches.packages)) or "no packages"

    @property
    def brief(self) -> str:
        """The same, and no longer than a sentence bears."""
        left = len(self.patches.packages) - MOST_NAMED
        if left <= 0:
            return self.words
        return f"{' '.join(map(str, self.patches.packages[:MOST_NAMED]))} and {left} more"


def parse_wish(found: object, place: str, parse_opening: Callable[[object, str], Opening]) -> Wish:
    """The wish at this place of a document; fields beside those known here are kept. ``MalformedWish``.

    ``parse_opening`` raises ``ValueError``.
    """
    if not isinstance(found, dict):
        raise MalformedWish(WishFault.TABLE, place, found, "a table")
    left = dict(found)
    return Wish(
        _parse_number(left.pop("number", None), f"{place}.number"),
        _parse_name(WishFault.LINE, left.pop("line", None), f"{place}.line"),
        _parse_name(WishFault.RING, left.pop("ring", None), f"{place}.ring"),
        _parse_patches(left.pop("patches", None), f"{place}.patches"),
        tuple(_parse_openings(left.pop("also_open", None), f"{place}.also_open", parse_opening)),
        left,
    )


def _parse_number(found: object, place: str) -> int:
    if type(found) is not int or found < 1:
        raise MalformedWish(WishFault.NUMBER, place, found, "a whole number from 1 on")
    return found


def _parse_name(fault: WishFault, found: object, place: str) -> str:
    if not isinstance(found, str) or not 0 < len(found) <= LONGEST_NAME or not found.isprintable():
        raise MalformedWish(fault, place, found, f"a printable name of at most {LONGEST_NAME} letters")
    return found


def _parse_patches(found: object, place: str) -> PatchWanted:
    if not isinstance(found, dict):
        raise MalformedWish(WishFault.PATCHES, place, found, "a table of security and packages")
    left = dict(found)
    security, packages = left.pop("security", None), left.pop("packages", None)
    if not isinstance(security, bool):
        raise MalformedWish(WishFault.SECURITY, f"{place}.security", security, "true or false")
    parsed = _parse_packages(packages, f"{place}.packages")
    revert = _parse_revert(left, f"{place}.revert")
    if [security, bool(parsed), bool(revert)].count(True) > 1:
        raise MalformedWish(WishFault.BOTH, place, found, "one of security, packages and revert, not both")
    return PatchWanted(security, parsed, left, revert)


def _parse_revert(left: "dict[str, object]", place: str) -> str:
    """Came later: a reader that does not know it finds a field that is unknown, and brings nothing."""
    if "revert" not in left:
        return ""
    revert = left.pop("revert")
    if not isinstance(revert, str) or not _ID.fullmatch(revert):
        raise MalformedWish(WishFault.REVERT, place, revert, "the id of a wish, 64 hexadecimal digits")
    return revert


def _parse_packages(found: object, place: str) -> "tuple[Package, ...]":
    if not isinstance(found, dict) or not all(isinstance(version, str) for version in found.values()):
        raise MalformedWish(WishFault.PACKAGES, place, found, "a table of names and versions")
    if len(found) > MOST_PACKAGES:
        raise MalformedWish(WishFault.MANY, place, len(found), f"at most {MOST_PACKAGES} packages")
    return tuple(_parse_package(name, version, place) for name, version in found.items())


def _parse_package(name: str, version: str, place: str) -> Package:
    if not is_package_name(name):
        raise MalformedWish(WishFault.NAME, place, name, "a name of lower case letters, digits and + . -")
    if not is_package_version(version):
        raise MalformedWish(WishFault.VERSION, f"{place}.{name}", version, "a version such as 1:2.3-4+deb12u1")
    return Package(name, version)


def _parse_openings(found: object, place: str, parse_opening: Callable[[object, str], Opening]) -> "Iterable[Opening]":
    if not isinstance(found, list):
        raise MalformedWish(WishFault.OPENING, place, found, "a list of times")
    for position, one in enumerate(found):
        try:
            yield parse_opening(one, f"{place}[{position}].")
        except ValueError as error:
            raise MalformedWish(WishFault.OPENING, f"{place}[{position}]", one, f"a time: {error}") from error


def refuse_unlike_wishes(wishes: "tuple[Wish, ...]", last: int, place: str) -> None:
    """``MalformedWish`` where two speak of one ring of a line, or share a number, or one was never given."""
    _refuse_twice(place, [(wish.line, wish.ring) for wish in wishes])
    _refuse_twice(place, [wish.number for wish in wishes])
    for wish in wishes:
        if wish.number > last:
            raise MalformedWish(WishFault.AHEAD, place, wish.number, f"at most last_wish, which is {last}")


def _refuse_twice(place: str, found: "list[Any]") -> None:
    twice = [one for one, times in Counter(found).items() if times > 1]
    if twice:
        raise MalformedWish(WishFault.TWICE, place, twice[0], "each ring of a line once, and each number once")


def choose_packages(security: bool, words: "Sequence[str]") -> PatchWanted:
    """What a person wishes: ``security``, or words such as ``openssl=3.0-1``; neither: nothing.

    ``ValueError`` for words that are none.
    """
    try:
        packages = sorted(parse_packages(words), key=lambda package: package.name)  # as the document has them
        return PatchWanted(security, tuple(packages))
    except BadInput as error:
        raise ValueError(str(error)) from error
