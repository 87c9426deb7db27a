"""Template lines: which versions there are, which one a new guest gets, which may go.

A line (``game-base``) is a family of container templates, a version of it one template per node, a channel a named
pointer to a version. All of it is read from the tags of guests that are templates: clones inherit their template's
tags, so a line or channel on any other guest says only where that guest came from.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from packaging.version import InvalidVersion, Version

from zlh_hooks.domain.errors import TargetError
from zlh_hooks.domain.guest import GuestConfig, GuestRef, GuestSummary
from zlh_hooks.domain.tag import CHANNEL, LINE, REVOKED, VERSION, values_of

STABLE = "stable"
CANARY = "canary"
_BASE = re.compile(r"[:/]base(?:vol)?-(\d+)-[^/]+/")


@dataclass(frozen=True, slots=True)
class TemplateVersion:
    """One version of a line. ``refs``: its templates, one per node, by VMID.

    ``channels`` holds every channel that any of its templates carries, and one revoked template revokes the version:
    so a promotion or revocation that is half written already counts.
    """

    line: str
    version: str
    refs: tuple[GuestRef, ...]
    channels: frozenset[str] = frozenset()
    revoked: bool = False

    @property
    def order(self) -> Version:
        """What versions are sorted by (PEP 440, as ``packaging`` reads it)."""
        return parse_version(self.version)

    @property
    def is_stable(self) -> bool:
        """Whether new guests get it unless they are sent to the candidate."""
        return STABLE in self.channels and not self.revoked

    @property
    def is_candidate(self) -> bool:
        """Whether a rollout is proving it: ``canary``, and not ``stable`` already."""
        return CANARY in self.channels and STABLE not in self.channels and not self.revoked


@dataclass(frozen=True, slots=True)
class Problem:
    """Tags that contradict each other or say too little. ``lines`` names the lines it touches."""

    lines: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All lines of a cluster: ``versions`` by line and then oldest first; ``problems`` for people to put right."""

    versions: tuple[TemplateVersion, ...]
    problems: tuple[Problem, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """The names of the lines, sorted."""
        return tuple(sorted({version.line for version in self.versions}))

    def versions_of(self, line: str) -> tuple[TemplateVersion, ...]:
        """The line's versions, oldest first; ``TargetError`` names the lines there are."""
        found = tuple(version for version in self.versions if version.line == line)
        if not found:
            raise TargetError(f"no template of line {line}; lines with templates: {_listed(self.lines)}")
        return found

    def problems_of(self, line: str) -> tuple[Problem, ...]:
        """The problems that touch the line."""
        return tuple(problem for problem in self.problems if line in problem.lines)

    def version_of(self, line: str, version: str) -> TemplateVersion:
        """One version; ``TargetError`` names the versions there are."""
        wanted, found = parse_version(version), self.versions_of(line)
        for candidate in found:
            if candidate.order == wanted:
                return candidate
        raise TargetError(f"{line} has no version {version}; it has {_listed(v.version for v in found)}")


@dataclass(frozen=True, slots=True)
class Choice:
    """The template to clone a new guest from, and why: ``channel`` is ``stable`` or ``canary``."""

    template: GuestRef
    version: str
    channel: str


@dataclass(frozen=True, slots=True)
class Promotion:
    """``stable`` of ``line`` now means ``version`` (None: no version at all); ``templates`` maps node to VMID."""

    line: str
    version: str | None
    templates: Mapping[str, int]
    at: datetime


def parse_version(text: str) -> Version:
    """A version as it is ordered; ``TargetError`` if it cannot be."""
    try:
        return Version(text)
    except InvalidVersion as error:
        raise TargetError(f"version {text!r} cannot be ordered; expected one like 2026.11.1 or 1.4.0rc2") from error


def parse_catalogue(guests: Iterable[GuestSummary]) -> Catalogue:
    """The lines in one cluster listing. Templates whose tags contradict are left out and reported, never guessed."""
    templates = [guest for guest in guests if guest.template and guest.is_container]
    sound, problems = [], []
    for guest in templates:
        problem = _problem_of(guest)
        if problem:
            problems.append(problem)
        elif values_of(LINE, guest.tags):
            sound.append(guest)
    versions = []
    for group in _grouped(sound):
        kept, found = _one_per_node(group)
        versions += [_version_of(kept)] if kept else []
        problems += found
    versions.sort(key=lambda version: (version.line, version.order))
    return Catalogue(tuple(versions), (*problems, *_channel_problems(versions)))


def list_claimants(guests: Iterable[GuestSummary], line: str, version: str | None = None) -> tuple[GuestRef, ...]:
    """Every container template that says it is of the line (and version), also one whose tags contradict."""
    return tuple(
        guest.ref
        for guest in sorted(guests, key=lambda guest: guest.ref)
        if guest.template
        and guest.is_container
        and line in values_of(LINE, guest.tags)
        and (version is None or version in values_of(VERSION, guest.tags))
    )


def choose_template(
    versions: Sequence[TemplateVersion], key: str, node: str | None = None, candidate_percent: int = 0
) -> Choice:
    """The template for a new guest, from the versions of one line.

    ``key`` is anything that stays the same for one guest, e.g. its future VMID: the same key gets the same answer, and
    a greater ``candidate_percent`` (0-100) keeps every key that a smaller one sent to the candidate. ``node`` limits
    the choice to that node; else the lowest VMID wins. ``TargetError`` says what is missing.
    """
    if not 0 <= candidate_percent <= 100:
        raise ValueError(f"candidate_percent is {candidate_percent}; expected 0 to 100")
    candidates = [version for version in versions if version.is_candidate]
    if len(candidates) == 1 and _falls_within(candidates[0], key, candidate_percent):
        template = _template_on(candidates[0], node)
        if template:
            return Choice(template, candidates[0].version, CANARY)
    for version in sorted(versions, key=lambda version: version.order, reverse=True):
        template = _template_on(version, node)
        if version.is_stable and template:
            return Choice(template, version.version, STABLE)
    raise TargetError(_why_none(versions, node))


def list_born(
    guests: Iterable[GuestSummary], line_of: Callable[[GuestSummary], str | None], version: TemplateVersion
) -> tuple[GuestSummary, ...]:
    """The guests that run the version since their birth or their last exchange, by VMID. ``line_of`` tells a line."""
    return tuple(
        guest
        for guest in sorted(guests, key=lambda guest: guest.ref)
        if not guest.template and version.version in values_of(VERSION, guest.tags) and line_of(guest) == version.line
    )


def parse_line(guest: GuestSummary) -> str | None:
    """The line a guest inherited from its template; None if it says none or several."""
    lines = set(values_of(LINE, guest.tags))
    return lines.pop() if len(lines) == 1 else None


def plan_retention(
    versions: Sequence[TemplateVersion],
    guests: Iterable[GuestSummary],
    keep: int,
    configs: Iterable[GuestConfig] = (),
) -> tuple[TemplateVersion, ...]:
    """The versions of one line that may be destroyed, oldest first.

    Kept are the newest ``keep``, the newest ``keep`` that are not revoked, every version with a channel, and every
    version in use: a guest that is no template carries it, or one of ``configs`` (of guests and templates) holds a
    linked clone of it, also as an unused volume.
    """
    newest = sorted(versions, key=lambda version: version.order, reverse=True)
    kept = {*newest[:keep], *[version for version in newest if not version.revoked][:keep]}
    carried = [guest for guest in guests if not guest.template]
    bases = defaultdict(set)
    for config in configs:
        for base in list_bases(config):
            bases[base].add(config.ref.vmid)
    return tuple(
        version
        for version in reversed(newest)
        if version not in kept
        and not version.channels
        and not any(_carries(guest, version) for guest in carried)
        and not any(bases[ref.vmid] - {ref.vmid} for ref in version.refs)
    )


def list_bases(config: GuestConfig) -> frozenset[int]:
    """The VMIDs of the templates on whose volumes the guest's volumes depend.

    Directory, ZFS and RBD storages name the base in the volume id (``base-9000-disk-0/vm-5001-disk-0``); LVM-thin and
    btrfs need no base once the clone is made (``parse_volname`` and ``clone_image`` in pve-storage's plugins).
    """
    return frozenset(int(number) for mount in config.mounts for number in _BASE.findall(mount.volume))


def _problem_of(guest: GuestSummary) -> Problem | None:
    """What is wrong with one template's own tags."""
    lines, versions = values_of(LINE, guest.tags), values_of(VERSION, guest.tags)
    if not lines and not versions:
        return None
    if len(lines) != 1:
        said = (
            f"is of {len(lines)} lines ({_listed(lines)})" if lines else f"has version {_listed(versions)} but no line"
        )
        return Problem(lines, f"template {guest.ref} {said}; expected exactly one tag {LINE}NAME")
    if len(versions) != 1:
        text = f"template {guest.ref} has {len(versions)} versions ({_listed(versions)}); expected one tag {VERSION}X"
        return Problem(lines, text)
    try:
        parse_version(versions[0])
    except TargetError as error:
        return Problem(lines, f"template {guest.ref}: {error}")
    return None


def _grouped(sound: Iterable[GuestSummary]) -> Iterable[list[GuestSummary]]:
    """Templates of one line and equal version together, by VMID."""
    groups: defaultdict[tuple[str, Version], list[GuestSummary]] = defaultdict(list)
    for guest in sorted(sound, key=lambda guest: guest.ref):
        groups[_said(LINE, guest), parse_version(_said(VERSION, guest))].append(guest)
    return groups.values()


def _one_per_node(group: Sequence[GuestSummary]) -> tuple[list[GuestSummary], list[Problem]]:
    """The templates of a version that stand alone on their node; the others are a problem."""
    line = _said(LINE, group[0])
    spellings = sorted({_said(VERSION, guest) for guest in group})
    if len(spellings) > 1:
        where = _listed(guest.ref for guest in group)
        text = f"{line}: {_listed(spellings)} are one version spelt differently (templates {where}); spell it one way"
        return [], [Problem((line,), text)]
    by_node: defaultdict[str, list[GuestSummary]] = defaultdict(list)
    for guest in group:
        by_node[guest.ref.node].append(guest)
    problems = [
        Problem(
            (line,),
            f"{line} {spellings[0]} is claimed by templates {_listed(guest.vmid for guest in claimants)} on {node}; "
            "expected one: give the others their own version, or no line",
        )
        for node, claimants in by_node.items()
        if len(claimants) > 1
    ]
    return [claimants[0] for claimants in by_node.values() if len(claimants) == 1], problems


def _version_of(group: Sequence[GuestSummary]) -> TemplateVersion:
    return TemplateVersion(
        line=_said(LINE, group[0]),
        version=_said(VERSION, group[0]),
        refs=tuple(sorted(guest.ref for guest in group)),
        channels=frozenset(chain.from_iterable(values_of(CHANNEL, guest.tags) for guest in group)),
        revoked=any(REVOKED in guest.tags for guest in group),
    )


def _channel_problems(versions: Iterable[TemplateVersion]) -> Iterable[Problem]:
    """Channels that point to several versions: legal for the moment in which a promotion is written."""
    pointed: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for version in versions:
        for channel in version.channels:
            if not version.revoked:
                pointed[version.line, channel].append(version.version)
    for (line, channel), names in sorted(pointed.items()):
        if len(names) > 1:
            yield Problem((line,), f"{line}: {channel} points to {_listed(names)}; promote or mark one of them again")


def _said(prefix: str, guest: GuestSummary) -> str:
    return values_of(prefix, guest.tags)[0]


def _falls_within(candidate: TemplateVersion, key: str, percent: int) -> bool:
    """Whether the key is among the candidate's share. Integers only: 100 % must mean every key."""
    seed = "\0".join((candidate.line, candidate.version, key))
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")
    return number * 100 < percent << 64


def _template_on(version: TemplateVersion, node: str | None) -> GuestRef | None:
    return next((ref for ref in sorted(version.refs) if node in (None, ref.node)), None)


def _why_none(versions: Sequence[TemplateVersion], node: str | None) -> str:
    if not versions:
        return "no template carries a version of this line"
    line, stable = versions[0].line, [version for version in versions if version.is_stable]
    if stable:
        where = _listed(f"{version.version} on {ref.node}" for version in stable for ref in version.refs)
        return f"{line} has no stable template on node {node}; it has {where}"
    sound = [version.version for version in versions if not version.revoked]
    if not sound:
        return f"every version of {line} is revoked ({_listed(version.version for version in versions)})"
    return f"no version of {line} is stable; promote one of {_listed(sound)}"


def _carries(guest: GuestSummary, version: TemplateVersion) -> bool:
    """Whether the guest may be of the version; one that names no line could be of any."""
    return version.version in values_of(VERSION, guest.tags) and (
        version.line in values_of(LINE, guest.tags) or not values_of(LINE, guest.tags)
    )


def _listed(items: Iterable[object]) -> str:
    return ", ".join(str(item) for item in items) or "none"
