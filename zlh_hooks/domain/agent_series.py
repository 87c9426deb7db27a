"""A rollout of the agent or of packages as a series of desired states: people sign all of them, the worker shows them.

So it can neither want anything else, nor lack a signature for the way back at night.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from zlh_hooks.domain.agent_release import Release, Span
from zlh_hooks.domain.plan import Plan

END, BACK, CONDEMN = "end", "back", "condemn"
"""The acts after the waves: the version for the whole line; everybody to the version before; that, and blocked.

Of packages no version is blocked: a wish that failed is not tried again, and the next one is another one.
"""


def name_wave(number: int) -> str:
    """The act that lets this wave follow, and those before it."""
    return f"wave-{number}"


@dataclass(frozen=True, slots=True)
class SeriesOrder:
    """``waves``: guests of each wave by its number, of any of the ``lines``.

    ``came_from``: version to the guests that go back to it.
    ``builds``: of every version that is named here. ``ways_back``: versions to which a guest may go back by itself.
    ``life``: for how long after it was signed the way back is open at any hour.
    ``also_open``: times beside the windows.
    """

    rollout: str
    lines: tuple[str, ...]
    version: str
    waves: Mapping[int, Sequence[int]]
    came_from: Mapping[str, Sequence[int]]
    builds: Mapping[str, Sequence[Release]]
    ways_back: tuple[str, ...]
    life: timedelta
    also_open: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class PatchSeriesOrder:
    """``waves`` and ``also_open`` as above. ``packages``: words such as ``openssl=3.0.15-1``; none: security fixes."""

    rollout: str
    lines: tuple[str, ...]
    packages: tuple[str, ...]
    waves: Mapping[int, Sequence[int]]
    also_open: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Series:
    """``states``: act to bytes, in the order in which they may be shown: each may follow every one before it.

    ``before``: the desired state that they were made from.
    """

    before: bytes | None
    states: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class PinSeries:
    """``pin``: the number under which guests know the version, so that none tries it twice."""

    series: Series
    pin: int


@dataclass(frozen=True, slots=True)
class WishSeries:
    """``wishes`` and ``ways_back``: line to the id of a wish; ``words``: what is wished, for people."""

    series: Series
    wishes: Mapping[str, str]
    ways_back: Mapping[str, str]
    words: str


def list_acts(plan: Plan) -> tuple[str, ...]:
    """The acts of the plan's series, in the order in which they may be shown."""
    return (*(name_wave(wave[0].wave) for wave in plan.waves), END, BACK, *((CONDEMN,) if plan.agents else ()))
