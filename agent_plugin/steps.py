"""The table of a swap: which event leads from which step to which. Nothing else decides a step."""

from collections.abc import Mapping
from enum import Enum
from itertools import pairwise
from typing import Any


class Step(str, Enum):
    """What is being done now; written down before it is begun."""

    PLAN = "PLAN"
    DOWNLOAD = "DOWNLOAD"
    VERIFY = "VERIFY"
    UNPACK = "UNPACK"
    SELFTEST = "SELFTEST"
    FOUND = "FOUND"
    ARM = "ARM"
    FLIP = "FLIP"
    RESTART = "RESTART"
    WATCH = "WATCH"
    COMMIT = "COMMIT"
    CLEAN = "CLEAN"
    REVERT = "REVERT"
    DISCARD = "DISCARD"
    REPORT = "REPORT"
    END = "END"


class Event(str, Enum):
    """How a step ended. ``DONE_FIRST``: done, and there is no release yet; ``INTERRUPTED``: the plugin died in it."""

    DONE = "done"
    DONE_FIRST = "done_first"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


_S = Step
_E = Event
_FORWARD = (
    *(_S.PLAN, _S.DOWNLOAD, _S.VERIFY, _S.UNPACK, _S.SELFTEST, _S.ARM, _S.FLIP),
    *(_S.RESTART, _S.WATCH, _S.COMMIT, _S.CLEAN, _S.REPORT, _S.END),
)
UNARMED = (_S.PLAN, _S.DOWNLOAD, _S.VERIFY, _S.UNPACK, _S.SELFTEST)
"""Nothing that runs has been touched yet: an end here only takes away what was brought."""
ARMED = (_S.ARM, _S.FLIP, _S.RESTART, _S.WATCH, _S.COMMIT)
"""From here on there is only one way out besides success: back."""
LAST = (_S.FOUND, _S.CLEAN, _S.REVERT, _S.DISCARD, _S.REPORT)

TABLE: Mapping[tuple[Step, Event], Step] = {
    **{(before, _E.DONE): after for before, after in pairwise(_FORWARD)},
    (_S.SELFTEST, _E.DONE_FIRST): _S.FOUND,
    (_S.FOUND, _E.DONE): _S.CLEAN,
    (_S.FOUND, _E.FAILED): _S.DISCARD,
    **{(step, _E.FAILED): _S.DISCARD for step in UNARMED},
    **{(step, _E.FAILED): _S.REVERT for step in ARMED},
    (_S.REVERT, _E.DONE): _S.DISCARD,
    (_S.REVERT, _E.FAILED): _S.REPORT,  # stuck: what was brought stays for whoever looks
    (_S.DISCARD, _E.DONE): _S.REPORT,
    (_S.DISCARD, _E.FAILED): _S.REPORT,
    (_S.CLEAN, _E.FAILED): _S.REPORT,  # proved is proved
    (_S.REPORT, _E.FAILED): _S.END,  # a report that fails never changes the outcome
    **{(step, _E.INTERRUPTED): _S.PLAN for step in UNARMED},
    **{(step, _E.INTERRUPTED): step for step in (*ARMED, *LAST)},
}

LONGEST = 28
"""So many steps at most, as in Mender: a swap that is interrupted again and again goes back instead."""
EXTRA = 12
"""So many more are left for going back and reporting."""


def advance(step: Step, event: Event) -> Step:
    """The step that follows."""
    return TABLE[step, event]


def may_go_on(step: Step, transitions: int) -> bool:
    """Whether a swap that has come so far may still do this step."""
    return transitions <= (LONGEST if step in (*UNARMED, *ARMED) else LONGEST + EXTRA)


def render_diagram(table: "Mapping[Any, Any]" = TABLE) -> str:
    """A table as a Mermaid state diagram, without interruptions that begin the same step again."""
    lines = [
        f"    {step.value} --> {after.value}: {event.value}"
        for (step, event), after in table.items()
        if after is not step
    ]
    return "\n".join(["stateDiagram-v2", *lines])
