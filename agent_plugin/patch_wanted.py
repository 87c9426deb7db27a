"""Which packages a guest shall have: what a person asks for, or a signed desired state."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_plugin.fault import BadInput

NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+(?::[a-z0-9][a-z0-9-]*)?")
VERSION = re.compile(r"[0-9](?:[0-9A-Za-z.+:~-]*[0-9A-Za-z])?")
"""Ends with a letter or digit: apt takes a last ``-`` for "remove" and a last ``+`` for "install"."""
MOST_PACKAGES = 200


def is_package_name(text: str) -> bool:
    """Whether Debian's policy (5.6.7) lets a package be called so; ``:architecture`` may follow."""
    return len(text) <= 128 and NAME.fullmatch(text) is not None


def is_package_version(text: str) -> bool:
    """Whether Debian's policy (5.6.12) lets a version be so, and apt takes it for nothing else."""
    return len(text) <= 128 and VERSION.fullmatch(text) is not None


@dataclass(frozen=True)
class Package:
    """A package in one exact version; ``name`` as dpkg says it, with ``:architecture`` where it is a foreign one."""

    name: str
    version: str

    def __post_init__(self) -> None:
        """``BadInput`` if apt could take it for something else."""
        if not is_package_name(self.name):
            raise BadInput(f"package {self.name[:80]!r}: lower case letters, digits and + . - are allowed")
        if not is_package_version(self.version):
            raise BadInput(f"version {self.version[:80]!r} of {self.name}: one such as 1:2.3-4+deb12u1 is wanted")

    def __str__(self) -> str:
        return f"{self.name}={self.version}"


@dataclass(frozen=True)
class PatchWanted:
    """All security fixes that the guest's own sources have, or exactly these packages, or (neither) nothing.

    ``revert``: the id of a wish, and what that brought here is taken back; empty: nothing is.
    """

    security: bool = False
    packages: tuple[Package, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    revert: str = ""

    def __post_init__(self) -> None:
        """``BadInput`` if it says two things at once."""
        names = [package.name for package in self.packages]
        if [self.security, bool(names), bool(self.revert)].count(True) > 1:
            raise BadInput("one of security fixes, exact packages and a way back is wanted, not both")
        if len(set(names)) != len(names) or len(names) > MOST_PACKAGES:
            raise BadInput(f"each package once, and at most {MOST_PACKAGES} are wanted")

    @property
    def is_nothing(self) -> bool:
        """Whether nothing shall be brought."""
        return not self.security and not self.packages and not self.revert


def parse_packages(words: Sequence[str]) -> "tuple[Package, ...]":
    """Words such as ``openssl=3.0.15-1``; ``BadInput``."""
    for word in words:
        if "=" not in word:
            raise BadInput(f"package {word[:80]!r}: NAME=VERSION is wanted")
    return tuple(Package(*word.split("=", 1)) for word in words)


def render_wanted(wanted: PatchWanted) -> "dict[str, Any]":
    """As JSON has it; fields that came from a newer program are kept."""
    back = {"revert": wanted.revert} if wanted.revert else {}
    packages = {one.name: one.version for one in wanted.packages}
    return {**wanted.extra, "security": wanted.security, "packages": packages, **back}


def parse_wanted(found: object) -> PatchWanted:
    """``BadInput`` names the field."""
    if not isinstance(found, dict):
        raise BadInput("patches: a table is wanted")
    left = dict(found)
    security, packages, revert = left.pop("security", False), left.pop("packages", {}), left.pop("revert", "")
    if not isinstance(security, bool) or not isinstance(packages, dict):
        raise BadInput("patches: security true or false, and packages as a table of versions, are wanted")
    if not all(isinstance(version, str) for version in (*packages.values(), revert)):
        raise BadInput("patches: revert, and in packages versions are texts")
    return PatchWanted(security, tuple(Package(name, version) for name, version in packages.items()), left, revert)
