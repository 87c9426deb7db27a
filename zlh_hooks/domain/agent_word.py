"""What people say to agents, and what is new in a draft of it: nobody signs blind."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from zlh_hooks.domain.agent_release import Members, PinRow, Release
from zlh_hooks.domain.agent_trust import TrustRole
from zlh_hooks.domain.agent_wish import WishRow

SHORT_DIGEST = 12
"""So much of a SHA-256 is shown: enough to compare by eye with what a build printed."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Word:
    """All of it at one moment. ``blocked``: specifiers and reasons; ``thresholds``: signatures that are needed."""

    releases: tuple[Release, ...]
    pins: tuple[PinRow, ...]
    wishes: tuple[WishRow, ...]
    blocked: tuple[tuple[str, str], ...]
    rings: tuple[Members, ...]
    thresholds: Mapping[TrustRole, int]


class Stand(StrEnum):
    """Where something that was said stands."""

    PUBLISHED = "published"
    DRAFT = "draft"
    GOES = "published, gone in the draft"


def compare(live: Iterable[T], drafted: Iterable[T]) -> list[tuple[T, Stand]]:
    """What guests see, and what they will."""
    seen, coming = [*live], [*drafted]
    stays = [(one, Stand.PUBLISHED if one in seen else Stand.DRAFT) for one in coming]
    return [*stays, *((one, Stand.GOES) for one in seen if one not in coming)]


def list_news(live: Word, drafted: Word) -> Mapping[TrustRole, tuple[str, ...]]:
    """What is new in the drafts, for whoever signs them; empty where a document only has a new end or other keys."""
    desired = (
        *_tell(live.pins, drafted.pins, describe_pin),
        *_tell(live.wishes, drafted.wishes, lambda row: f"wish {row.number}: {row.line}, {row.ring}: {row.packages}"),
        *_tell(live.blocked, drafted.blocked, lambda block: f"block {block[0]}: {block[1]}"),
        *_tell(live.rings, drafted.rings, _describe_ring),
    )
    return {
        TrustRole.ROOT: _tell_thresholds(live, drafted, (TrustRole.ROOT, TrustRole.TARGETS)),
        TrustRole.TARGETS: _tell_thresholds(live, drafted, (TrustRole.RELEASES, TrustRole.DESIRED)),
        TrustRole.RELEASES: (*_tell(live.releases, drafted.releases, describe_release),),
        TrustRole.DESIRED: desired,
    }


def _tell(live: Sequence[T], drafted: Sequence[T], describe: Callable[[T], str]) -> Iterable[str]:
    words = {Stand.DRAFT: "new", Stand.GOES: "gone"}
    return (f"{words[stand]}: {describe(one)}" for one, stand in compare(live, drafted) if stand in words)


def _tell_thresholds(live: Word, drafted: Word, roles: Iterable[TrustRole]) -> tuple[str, ...]:
    pairs = ((role, live.thresholds.get(role), drafted.thresholds.get(role)) for role in roles)
    return tuple(f"{role} needs {new} signatures, until now {old or 'none'}" for role, old, new in pairs if new != old)


def describe_release(one: Release) -> str:
    """A build and what release keys say of it."""
    ways = f"may follow {one.come_from or 'any'}, may be left for {one.back_to or 'any'}"
    return f"{one.version} for {one.machine}, SHA-256 {one.sha256[:SHORT_DIGEST]}, {ways}"


def describe_pin(row: PinRow) -> str:
    """A pin in a line."""
    back = ", leads back" if row.downgrade else ""
    return f"pin {row.number}: {row.line}, {row.ring}: {row.asked} is {row.version}{back}{_also(row.emergency)}"


def _also(emergency: str) -> str:
    return f", also under {emergency}" if emergency else ""


def _describe_ring(ring: Members) -> str:
    spans = (
        ", ".join(f"{first}-{last}" if first != last else str(first) for first, last in ring.vmids) or "nobody listed"
    )
    return f"ring {ring.name}: {spans}, {ring.percent} %"
