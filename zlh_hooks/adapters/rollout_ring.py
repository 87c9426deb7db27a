"""Rings that rollouts make beside the policy's, and which of them stay when others change the desired state. Pure.

The ring in whose waves packages were wished has everybody in the end, and comes after the policy's rings: its wish
keeps its id, so that nobody does it twice, and any wish that an operator says later comes before it.
"""

from collections.abc import Sequence
from dataclasses import replace

from agent_plugin.desired import Desired, Ring
from zlh_hooks.domain.agent_release import join_spans

BACK_TO = "/back-to-"
BACK = "/back"
_OF_ROLLOUT = ":"
"""In the name of a ring that a rollout made; the policy's rings have none."""


def name_ring(rollout: str, what: str = "") -> str:
    """``what``: a part of the rollout; empty: the guests that follow it forward."""
    return f"rollout{_OF_ROLLOUT}{rollout}{what}"


def list_ring(name: str, vmids: Sequence[int]) -> Ring:
    """A ring of these guests."""
    return Ring(name, join_spans(vmids, ()))


def is_for_everybody(ring: Ring) -> bool:
    """Whether the policy means it for all."""
    return ring.percent == 100 and not _is_of_rollout(ring.name)


def _is_of_rollout(ring: str) -> bool:
    return _OF_ROLLOUT in ring


def without_pins_of_rollouts(state: Desired, line: str | None = None) -> Desired:
    """What pins say when no rollout is under way, nor a way back kept up; of one line, or of all."""
    pins = tuple(pin for pin in state.pins if not _is_of_rollout(pin.ring) or line not in (None, pin.line))
    return without_empty_rings(replace(state, pins=pins))


def without_ways_back_of_packages(state: Desired, lines: Sequence[str]) -> Desired:
    """Whoever wishes has the last word: what leads these lines back goes."""
    wishes = tuple(one for one in state.wishes if not (one.line in lines and one.ring.endswith(BACK)))
    return without_empty_rings(replace(state, wishes=wishes))


def with_ends_of_rollouts(state: Desired) -> Desired:
    """What rollouts have left: guests that they led back and that were off all the time still go; packages that they
    brought to everybody stay wished. What they showed to single waves is over.
    """
    for_all = {ring.name for ring in state.rings if ring.percent == 100}
    pins = tuple(pin for pin in state.pins if not _is_of_rollout(pin.ring) or BACK_TO in pin.ring)
    wishes = tuple(one for one in state.wishes if not _is_of_rollout(one.ring) or one.ring in for_all)
    return without_empty_rings(replace(state, pins=pins, wishes=wishes))


def without_empty_rings(state: Desired) -> Desired:
    """A rollout's ring goes with its last pin or wish."""
    named = {pin.ring for pin in state.pins} | {wish.ring for wish in state.wishes}
    return replace(state, rings=tuple(r for r in state.rings if not _is_of_rollout(r.name) or r.name in named))


def with_rings(state: Desired, rings: Sequence[Ring]) -> Desired:
    """The policy's rings in place of those that it had, between what leads back and what everybody has."""
    made = [ring for ring in state.rings if _is_of_rollout(ring.name)]
    ways_back = [ring for ring in made if BACK in ring.name]
    return replace(state, rings=(*ways_back, *rings, *(ring for ring in made if ring not in ways_back)))
