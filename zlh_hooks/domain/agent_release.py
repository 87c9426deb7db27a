"""Releases of the agent, and which of them a pin means."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from zlh_hooks.domain.emergency import Emergency
from zlh_hooks.domain.errors import NotAllowed, SettingsError

_PLAIN = re.compile(r"[0-9][0-9a-z.+]*\Z")
FAILED_HERE = "failed-here"
"""How a guest's check ends for a version that failed there under the same pin, or one that came after it."""
MACHINES = ("all", "amd64", "arm64")
"""What a build runs on, in Debian's words; ``all``: on every one of them."""


@dataclass(frozen=True, slots=True)
class Release:
    """One build: SHA-256 in hex, size in bytes. ``come_from``: which versions may be replaced by it. ``back_to``:
    to which a guest may go back from it, because they understand what it leaves behind. Both are specifiers, and
    the release keys signed them.
    """

    version: str
    machine: str
    sha256: str
    size: int
    come_from: str = ""
    back_to: str = ""

    @property
    def path(self) -> str:
        """The file's name in the repository."""
        return f"releases/zlh-agent-{self.version}-{self.machine}.tar.gz"


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which a change may start: from ``start`` until just before ``last_start``, aware."""

    name: str
    start: datetime
    last_start: datetime


def span_of(emergency: Emergency) -> Span:
    """The time that an emergency opens."""
    return Span(f"emergency {emergency.id}", emergency.declared_at, emergency.closes_at)


@dataclass(frozen=True, slots=True)
class PinOrder:
    """What an operator asks for a ring of a line. ``asked`` is a version or a specifier."""

    line: str
    ring: str
    asked: str
    come_from: str = ""
    back_to: str = ""
    downgrade: bool = False
    emergency: Span | None = None


@dataclass(frozen=True, slots=True)
class AgentOrder:
    """What a rollout brings to guests of that line, or of all. ``asked`` is a version or a specifier."""

    line: str | None
    asked: str


@dataclass(frozen=True, slots=True)
class Members:
    """A ring as agents can understand it: spans of guest numbers, both ends included, and a share of all others."""

    name: str
    vmids: tuple[tuple[int, int], ...]
    percent: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the policy and the cluster say at this moment, as far as agents need it."""

    rings: tuple[Members, ...]
    windows: tuple[Span, ...]
    jitter_seconds: int
    made: datetime


@dataclass(frozen=True, slots=True)
class PinRow:
    """A pin for tables: what was asked and what it means."""

    number: int
    line: str
    ring: str
    asked: str
    version: str
    downgrade: bool
    emergency: str


@dataclass(frozen=True, slots=True)
class GuestFacts:
    """A guest, as far as it matters which agent it gets. ``installed``: its version, None if it has none.

    ``machine``: None if nobody said it; ``source``: how that is known; ``failure``: what failed under ``failed_pin``.
    """

    vmid: int
    line: str
    installed: str | None
    machine: str | None
    source: str
    failed_pin: int = 0
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the state means for one guest: the ruling's word, the rule as a sentence, and when it may start.

    ``wish``, ``wish_rule``, ``wish_opens``: the same for its packages; until then only what nobody feels is brought.
    ``live``, ``live_wish``: the sentences of what guests see, where the ones before are of a draft; else empty.
    """

    vmid: int
    line: str
    ruling: str
    rule: str
    version: str | None
    opens: datetime | None
    wish: str
    wish_rule: str
    wish_opens: datetime | None
    installed: str | None = None
    source: str = ""
    live: str = ""
    live_wish: str = ""

    def beside(self, live: "Explanation") -> "Explanation":
        """The same, with what guests see where that is something else."""
        drafted, seen = (f"{one.ruling}: {one.rule}" for one in (self, live))
        drafted_wish, seen_wish = (f"{one.wish}: {one.wish_rule}" for one in (self, live))
        return replace(
            self,
            live="" if drafted == seen else seen,
            live_wish="" if drafted_wish == seen_wish else seen_wish,
        )

    @property
    def follows(self) -> bool:
        """Whether the guest brings the version, now or in a window."""
        return self.ruling in ("install", "waits")

    @property
    def follows_wish(self) -> bool:
        """Whether it brings packages, or those that nobody feels."""
        return self.wish in ("bring", "bring-live")


def check_version(text: str) -> str:
    """The version in its normal form; ``SettingsError`` unless it can be compared and be part of a file's name."""
    try:
        version = str(Version(text))
    except InvalidVersion:
        version = ""
    if not _PLAIN.match(version):
        raise SettingsError("release", "version", repr(text), "a version such as 1.5.0 or 1.5.0rc1")
    return version


def check_asked(text: str, key: str) -> str:
    """What ``choose_version`` takes: a version in its normal form, or a specifier; ``SettingsError``."""
    return str(Version(text)) if _is_version(text) else check_specifier(text, key)


def check_specifier(text: str, key: str) -> str:
    """The specifier; ``SettingsError`` says what would be right. A version means its local builds as well, as ``==``
    does.
    """
    try:
        return str(SpecifierSet(f"=={Version(text)}" if text and _is_version(text) else text))
    except InvalidSpecifier as error:
        raise SettingsError("pin", key, repr(text), "a version or a specifier such as ~=1.5 or >=1.3,<2") from error


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def choose_version(releases: Iterable[Release], asked: str, blocked: Iterable[str]) -> str:
    """The newest version that was asked for and is not blocked; ``NotAllowed`` names those there are.

    Versions before a release (1.5.0rc1) are meant only by a specifier that names one, as PEP 440 has it. A version is
    that one alone: a local build (1.5.0+2) is another one, which only a specifier can mean.
    """
    forbidden = [SpecifierSet(block) for block in blocked]
    versions = sorted({Version(release.version) for release in releases})
    meant = [version for version in versions if _is_meant(version, asked)]
    good = [version for version in meant if not any(block.contains(version, prereleases=True) for block in forbidden)]
    if good:
        return str(good[-1])
    if meant:
        raise NotAllowed(f"{asked} means {', '.join(map(str, meant))}, and all of these are blocked")
    known = ", ".join(map(str, versions)) or "none yet"
    raise NotAllowed(f"no release is {asked}; there are: {known}")


def _is_meant(version: Version, asked: str) -> bool:
    if _is_version(asked):
        return version == Version(asked)
    wanted = SpecifierSet(asked)
    return wanted.contains(version, prereleases=bool(wanted.prereleases))  # packaging 26 lets all in unless it is told


def list_ways_back(releases: Iterable[Release], version: str, asked: str) -> tuple[str, ...]:
    """Released versions that both the release and the operator let a guest go back to, newest first."""
    releases = tuple(releases)
    said = [SpecifierSet(release.back_to) for release in releases if release.version == version]
    others = {Version(release.version) for release in releases} - {Version(version)}
    wanted = [*said, SpecifierSet(asked)]
    good = [other for other in others if all(one.contains(other, prereleases=True) for one in wanted)]
    return tuple(map(str, sorted(good, reverse=True)))


def list_builds(releases: Iterable[Release], version: str) -> tuple[Release, ...]:
    """The version's builds."""
    return tuple(release for release in releases if release.version == version)


def join_spans(vmids: Iterable[int], spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Numbers and spans of numbers as few spans, ascending."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted([*((vmid, vmid) for vmid in vmids), *spans]):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return tuple(joined)


def name_builds(builds: Iterable[Release]) -> tuple[str, ...]:
    """How guests name these builds once they have them: ``<version>-<first 8 of the SHA-256>``."""
    return tuple(f"{build.version}-{build.sha256[:8]}" for build in builds)


def find_machine(releases: Iterable[Release], name: str) -> str | None:
    """What a guest runs on by the name of the build that it has; None if that says nothing of it."""
    machines = [build.machine for build in releases if name_builds([build]) == (name,)]
    return next((machine for machine in machines if machine != MACHINES[0]), None)


def version_of(release: str) -> str:
    """The version in a guest's name of a release; empty if it is none."""
    version = release.rpartition("-")[0]
    return version if _is_version(version) else ""


def explain_left_behind(installed: str, order: PinOrder, builds: Sequence[Release]) -> str | None:
    """Why a guest with the version ``installed`` stays with it under a pin of these builds; None if it follows."""
    version = builds[0].version
    if Version(installed) == Version(version):
        return None
    if Version(installed) > Version(version):
        return None if order.downgrade else "only --downgrade leads back"
    if not SpecifierSet(order.come_from).contains(installed, prereleases=True):
        return f"only {order.come_from} may come to it by this pin"
    return _explain_forbidden(installed, version, builds)


def may_come(installed: str, builds: Iterable[Release]) -> bool:
    """Whether the release keys let a guest with that version come to one of these builds; one with none may."""
    return not installed or any(SpecifierSet(one.come_from).contains(installed, prereleases=True) for one in builds)


def _explain_forbidden(installed: str, version: str, builds: Sequence[Release]) -> str | None:
    """What release keys signed against it."""
    if not may_come(installed, builds):
        return f"only {builds[0].come_from} may come to {version}, and it has {installed}"
    if not all(SpecifierSet(build.back_to).contains(installed, prereleases=True) for build in builds):
        return f"nobody may go back from {version} to the {installed} that it has"
    return None


def explain_unfit(installed: str, version: str, releases: Iterable[Release]) -> str | None:
    """Why a guest with the version ``installed`` can have no part in a rollout of ``version``; None if it can."""
    releases = tuple(releases)
    builds = list_builds(releases, version)
    if not installed:
        return "it has no release of the agent that the plugin brought: agent pin gives it one"
    if Version(installed) == Version(version):
        return f"it has {version} already"
    if Version(installed) > Version(version):
        return f"it has {installed}, which is newer: agent pin --downgrade leads back"
    forbidden = _explain_forbidden(installed, version, builds)
    if forbidden:
        return forbidden
    if not list_builds(releases, installed):
        return f"its version {installed} is not among the releases: there would be no way back"
    return None
