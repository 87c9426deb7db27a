"""How plans and rollouts look: tables for a terminal, lines for a pipe, values for --json."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from rich.console import Group
from rich.text import Text

from zlh_hooks.application.notice_desk import Preview
from zlh_hooks.cli.output import open_table
from zlh_hooks.domain.address import render_address
from zlh_hooks.domain.duration import render_duration
from zlh_hooks.domain.plain_text import render_line
from zlh_hooks.domain.plan import CANARY, Plan
from zlh_hooks.domain.progress import Progress, TargetProgress, predict_target
from zlh_hooks.domain.steps import TargetState
from zlh_hooks.domain.wording import render_length

_STYLES = {
    TargetState.HEALTHY: "green",
    TargetState.SETTLED: "green",
    TargetState.REVERTED: "yellow",
    TargetState.REVERTING: "yellow",
    TargetState.STUCK: "bold red",
    TargetState.SKIPPED: "dim",
}
_FATES = {
    True: "; in the end it follows, and nobody proves it",
    False: "; it keeps what it has",
    None: "",
}
"""What becomes of a guest that is left out."""
_TO_DO = (TargetState.PENDING, TargetState.STAGED, TargetState.APPLYING, TargetState.PROVING)


def render_wave(number: int) -> str:
    """How people call a wave."""
    return "canary" if number == CANARY else f"wave {number}"


def rows_of_plan(plan: Plan, foreseen: Mapping[int, str]) -> Sequence[tuple[str, ...]]:
    """One row per target, then one per guest that is left out. ``foreseen``: why targets would be skipped now."""
    skipped = {vmid: f"would be skipped: {reason}" for vmid, reason in foreseen.items()}
    to, unknown = plan.release.version, "" if plan.patches else "?"
    rows = [
        (render_wave(t.wave), str(t.vmid), t.name, t.node, t.from_version or unknown, to, skipped.get(t.vmid, ""))
        for t in plan.targets
    ]
    return rows + [("left out", str(g.vmid), g.name, "", "", "", g.reason + _FATES[g.follows]) for g in plan.left_out]


PLAN_COLUMNS = ("wave", "guest", "name", "node", "from", "to", "reason")
PREVIEW_COLUMNS = ("customer", "reached by", "servers", "window starts (UTC)", "ends (UTC)", "promise")
NOBODY = "nobody: the operator"
TARGET_COLUMNS = ("wave", "guest", "name", "node", "state", "took", "reason")


def row_of_preview(one: Preview) -> tuple[str, ...]:
    """A customer of a plan, as a table shows them."""
    ways = ", ".join(f"{name} {render_address(address)}" for name, address in one.addresses.items())
    servers = str(len(one.round.guests[one.customer.id]))
    start, end = f"{one.round.start:%Y-%m-%d %H:%M}", f"{one.round.end:%Y-%m-%d %H:%M}"
    promise = render_length(one.round.lead) if one.customer.id else "none"
    return (one.customer.id or NOBODY, ways or "nothing", servers, start, end, promise)


def rows_of_progress(progress: Progress) -> Sequence[tuple[str, ...]]:
    """One row per target."""
    return [_row(row) for row in progress.targets]


def _row(row: TargetProgress) -> tuple[str, ...]:
    took = f"{row.took.total_seconds():.1f}s" if row.took else ""
    target = row.target
    return (render_wave(target.wave), str(target.vmid), target.name, target.node, row.state, took, row.reason)


def render_headline(progress: Progress) -> str:
    """One line: what, how far, what now, how long still; a reason may be a guest's own words."""
    plan = progress.plan
    done = progress.count(TargetState.HEALTHY, TargetState.SETTLED)
    eta = estimate_left(progress)
    left = f", about {render_duration(eta)} to go" if eta and progress.is_executing else ""
    what = progress.reason if progress.state != "RUNNING" else progress.stage
    return render_line(
        f"{plan.id}: {plan.release.line} {plan.release.version} {progress.state}, "
        f"{done} of {len(plan.targets)} healthy{left}{f' — {what}' if what else ''}"
    )


def estimate_left(progress: Progress) -> timedelta:
    """Measured duration times what is to do, shared among those that run at once; windows not counted."""
    one = predict_target(progress.durations(), progress.plan.rules.expected_duration)
    to_do = progress.count(*_TO_DO)
    lanes = max(1, min(progress.plan.rules.max_parallel, to_do))
    return timedelta(seconds=round(one.total_seconds() * -(-to_do // lanes)))


def render_live(progress: Progress) -> Group:
    """The headline over the live table."""
    table = open_table(TARGET_COLUMNS)
    for row in progress.targets:
        table.add_row(*(Text(cell) for cell in _row(row)), style=_STYLES.get(row.state, ""))
    return Group(Text(render_headline(progress)), table)


def describe_progress(progress: Progress) -> dict[str, Any]:
    """The rollout for --json."""
    plan = progress.plan
    return {
        "id": plan.id,
        "line": plan.release.line,
        "version": plan.release.version,
        "state": progress.state,
        "reason": progress.reason,
        "stage": progress.stage,
        "failures": progress.failures,
        "errors": progress.errors,
        "seconds_left": estimate_left(progress).total_seconds() if progress.is_executing else 0,
        "targets": [_describe_target(row) for row in progress.targets],
        "left_out": [guest.model_dump() for guest in plan.left_out],
    }


def _describe_target(row: TargetProgress) -> dict[str, Any]:
    return {
        "vmid": row.target.vmid,
        "name": row.target.name,
        "node": row.target.node,
        "wave": row.target.wave,
        "state": row.state,
        "reason": row.reason,
        "kept": row.kept,
        "took_seconds": row.took.total_seconds() if row.took else None,
    }


def changed_rows(before: Sequence[TargetProgress], after: Sequence[TargetProgress]) -> list[TargetProgress]:
    """Targets whose state is another one than before."""
    known = {row.target.vmid: row.state for row in before}
    return [row for row in after if known.get(row.target.vmid) != row.state]
