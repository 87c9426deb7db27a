"""Where a rollout stands, folded from its ledger entries: nothing is stored twice."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.plan import CANARY, Plan, PlannedTarget, parse_plan
from zlh_hooks.domain.rollout_outage import AFTER, BASELINE, EXAMINED_SINCE
from zlh_hooks.domain.steps import (
    EXECUTING,
    ON_NEW_ROOT,
    ROLLOUT_TABLE,
    TARGET_TABLE,
    RolloutEvent,
    RolloutState,
    TargetEvent,
    TargetState,
    follow,
)

RESTART = "exchange.restart"
"""The step of a target that brings its new root by a restart of ours."""
GROW = "exchange.grow"
"""The step of a target that enlarges its new root, once in force, to the size that the old one was given meanwhile."""
OWED, CLEARED = "owed", "cleared"
"""Notes of a target: something of ours could not be taken away yet; it has been."""
ILL = "ill"
"""Evidence of a target whose new root is pending: why it is not what it was when that was put; empty if it is again."""
KEPT = "kept"
"""Note of a target: its old root was due to be given up, and stays for now."""
FINALIZE = "finalize"
"""The command of a person who gives the way back up before the soak is over."""
DEFERRED = "deferred"
"""Note of a target: why it has to wait."""
UNCHANGED = "unchanged"
"""In the proof of a target: nothing was brought to it, or nobody knows whether anything was."""
LEFT = "left"
"""In the outcome of a step: why something under a name of ours was left alone."""
UNMARK = ".unmark"
"""The last step of bringing a guest to an end without its rollout."""
_RECOVERED = re.compile(rf"recover-\w+-(\d+){re.escape(UNMARK)}")
_FAILED = frozenset({TargetState.REVERTING, TargetState.REVERTED, TargetState.STUCK})
_WELL = frozenset({TargetState.HEALTHY, TargetState.SETTLED})
_OPEN_STATES = frozenset({TargetState.HEALTHY, TargetState.PROVING, TargetState.APPLYING, TargetState.REVERTING})


@dataclass(frozen=True, slots=True)
class TargetProgress:
    """One target: its state, why (its last event's reason, or what it waits for) and how long its change took.

    ``felt_at``: when its customer could first notice it; a root that is left pending is not felt until a restart.
    ``told_at``: when the reason was given. ``owes``: a lock has kept something of ours from being taken away; it is
    tried again until it goes. ``kept``: it was not well when its old root was due, which it keeps therefore.
    ``spared``: if it goes back that speaks against no version, for the storage had no room for its enlarged root, or it
    was ill already when a restart that was not ours brought its new one.
    ``back_began_at`` and ``back_ended_at``: of its latest way back, proved or not. ``unchanged``: it is well, and
    nothing was brought to it, so that it is proof for nobody else.
    """

    target: PlannedTarget
    state: TargetState
    reason: str
    began_at: datetime | None
    took: timedelta | None
    owes: bool
    felt_at: datetime | None = None
    told_at: datetime | None = None
    kept: bool = False
    spared: bool = False
    back_began_at: datetime | None = None
    back_ended_at: datetime | None = None
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """A rollout as it stands. ``reason`` belongs to the last rollout event; ``stage`` is what the worker does now.

    ``finalized_at``: when a person last gave the way back up before the soak was over. ``reopened_at``: when it first
    began to go back after it had succeeded or was aborted, which is news to whoever was told of that end.
    """

    plan: Plan
    state: RolloutState
    reason: str
    stage: str
    targets: tuple[TargetProgress, ...]
    failures: int
    errors: int
    ended_at: datetime | None
    finalized_at: datetime | None = None
    reopened_at: datetime | None = None

    @property
    def is_executing(self) -> bool:
        """Whether a worker has work to do now."""
        return self.state in EXECUTING

    @property
    def is_soaking(self) -> bool:
        """Whether old roots are still kept, or proofs or clearing away still owed, after the rollout itself ended."""
        ended = self.state in (RolloutState.SUCCEEDED, RolloutState.ABORTED)
        is_open = ended and any(target.state in _OPEN_STATES for target in self.targets)
        return is_open or (self.has_ended and any(target.owes for target in self.targets))

    @property
    def is_proved(self) -> bool:
        """Whether a guest is healthy on what was brought to it."""
        return any(row.state in _WELL and not row.unchanged for row in self.targets)

    def list_unchanged(self) -> list[TargetProgress]:
        """Guests that are well, and to which nothing was brought."""
        return [row for row in self.targets if row.state in _WELL and row.unchanged]

    @property
    def is_settled(self) -> bool:
        """Whether no guest of it is left that could still be ordered back; where they follow, all go back or none."""
        follows = self.plan.signed is not None and self.count(TargetState.SETTLED) > 0
        return follows or not self.count(*ON_NEW_ROOT, TargetState.STUCK)

    @property
    def is_over(self) -> bool:
        """Whether it has ended and no person can order it back any more."""
        return self.has_ended and (self.state not in CAN_GO_BACK or self.is_settled)

    @property
    def has_ended(self) -> bool:
        """Whether no worker has the rollout itself in hand any more."""
        return not self.is_executing and self.state is not RolloutState.PLANNED

    def of(self, vmid: int) -> TargetProgress:
        """The target with that number."""
        return next(row for row in self.targets if row.target.vmid == vmid)

    def count(self, *states: TargetState) -> int:
        """How many targets are in one of the states."""
        return sum(row.state in states for row in self.targets)

    def list_unanswered(self) -> list[TargetProgress]:
        """Guests that were ordered to be settled, and of which neither that nor a reason against it was said yet."""
        ordered = self.finalized_at
        healthy = [row for row in self.targets if row.state is TargetState.HEALTHY]
        return [row for row in healthy if ordered and (row.told_at is None or row.told_at <= ordered)]

    def durations(self) -> tuple[timedelta, ...]:
        """How long each proved change took, from its beginning to its proof."""
        return tuple(row.took for row in self.targets if row.took is not None)


def fold_progress(entries: Sequence[Entry]) -> Progress:
    """The progress of one rollout from all of its entries, oldest first; the first must be its plan."""
    plan = parse_plan(entries[0].data)
    by_target: dict[int | None, list[Entry]] = {}
    for entry in entries:
        by_target.setdefault(entry.target, []).append(entry)
    own = by_target[None]
    events = [entry for entry in own if entry.kind is Kind.EVENT]
    ended = [entry for entry in events if entry.name in (RolloutEvent.SUCCEEDED, RolloutEvent.ABORTED)]
    turned = [entry for entry in events if entry.name == RolloutEvent.REVERT_ORDERED]
    return Progress(
        plan=plan,
        state=follow(ROLLOUT_TABLE, RolloutState.PLANNED, (RolloutEvent(entry.name) for entry in events)),
        reason=str(events[-1].data.get("reason", "")) if events else "",
        stage=next((str(entry.data["text"]) for entry in reversed(own) if entry.name == "stage"), ""),
        targets=tuple(_fold_target(target, by_target.get(target.vmid, [])) for target in plan.targets),
        failures=_count_since_resumed(entries, "failure"),
        errors=_count_since_resumed(entries, "error"),
        ended_at=ended[-1].at if ended else None,
        finalized_at=max((e.at for e in own if e.kind is Kind.COMMAND and e.name == FINALIZE), default=None),
        reopened_at=next((e.at for e in turned if ended and e.sequence > ended[-1].sequence), None),
    )


def _fold_target(target: PlannedTarget, own: Sequence[Entry]) -> TargetProgress:
    """From the target's own entries."""
    events, latest = [entry for entry in own if entry.kind is Kind.EVENT], _since_withdrawn(own)
    told = [entry for entry in own if entry.kind is Kind.EVENT or entry.name in (DEFERRED, KEPT)]
    state = follow(TARGET_TABLE, TargetState.PENDING, (TargetEvent(entry.name) for entry in events))
    return TargetProgress(
        target=target,
        state=state,
        reason="; ".join([*_last_reason(told), *_left(own)]),
        began_at=next((entry.at for entry in latest if _is_begin(entry)), None),
        felt_at=next((entry.at for entry in latest if _is_felt(entry)), None),
        took=_took(latest),
        owes=_owes(own),
        told_at=told[-1].at if told else None,
        kept=state is TargetState.HEALTHY and told[-1].name == KEPT,
        spared=[e.kind for e in own if e.name == GROW][-1:] == [Kind.FAILED] or _was_ill(latest),
        back_began_at=_find_last(events, TargetEvent.REVERT_BEGAN),
        back_ended_at=_find_last(events, TargetEvent.REVERT_PROVED, TargetEvent.REVERT_UNPROVED),
        unchanged=any(entry.name == TargetEvent.PROVED and UNCHANGED in entry.data for entry in events),
    )


def _since_withdrawn(own: Sequence[Entry]) -> Sequence[Entry]:
    """Those after its last withdrawal, if there was one: what came before has changed nothing."""
    last = (number for number in range(len(own), 0, -1) if _is_event(own[number - 1], TargetEvent.WITHDRAWN))
    return own[next(last, 0) :]


def _was_ill(own: Sequence[Entry]) -> bool:
    """Right before its new root came; our restart is preceded by a look that it must pass."""
    looks = [entry for entry in own if entry.kind is Kind.EVIDENCE and entry.name in (ILL, BASELINE)]
    return bool(looks) and looks[-1].name == ILL and bool(looks[-1].data["reason"])


def _is_event(entry: Entry, name: TargetEvent) -> bool:
    return entry.kind is Kind.EVENT and entry.name == name


def _is_begin(entry: Entry) -> bool:
    return _is_event(entry, TargetEvent.EXCHANGE_BEGAN)


def _is_felt(entry: Entry) -> bool:
    is_restart = entry.kind is Kind.INTENT and entry.name == RESTART
    return is_restart or _is_event(entry, TargetEvent.EXCHANGED)


def _find_last(events: Sequence[Entry], *names: TargetEvent) -> datetime | None:
    return next((entry.at for entry in reversed(events) if entry.name in names), None)


def _last_reason(told: Sequence[Entry]) -> list[str]:
    return [str(entry.data["reason"]) for entry in told[-1:] if entry.data.get("reason")]


def _left(own: Sequence[Entry]) -> list[str]:
    return [str(entry.data[LEFT]) for entry in own if entry.kind is Kind.DONE and entry.data.get(LEFT)]


def _owes(own: Sequence[Entry]) -> bool:
    notes = [entry.name for entry in own if entry.kind is Kind.NOTE and entry.name in (OWED, CLEARED)]
    return notes[-1:] == [OWED]


def _took(own: Sequence[Entry]) -> timedelta | None:
    """Our restart and the proof after it. Where a stop or restart of others brought the root, nobody can say.

    What was waited for before either (a lock, a storage, whoever had switched it off) is not the guest's need.
    """
    asked = _find_first(reversed(own), Kind.REQUESTED, RESTART)
    up = _find_first(own, Kind.DONE, RESTART)
    proof = _find_first(reversed(own), Kind.EVIDENCE, AFTER)
    proved = _find_first(own, Kind.EVENT, TargetEvent.PROVED)
    if asked is None or up is None or proof is None or proved is None or EXAMINED_SINCE not in proof.data:
        return None
    return up.at - asked.at + (proved.at - datetime.fromisoformat(proof.data[EXAMINED_SINCE]))


def _find_first(entries: Iterable[Entry], kind: Kind, name: str) -> Entry | None:
    return next((entry for entry in entries if (entry.kind, entry.name) == (kind, name)), None)


def _count_since_resumed(entries: Sequence[Entry], count: str) -> int:
    """Failures and errors are told by notes of that name; a person who resumes has seen them."""
    resumed = max((e.sequence for e in entries if e.kind is Kind.EVENT and e.name == RolloutEvent.RESUMED), default=0)
    return sum(e.kind is Kind.NOTE and e.name == count and e.sequence > resumed for e in entries)


def find_condemning(progress: Progress) -> TargetProgress | None:
    """The failed guest for which all go back; None while failures are within the budget.

    A failed canary condemns what is brought, and whoever is first on it is its canary; so do more failures in the
    waves than the rules allow.
    """
    failed = [row for row in progress.targets if row.state in _FAILED and not row.spared]
    canaries = [row for row in failed if row.target.wave == CANARY or not progress.is_proved]
    is_over = progress.failures > progress.plan.rules.max_failures
    return next(iter(canaries or (failed if is_over else [])), None)


CAN_GO_BACK = (RolloutState.SUCCEEDED, RolloutState.ABORTED, RolloutState.STUCK)
"""Ends from which a person may order a rollout back."""


def has_new_order(entries: Sequence[Entry], verb: str) -> bool:
    """Whether a person ordered ``revert`` or ``resume`` and no worker has taken that up yet."""
    answer = {"revert": RolloutEvent.REVERT_ORDERED, "resume": RolloutEvent.RESUMED}[verb]
    ordered = [e.sequence for e in entries if e.kind is Kind.COMMAND and e.name == verb]
    taken = [e.sequence for e in entries if e.kind is Kind.EVENT and e.name == answer]
    return max(ordered, default=0) > max(taken, default=0)


def group_by_rollout(entries: Sequence[Entry]) -> Mapping[str, list[Entry]]:
    """Entries by rollout id, in order of the rollouts' plans; entries of no rollout are left out."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.rollout:
            groups.setdefault(entry.rollout, []).append(entry)
    return groups


def predict_need(progress: Progress) -> timedelta:
    """What a window must have left for the next target: its change, and its way back."""
    return predict_target(progress.durations(), progress.plan.rules.expected_duration) * 2


def predict_target(durations: Sequence[timedelta], expected: timedelta) -> timedelta:
    """How long the next target may take: the 95th percentile (nearest rank) of those measured, else ``expected``."""
    if not durations:
        return expected
    ordered = sorted(durations)
    return ordered[max(0, -(-len(ordered) * 95 // 100) - 1)]


def name_recovery(way: str, vmid: int) -> str:
    """How the steps begin by which a guest is brought to an end without its rollout."""
    return f"recover-{way}-{vmid}"


def find_recovered(entries: Iterable[Entry]) -> dict[int, int]:
    """Guest to the sequence of the entry by which it was last brought to an end without its rollout."""
    done = ((_RECOVERED.fullmatch(entry.name), entry) for entry in entries if entry.kind is Kind.DONE)
    return {int(match[1]): entry.sequence for match, entry in done if match}


def list_stuck(entries: Sequence[Entry]) -> tuple[int, ...]:
    """Guests whose latest rollout left them ``STUCK``, and which nobody has recovered since."""
    latest: dict[int, tuple[TargetState, int]] = {}
    for own in group_by_rollout(entries).values():
        touched = {entry.target: entry.sequence for entry in own}
        for row in fold_progress(own).targets:
            latest[row.target.vmid] = row.state, touched.get(row.target.vmid, 0)
    recovered = find_recovered(entries)
    return tuple(
        vmid for vmid, (state, last) in latest.items() if state is TargetState.STUCK and recovered.get(vmid, 0) < last
    )
