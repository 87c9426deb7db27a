"""The table of a swap: which event leads from which step to which. Nothing else decides a step."""

from collections.abc import Mapping
from enum import Enum

from agent_plugin.story import Course, Event, plan_forward


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


_S = Step
_E = Event
_FORWARD = plan_forward(
    *(_S.PLAN, _S.DOWNLOAD, _S.VERIFY, _S.UNPACK, _S.SELFTEST, _S.ARM, _S.FLIP),
    *(_S.RESTART, _S.WATCH, _S.COMMIT, _S.CLEAN, _S.REPORT, _S.END),
)
UNARMED = (_S.PLAN, _S.DOWNLOAD, _S.VERIFY, _S.UNPACK, _S.SELFTEST)
"""Nothing that runs has been touched yet: an end here only takes away what was brought."""
ARMED = (_S.ARM, _S.FLIP, _S.RESTART, _S.WATCH, _S.COMMIT)
"""From here on there is only one way out besides success: back."""
LAST = (_S.FOUND, _S.CLEAN, _S.REVERT, _S.DISCARD, _S.REPORT)

TABLE: Mapping[tuple[Step, Event], Step] = {
    **_FORWARD,
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

SWAP = Course(TABLE, UNARMED, ARMED, (*UNARMED, *ARMED, _S.FOUND), _S.REVERT)
