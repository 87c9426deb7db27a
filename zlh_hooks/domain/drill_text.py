"""What the ledger records while a drill runs, as lines of its timeline, each with the rule that decided it. Pure."""

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from zlh_hooks.domain.drill import Moment
from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.flaw import render_found
from zlh_hooks.domain.notice_book import DeliveryState, NoticeBook
from zlh_hooks.domain.plan import CANARY, Plan
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.steps import RolloutEvent, TargetEvent
from zlh_hooks.domain.window import Decision
from zlh_hooks.domain.window_rule import Component
from zlh_hooks.domain.wording import render_capital, render_leads, render_length, render_list, render_waves

_ROLLOUT: Mapping[str, str] = {
    RolloutEvent.STARTED: "The worker takes up rollout {id}",
    RolloutEvent.PAUSED: "It pauses: {reason}",
    RolloutEvent.RESUMED: "It goes on",
    RolloutEvent.SUCCEEDED: "Every server that was changed is proved, and {version} is stable",
    RolloutEvent.REVERT_ORDERED: "It goes back: {reason}",
    RolloutEvent.REVERTED: "Every server is on {previous} again, proved, and {version} is revoked",
    RolloutEvent.LEFT_STUCK: "A server could not be proved on its old root: a person must look",
    RolloutEvent.ABORTED: "It ends here: {reason}",
}
_TARGET: Mapping[str, str] = {
    TargetEvent.EXCHANGE_BEGAN: "{name} gets its new root by one restart",
    TargetEvent.WITHDRAWN: "{name} keeps its old root for now: {reason}",
    TargetEvent.PROVED: "{name} is proved",
    TargetEvent.REVERT_BEGAN: "{name} goes back: {reason}",
    TargetEvent.REVERT_PROVED: "{name} is on its old root again, proved",
    TargetEvent.REVERT_UNPROVED: "{name} is STUCK: {reason}",
    TargetEvent.SKIPPED: "{name} is left out: {reason}",
}


def tell_entry(entry: Entry, plan: Plan, book: NoticeBook) -> Moment | None:
    """What a person would see of it; None for what is the engine's own. ``book`` has taken the entry in."""
    if entry.kind is Kind.NOTE and entry.name == "stage":
        stage = str(entry.data["text"])
        return Moment(entry.at, render_capital(stage), _cite_stage(stage, plan))
    if entry.kind in (Kind.DONE, Kind.FAILED) and entry.name in book.deliveries:
        return _tell_delivery(entry, book)
    texts = _ROLLOUT if entry.target is None else _TARGET
    if entry.kind is not Kind.EVENT or entry.name not in texts:
        return None
    return Moment(entry.at, _fill_in(texts[entry.name], entry, plan), _cite_event(entry, plan))


def _fill_in(text: str, entry: Entry, plan: Plan) -> str:
    names = {target.vmid: target.name for target in plan.targets}
    return text.format(
        reason=entry.data.get("reason", ""),
        id=plan.id,
        version=plan.release.version,
        previous=plan.previous,
        name=names.get(entry.target or 0, ""),
    )


def _tell_delivery(entry: Entry, book: NoticeBook) -> Moment:
    delivery = book.deliveries[entry.name]
    if delivery.state is DeliveryState.DELIVERED:
        what = f"Notice '{delivery.stage}' reaches {delivery.customer} by {delivery.channel}"
    else:
        what = f"Notice '{delivery.stage}' does not reach {delivery.customer} by {delivery.channel}: {delivery.reason}"
    return Moment(entry.at, what, "[emergency]: customers are told at once")


def _cite_stage(stage: str, plan: Plan) -> str:
    return f"[lines.{plan.release.line}] probes" if stage.startswith("smoke") else ""


def _cite_event(entry: Entry, plan: Plan) -> str:
    if entry.name == TargetEvent.EXCHANGE_BEGAN:
        wave = next(target.wave for target in plan.targets if target.vmid == entry.target)
        return _cite(plan, "canary") if wave == CANARY else f"[rollout] waves, number {wave}"
    if entry.name == RolloutEvent.REVERT_ORDERED:
        return f"a failed canary condemns the version, as more failures than {_cite(plan, 'max_failures')} do"
    keys: Mapping[str, str] = {
        TargetEvent.PROVED: "min_healthy_time",
        TargetEvent.REVERT_BEGAN: "healthy_deadline",
        RolloutEvent.SUCCEEDED: "soak",
    }
    key = keys.get(entry.name)
    return _cite(plan, key) if key else ""


def _cite(plan: Plan, key: str) -> str:
    return f"[rollout] {key} = {render_found(plan.rules.model_dump(mode='json')[key])}"


# --------------------------------------------------------- before it begins


def tell_hole(plan: Plan) -> str:
    """What was found."""
    release, old = plan.release, plan.previous
    servers = render_list([target.name for target in plan.targets])
    return f"A hole in {release.line} {old} is being used; {release.version} closes it. {old} runs on {servers}"


def tell_wait(policy: Policy, decision: Decision) -> str:
    """When a normal start could begin for its windows' sake."""
    if decision.allowed:
        return "A window is open: a normal start need not wait for one"
    if decision.until is None:
        return "A normal start would wait for ever: no window allows it"
    local = decision.until.astimezone(ZoneInfo(policy.time_zone))
    return f"A normal start would wait until {local:%a %Y-%m-%d %H:%M %Z}"


def cite_promise(policy: Policy) -> str:
    """The ladder under which customers would be told of a normal start; empty if nobody is promised anything."""
    if policy.notices is None:
        return ""
    ladder = policy.notices.ladder_for(policy.interruption_of(Component.TEMPLATE))
    return f"[notices] ladders: {render_leads(ladder)}"


def tell_plan(plan: Plan) -> str:
    """Who comes when."""
    waves = [", ".join(target.name for target in wave) for wave in plan.waves]
    return f"The plan, {render_waves(plan.rules)}: {'; '.join(waves)}"


def cite_limit(policy: Policy) -> str:
    """How long an emergency may last."""
    assert policy.emergency is not None
    return f"[emergency] limit: {render_length(policy.emergency.limit)}"


def cite_review(policy: Policy) -> str:
    """By when it is to be reviewed."""
    assert policy.emergency is not None
    return f"[emergency] review_within: {render_length(policy.emergency.review_within)}"
