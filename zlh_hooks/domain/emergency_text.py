"""What an emergency does, said before it is declared. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from zlh_hooks.domain.emergency import Emergency
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.window_rule import Component
from zlh_hooks.domain.wording import render_freeze, render_length, render_list, render_window


def render_effect(one: Emergency, policy: Policy) -> Iterator[str]:
    """Line by line: until when, what is passed over, what stays, who is told, and what is owed."""
    yield f"Emergency for {one.component}, from now until {render_moment(one.until, policy)}; then it ends by itself"
    yield f"Passed over: {render_list([*_list_windows(one.component, policy), *_list_promises(one.component, policy)])}"
    yield from _list_kept(one)
    if one.component is Component.TEMPLATE:
        yield f"Customers are told at once, and everybody on the public page. They read: {one.reason}"
    else:
        yield f"Nothing carries {one.component} out by itself: follow its runbook by hand, and tell customers yourself"
    if policy.emergency is not None:
        review = render_length(policy.emergency.review_within)
        yield f"Owed afterwards: a review within {review} of its end, and a notice to whoever could not be told"


def render_moment(moment: datetime, policy: Policy) -> str:
    """``2026-11-24 05:00 CET (04:00 UTC)``."""
    local = moment.astimezone(ZoneInfo(policy.time_zone))
    return f"{local:%Y-%m-%d %H:%M %Z} ({moment.astimezone(UTC):%H:%M} UTC)"


def _list_windows(component: Component, policy: Policy) -> list[str]:
    covering = [rule for rule in policy.windows if rule.covers(component)]
    windows = [f"{rule.effect} window {rule.name!r} ({render_window(rule, policy.time_zone)})" for rule in covering]
    freezes = [f"freeze {one.name!r} ({render_freeze(one)})" for one in policy.freezes]
    return [*windows, *freezes]


def _list_promises(component: Component, policy: Policy) -> list[str]:
    if policy.notices is None:
        return []
    promise = policy.notices.ladder_for(policy.interruption_of(component)).promise
    return [f"the promise that customers are told {render_length(promise)} before"]


def _list_kept(one: Emergency) -> Iterator[str]:
    kept = "waves, probes, failure budget, holds, locks and the way back"
    if one.without_canary is None:
        yield f"As always: smoke test, canary, {kept}"
        return
    yield f"As always: smoke test, {kept}"
    yield f"WITHOUT CANARY: nobody waits for the proof of a first server, because: {one.without_canary}"
