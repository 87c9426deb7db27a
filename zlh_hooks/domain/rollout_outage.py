"""What rollouts cost guests, folded from the ledger: from the request that stops a guest to its first healthy answer.

The begin is the start of Proxmox's task, as its id says it (whole seconds), between our intent and its answer. The end
is when the first answer was asked for since which all were healthy, up to the proof. In between a guest counts as down
even where it answered for a moment, or could not be measured: nobody has seen it well.

Others' acts are not ours: where somebody else stopped the guest during a proof, the outage ends when that was noticed.
Where somebody else's restart brought a new root that fails, it begins when we began to ask. A proof in a later rollout,
and a person's word, end what nothing else ended.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.outage import Gap, Outage
from zlh_hooks.domain.span import make_spans
from zlh_hooks.domain.steps import TargetEvent

AFTER, BACK, BASELINE, NOT_RUNNING = "after", "reverted", "baseline", "not_running"
"""Evidence of a target: of its proof, of that on the old root, of the one before, and that it does not come up."""
EXAMINED_SINCE, HEALTHY_SINCE = "examined_since", "healthy_since"
"""What a proof's evidence says of times, in ISO 8601. Older ledgers do not say it: there the proof's end counts."""
UNANSWERED, REFUSED = "unanswered", "refused"
"""Notes of a step: its request was sent and no answer came; its task was refused for a lock, and has done nothing."""
SAID_TO_RUN = "downtime.ended"
"""A person's word that a guest can be used again, and since when."""

_STOPS = re.compile(r"(?:exchange|revert-\d+|recover-(?:back|forward)-(?P<vmid>\d+))\.(?:restart|stop)")
_TASK_STARTED = re.compile(r"UPID:[^:]+:[0-9A-Fa-f]+:[0-9A-Fa-f]+:([0-9A-Fa-f]+):")


@dataclass(slots=True)
class _Stop:
    """One step that stops a guest, as far as the ledger knows it."""

    intent: datetime
    is_unanswered: bool = False
    is_asked: bool = False


_ENDS = (
    TargetEvent.PROVED,
    TargetEvent.REVERT_PROVED,
    TargetEvent.WITHDRAWN,
    TargetEvent.SKIPPED,
    TargetEvent.VANISHED,
    TargetEvent.REPLACED,
)


@dataclass(slots=True)
class GuestLog:
    """One guest's entries of all rollouts, taken in one after another."""

    vmid: int
    outages: list[Outage] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    _down_since: datetime | None = None
    _opened_by: str = ""
    _rollout: str = ""
    _examined_since: datetime | None = None
    _is_reverting: bool = False
    _stops: dict[tuple[str, str], _Stop] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Take in the next one."""
        if _STOPS.fullmatch(entry.name):
            self._follow_stop(entry)
        elif entry.kind is Kind.NOTE:
            self._note(entry)
        elif entry.kind is Kind.EVIDENCE:
            self._look(entry)
        elif entry.kind is Kind.EVENT:
            self._happen(entry)
        elif entry.kind is Kind.COMMAND and entry.name == SAID_TO_RUN:
            self._end(datetime.fromisoformat(entry.data["at"]))

    # ---------------------------------------------------------------- begins

    def _follow_stop(self, entry: Entry) -> None:
        key = (entry.rollout, entry.name)
        if entry.kind is Kind.INTENT:
            self._stops[key] = _Stop(entry.at)
            return
        stop = self._stops.get(key)
        if stop is None:
            return
        if entry.kind is Kind.REQUESTED:
            stop.is_asked = True
            self._begin(_find_start(entry, stop.intent), entry)
        elif entry.kind is Kind.DONE and stop.is_unanswered and not stop.is_asked:
            self._begin(stop.intent, entry)
        if entry.kind in (Kind.DONE, Kind.FAILED):
            del self._stops[key]
        if entry.kind is Kind.DONE and not entry.rollout:
            self._end(entry.at)  # a recovery proves nothing: that the guest runs is all that is known

    def _begin(self, at: datetime, entry: Entry) -> None:
        if self._down_since is None:
            self._down_since, self._rollout, self._opened_by = at, entry.rollout, entry.name

    # ------------------------------------------------------------------ ends

    def _note(self, entry: Entry) -> None:
        step = str(entry.data.get("step", ""))
        stop = self._stops.get((entry.rollout, step))
        if entry.name == UNANSWERED and stop is not None:
            stop.is_unanswered = True
        elif entry.name == REFUSED and stop is not None:
            stop.is_asked = False
            if self._opened_by == step:
                self._down_since = None
        elif entry.name == "deferred" and not self._is_reverting:
            self._end(entry.at)

    def _look(self, entry: Entry) -> None:
        if entry.name in (AFTER, BACK, NOT_RUNNING) and EXAMINED_SINCE in entry.data:
            self._examined_since = datetime.fromisoformat(entry.data[EXAMINED_SINCE])
        if entry.name in (AFTER, BACK) and entry.data.get("running") and HEALTHY_SINCE in entry.data:
            self._end(datetime.fromisoformat(entry.data[HEALTHY_SINCE]))
        if entry.name == BASELINE and entry.data.get("running"):
            self._end(entry.at)

    def _happen(self, entry: Entry) -> None:
        if entry.name == TargetEvent.REVERT_BEGAN:
            if self._examined_since is not None:
                self._begin(self._examined_since, entry)
            self._is_reverting = True
        elif entry.name in _ENDS:
            self._end(entry.at)
            self._is_reverting = False
        elif entry.name == TargetEvent.EXCHANGE_BEGAN:
            self._is_reverting, self._examined_since = False, None

    def _end(self, at: datetime) -> None:
        self.gaps += self.list_open_gaps(at)
        self._stops = {key: stop for key, stop in self._stops.items() if stop.is_asked}
        self._examined_since = None
        if self._down_since is not None:
            self.outages += self._close(at, is_open=False)
        self._down_since = None

    def _close(self, at: datetime, *, is_open: bool) -> Iterator[Outage]:
        assert self._down_since is not None
        cause = f"rollout {self._rollout}" if self._rollout else "recovery without a ledger"
        for span in make_spans(self._down_since, at):
            yield Outage(self.vmid, span, cause, is_open=is_open, rollout=self._rollout)

    # ------------------------------------------------------------------- now

    def list_outages(self, until: datetime) -> tuple[Outage, ...]:
        """Every one so far; one that has not ended is cut at ``until``."""
        open_ones = self._close(until, is_open=True) if self._down_since is not None else ()
        return (*self.outages, *open_ones)

    def list_gaps(self, until: datetime) -> tuple[Gap, ...]:
        """Every one so far; one that has not ended is cut at ``until``."""
        return (*self.gaps, *self.list_open_gaps(until))

    def list_open_gaps(self, until: datetime) -> tuple[Gap, ...]:
        """A stop that was intended and of which nothing more is known: a worker died over it, or waits for a lock."""
        unknown = [stop.intent for stop in self._stops.values() if not stop.is_asked]
        cause = "a restart was about to be asked for, and nobody has recorded whether it was"
        return tuple(Gap(self.vmid, span, cause) for intent in unknown for span in make_spans(intent, until))

    def find_unresolved(self, until: datetime) -> datetime | None:
        """Since when the guest has been down, or may have been, and nothing has ended it; None if all is well."""
        begins = [gap.span.begin for gap in self.list_open_gaps(until)]
        return min([*begins, *filter(None, [self._down_since])], default=None)


def _find_start(entry: Entry, intent: datetime) -> datetime:
    """When Proxmox began the task: never before we meant to ask for it, nor after its answer."""
    match = _TASK_STARTED.match(str(entry.data.get("upid") or ""))
    started = datetime.fromtimestamp(int(match[1], 16), UTC) if match else entry.at
    return min(max(started, intent), entry.at)


def fold_guest_logs(entries: Iterable[Entry]) -> Mapping[int, GuestLog]:
    """Guest to its log, from all entries of a ledger, oldest first. A rollout of the agent stops no guest."""
    logs: dict[int, GuestLog] = {}
    of_agents: set[str] = set()
    for entry in entries:
        if entry.kind is Kind.PLAN and entry.data.get("agents"):
            of_agents.add(entry.rollout)
        vmid = _guest_of(entry)
        if vmid is not None and entry.rollout not in of_agents:
            logs.setdefault(vmid, GuestLog(vmid)).add(entry)
    return logs


def _guest_of(entry: Entry) -> int | None:
    """The guest whose entry it is; a recovery's has it in its name."""
    if entry.target is not None:
        return entry.target
    match = _STOPS.fullmatch(entry.name) if not entry.rollout else None
    return int(match["vmid"]) if match and match["vmid"] else None
