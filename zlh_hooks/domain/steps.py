"""The state tables: which event leads from which state to which. Nothing else decides a state.

``(state, event) -> state``; an event that a state does not know is a bug in the caller and raises ``KeyError``.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TypeVar


class TargetState(StrEnum):
    """Where one guest stands in a rollout."""

    PENDING = "PENDING"
    STAGED = "STAGED"
    APPLYING = "APPLYING"
    PROVING = "PROVING"
    HEALTHY = "HEALTHY"
    SETTLED = "SETTLED"
    REVERTING = "REVERTING"
    REVERTED = "REVERTED"
    STUCK = "STUCK"
    SKIPPED = "SKIPPED"


class TargetEvent(StrEnum):
    """What happened to one guest."""

    STAGED = "staged"
    EXCHANGE_BEGAN = "exchange_began"
    WITHDRAWN = "withdrawn"
    EXCHANGED = "exchanged"
    PROVED = "proved"
    SETTLED = "settled"
    REVERT_BEGAN = "revert_began"
    REVERT_PROVED = "revert_proved"
    REVERT_UNPROVED = "revert_unproved"
    SKIPPED = "skipped"
    VANISHED = "vanished"
    REPLACED = "replaced"


class RolloutState(StrEnum):
    """Where a rollout stands. ``SUCCEEDED`` still soaks until every target is settled."""

    PLANNED = "PLANNED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    REVERTING = "REVERTING"
    SUCCEEDED = "SUCCEEDED"
    REVERTED = "REVERTED"
    ABORTED = "ABORTED"
    STUCK = "STUCK"


class RolloutEvent(StrEnum):
    """What happened to a rollout."""

    STARTED = "started"
    PAUSED = "paused"
    RESUMED = "resumed"
    SUCCEEDED = "succeeded"
    REVERT_ORDERED = "revert_ordered"
    REVERTED = "reverted"
    LEFT_STUCK = "left_stuck"
    ABORTED = "aborted"


ENDS = (RolloutEvent.SUCCEEDED, RolloutEvent.REVERTED, RolloutEvent.ABORTED, RolloutEvent.LEFT_STUCK)
"""With these a rollout is in no worker's hands any more; of some a person may still order the way back."""

_T = TargetState
_E = TargetEvent
TARGET_TABLE: Mapping[tuple[TargetState, TargetEvent], TargetState] = {
    (_T.PENDING, _E.STAGED): _T.STAGED,
    (_T.PENDING, _E.SKIPPED): _T.SKIPPED,
    (_T.STAGED, _E.SKIPPED): _T.SKIPPED,
    (_T.STAGED, _E.EXCHANGE_BEGAN): _T.APPLYING,
    (_T.APPLYING, _E.SKIPPED): _T.SKIPPED,  # the write was refused for a lock: nothing has changed
    (_T.APPLYING, _E.WITHDRAWN): _T.STAGED,  # its root may not come now: its turn comes again
    (_T.APPLYING, _E.EXCHANGED): _T.PROVING,
    (_T.PROVING, _E.PROVED): _T.HEALTHY,
    (_T.HEALTHY, _E.SETTLED): _T.SETTLED,
    (_T.APPLYING, _E.REVERT_BEGAN): _T.REVERTING,
    (_T.PROVING, _E.REVERT_BEGAN): _T.REVERTING,
    (_T.HEALTHY, _E.REVERT_BEGAN): _T.REVERTING,
    (_T.STUCK, _E.REVERT_BEGAN): _T.REVERTING,
    (_T.REVERTING, _E.REVERT_PROVED): _T.REVERTED,
    (_T.REVERTING, _E.REVERT_UNPROVED): _T.STUCK,
    (_T.PROVING, _E.REPLACED): _T.SKIPPED,  # somebody brought it another root: there is nothing to prove or take back
    (_T.REVERTING, _E.REPLACED): _T.SKIPPED,
    **{(state, _E.VANISHED): _T.SKIPPED for state in _T if state not in (_T.SETTLED, _T.REVERTED, _T.SKIPPED)},
}

_R = RolloutState
_V = RolloutEvent
ROLLOUT_TABLE: Mapping[tuple[RolloutState, RolloutEvent], RolloutState] = {
    (_R.PLANNED, _V.STARTED): _R.RUNNING,
    (_R.PLANNED, _V.ABORTED): _R.ABORTED,
    (_R.RUNNING, _V.PAUSED): _R.PAUSED,
    (_R.RUNNING, _V.SUCCEEDED): _R.SUCCEEDED,
    (_R.RUNNING, _V.ABORTED): _R.ABORTED,
    (_R.RUNNING, _V.REVERT_ORDERED): _R.REVERTING,
    (_R.PAUSED, _V.RESUMED): _R.RUNNING,
    (_R.PAUSED, _V.ABORTED): _R.ABORTED,
    (_R.PAUSED, _V.REVERT_ORDERED): _R.REVERTING,
    (_R.SUCCEEDED, _V.REVERT_ORDERED): _R.REVERTING,
    (_R.ABORTED, _V.REVERT_ORDERED): _R.REVERTING,
    (_R.STUCK, _V.REVERT_ORDERED): _R.REVERTING,
    (_R.REVERTING, _V.REVERTED): _R.REVERTED,
    (_R.REVERTING, _V.LEFT_STUCK): _R.STUCK,
}

EXECUTING = frozenset({RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.REVERTING})
"""States in which a worker has work to do and no other rollout may start."""

ON_NEW_ROOT = frozenset({TargetState.APPLYING, TargetState.PROVING, TargetState.HEALTHY, TargetState.REVERTING})
"""States in which a guest may run, or come up on, the new root."""

HALF_WAY = frozenset({TargetState.APPLYING, TargetState.PROVING, TargetState.REVERTING})
"""States of a guest that was begun and has still to be brought to its end."""

State = TypeVar("State", bound=StrEnum)
Event = TypeVar("Event", bound=StrEnum)


def follow(table: Mapping[tuple[State, Event], State], start: State, events: Iterable[Event]) -> State:
    """The state after all ``events``, from ``start``."""
    state = start
    for event in events:
        state = table[state, event]
    return state


def render_diagram(table: Mapping[tuple[State, Event], State]) -> str:
    """The table as a Mermaid state diagram."""
    lines = [f"    {state} --> {after}: {event}" for (state, event), after in table.items()]
    return "\n".join(["stateDiagram-v2", *lines])
