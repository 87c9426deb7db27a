"""Where guests are well and nothing was brought to them: they are proof for nobody, and others stand in for them."""

from collections.abc import Sequence

from zlh_hooks.domain.guest import render_guests
from zlh_hooks.domain.plan import PlannedTarget
from zlh_hooks.domain.progress import Progress, TargetProgress
from zlh_hooks.domain.steps import TargetState

HAD_ALL, UNTOLD = "had nothing to bring", "does not say whether anything was brought"
"""Why a guest that is well is no proof."""
MOST_NAMED = 3
_OPEN = (TargetState.APPLYING, TargetState.PROVING, TargetState.REVERTING)


def had_nothing(progress: Progress) -> bool:
    """Whether nobody is proof, and nobody who was shown it can become one: those who are well had nothing to bring."""
    return bool(progress.list_unchanged()) and not progress.is_proved and not progress.count(*_OPEN)


def ask_for_stand_in(progress: Progress, audience: str) -> str:
    """What a person is asked before others see it. ``audience``: who they are, for people."""
    said = " and ".join(_describe(progress.list_unchanged()))
    return f"{said}, so that nobody is proved on it: resume shows it to {audience} as the first; abort ends it"


def _describe(rows: Sequence[TargetProgress]) -> list[str]:
    by_reason: dict[str, list[int]] = {}
    for row in rows:
        by_reason.setdefault(row.reason, []).append(row.target.vmid)
    return [f"{name_guests(vmids)} {reason}" for reason, vmids in by_reason.items()]


def name_wave_of(wave: Sequence[PlannedTarget]) -> str:
    """``wave 1 (3 guests)``."""
    return f"wave {wave[0].wave} ({render_guests(len(wave))})"


def name_left_out(vmids: Sequence[int]) -> str:
    """Those who follow in the end only."""
    return f"whoever was left out of the plan ({_join(vmids)})"


def name_guests(vmids: Sequence[int]) -> str:
    """``guest 5001``, ``guests 5001 and 5002``; no more of them than a sentence bears."""
    return f"guest{'' if len(vmids) == 1 else 's'} {_join(vmids)}"


def _join(vmids: Sequence[int]) -> str:
    named = [*map(str, vmids[:MOST_NAMED]), *([f"{len(vmids) - MOST_NAMED} more"] if len(vmids) > MOST_NAMED else [])]
    return " and ".join(filter(None, (", ".join(named[:-1]), named[-1])))


def describe_success(progress: Progress, *, others_follow: bool) -> str:
    """What is said of a rollout that succeeds without a proof; empty where there is one."""
    if progress.is_proved:
        return ""
    if any(row.reason != HAD_ALL for row in progress.list_unchanged()):
        return "nobody was proved on anything that was brought"
    return f"nothing was to be brought to anybody{' of the plan' if others_follow else ''}"
