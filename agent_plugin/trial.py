"""Judging a release on trial from looks at it: pure."""

from dataclasses import dataclass

from agent_plugin.health import NOT_ACTIVE, Look

MOST_FAULTS = 3
"""So many faulty looks in a row, once it was up, are a failure; fewer may be a busy machine."""


@dataclass
class Trial:
    """``old``: the invocation from before the restart. Times are seconds of a clock that only goes forward.

    ``may_restart``: systemd may have restarted the agent by itself; it must then bake from its last start on.
    """

    old: str
    began: float
    bake_seconds: float
    deadline_seconds: float
    may_restart: bool = False
    invocation: str = ""
    well_since: "float | None" = None
    faults: int = 0
    last_fault: str = "it did not start"

    def judge(self, look: Look, now: float) -> "str | None":
        """None: not decided yet; empty: proved; else why it failed."""
        self.last_fault = look.fault or self.last_fault
        if now - self.began > self.deadline_seconds:
            return f"not proved within {self.deadline_seconds:g} s: {self.last_fault}"
        if not look.invocation or look.invocation == self.old:
            return None
        if look.restarts and not self.may_restart:
            return f"it ended by itself and was restarted {look.restarts} times"
        if look.invocation != self.invocation:  # its start, or an orderly restart by somebody else: bake anew
            self.invocation, self.well_since, self.faults = look.invocation, None, 0
        return self._judge_fault(look.fault, now)

    def _judge_fault(self, fault: str, now: float) -> "str | None":
        if not fault:
            self.faults, self.well_since = 0, now if self.well_since is None else self.well_since
            return "" if now - self.well_since >= self.bake_seconds else None
        self.well_since = None
        if (
            fault == NOT_ACTIVE
        ):  # not up yet, or stopped by somebody: falls are seen by the nets, the rest by the deadline
            return None
        self.faults += 1
        return fault if self.faults >= MOST_FAULTS else None
