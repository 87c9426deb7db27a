"""The table of a patch: which event leads from which step to which. Nothing else decides a step."""

from collections.abc import Mapping
from enum import Enum

from agent_plugin.story import Course, Event, plan_forward


class Step(str, Enum):
    """What is being done now; written down before it is begun."""

    PLAN = "PLAN"
    KEEP = "KEEP"
    LOOK = "LOOK"
    BRING = "BRING"
    RESTART = "RESTART"
    PROVE = "PROVE"
    COMMIT = "COMMIT"
    REVERT = "REVERT"
    DISCARD = "DISCARD"
    REPORT = "REPORT"
    END = "END"


_S = Step
_E = Event
_FORWARD = plan_forward(_S.PLAN, _S.KEEP, _S.LOOK, _S.BRING, _S.RESTART, _S.PROVE, _S.COMMIT, _S.REPORT, _S.END)
UNTOUCHED = (_S.PLAN, _S.KEEP, _S.LOOK)
"""No package has been touched yet: an end here only takes away what was fetched."""
TOUCHED = (_S.BRING, _S.RESTART, _S.PROVE)
"""From here on there is only one way out besides success: back."""
LAST = (_S.COMMIT, _S.REVERT, _S.DISCARD, _S.REPORT)

TABLE: Mapping[tuple[Step, Event], Step] = {
    **_FORWARD,
    (_S.PLAN, _E.NOTHING): _S.DISCARD,
    **{(step, _E.FAILED): _S.DISCARD for step in UNTOUCHED},
    **{(step, _E.FAILED): _S.REVERT for step in TOUCHED},
    (_S.COMMIT, _E.FAILED): _S.REPORT,  # proved is proved
    (_S.REVERT, _E.DONE): _S.DISCARD,
    (_S.REVERT, _E.FAILED): _S.REPORT,  # stuck: what was kept stays for whoever looks
    (_S.DISCARD, _E.DONE): _S.REPORT,
    (_S.DISCARD, _E.FAILED): _S.REPORT,
    (_S.REPORT, _E.FAILED): _S.END,
    **{(step, _E.INTERRUPTED): _S.PLAN for step in UNTOUCHED},
    **{(step, _E.INTERRUPTED): step for step in (*TOUCHED, *LAST)},
}


PATCH = Course(TABLE, UNTOUCHED, TOUCHED, (*UNTOUCHED, *TOUCHED), _S.REVERT)
