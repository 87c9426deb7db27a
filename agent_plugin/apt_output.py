"""What apt and dpkg print, as values. Pure."""

import re
from dataclasses import dataclass

from agent_plugin.patch_wanted import Package

_INSTALL = re.compile(
    r"Inst (?P<name>\S+)(?: \[(?P<old>[^\]\s]+)\])? \((?P<new>\S+) (?P<origins>.*)\[(?P<machine>\S+)\]\)"
)
_BUSY = re.compile(
    r"Could not get lock|Unable to acquire|Unable to lock|is another process using it|lock was locked by"
)
_CONFFILE = re.compile(r" (/.+) [0-9a-f]{32}(?: [a-z-]+)*")
HELD = "hi"
INSTALLED = ("ii", HELD)
"""What dpkg calls a package that is whole; the second is held at its version."""


@dataclass(frozen=True)
class Upgrade:
    """A package that gets another version; ``old`` empty: it was not there."""

    name: str
    old: str
    new: str

    @property
    def before(self) -> Package:
        """To go back to."""
        return Package(self.name, self.old)

    @property
    def after(self) -> Package:
        """To go to."""
        return Package(self.name, self.new)


@dataclass(frozen=True)
class Offer:
    """A line ``Inst`` of a simulation; ``is_security``: one of its sources is for security fixes."""

    upgrade: Upgrade
    is_security: bool

    @property
    def is_fix(self) -> bool:
        """Whether it is a security fix of what is there; another build of the same version is none."""
        return self.is_security and self.upgrade.old not in ("", self.upgrade.new)


@dataclass(frozen=True)
class Installed:
    """What dpkg knows of a package. ``status``: its abbreviation, ``ii`` if all is well; ``kib``: unpacked size."""

    version: str
    status: str
    kib: int = 0


def parse_offers(output: str) -> "tuple[Offer, ...]":
    """The lines of ``apt-get --simulate`` that unpack something."""
    return tuple(_parse_offer(match) for line in output.splitlines() if (match := _INSTALL.match(line)))


def _parse_offer(match: "re.Match[str]") -> Offer:
    upgrade = Upgrade(match["name"], match["old"] or "", match["new"])
    return Offer(upgrade, any(_is_security(origin.strip()) for origin in match["origins"].split(",")))


def _is_security(origin: str) -> bool:
    """Such as ``Debian-Security:12/oldstable-security``: the label, the release's version, and its suite."""
    label, _, suite = origin.partition(":")
    return label == "Debian-Security" or suite.rpartition("/")[2].endswith("-security")


INSTALLED_FORMAT = "${Package}\\t${Architecture}\\t${Version}\\t${db:Status-Abbrev}\\t${Installed-Size}\\n"


def parse_installed(output: str, native: str) -> "dict[str, Installed]":
    """What ``dpkg-query`` printed in ``INSTALLED_FORMAT``, by the names that apt uses."""
    found = {}
    for line in output.splitlines():
        name, machine, version, status, kib = line.split("\t")
        key = name if machine in (native, "all") else f"{name}:{machine}"
        if version:
            found[key] = Installed(version, status.strip(), int(kib) if kib.isdecimal() else 0)
    return found


def parse_conffiles(output: str) -> "tuple[str, ...]":
    """The files of settings that ``dpkg-query`` printed as ``${Conffiles}``."""
    return tuple(match[1] for line in output.splitlines() if (match := _CONFFILE.fullmatch(line)))


def parse_needed(output: str) -> int:
    """Bytes that ``apt-cache show`` says the packages need, packed and unpacked; of each package once."""
    fields = [line.partition(": ")[::2] for line in output.splitlines()]
    packed = sum(int(value) for key, value in fields if key == "Size" and value.isdecimal())
    return packed + 1024 * sum(int(value) for key, value in fields if key == "Installed-Size" and value.isdecimal())


def is_full(errors: str) -> bool:
    """Whether a program ended because a disk is full; the packages are not to blame."""
    return "No space left on device" in errors or "Disk quota exceeded" in errors


def is_busy(errors: str) -> bool:
    """Whether a program ended because another one holds the lock of packages."""
    return bool(_BUSY.search(errors))
