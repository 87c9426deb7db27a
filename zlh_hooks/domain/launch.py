"""The launch gate: one point for each decision and validation, green only by evidence. Facts in, points out; pure."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from zlh_hooks.domain.attestation import (
    BACKUP,
    CONFIRMED,
    DRILLED,
    MONITORING,
    REHEARSAL_LASTS,
    REHEARSED,
    TEST_LASTS,
    Attestation,
    digest_policy,
    drop_confirmed,
    find_on_call,
    is_confirmed,
    list_watched,
    read_attestations,
    render_value,
)
from zlh_hooks.domain.component_rule import ComponentRule
from zlh_hooks.domain.dead_man_point import DeadManReach, judge_dead_man
from zlh_hooks.domain.deferral_debt import Overdue
from zlh_hooks.domain.drill import find_gap, read_drills
from zlh_hooks.domain.duty import holders_of
from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.handbook import Page
from zlh_hooks.domain.hook_point import HookReach, judge_hooks
from zlh_hooks.domain.impact import Impact
from zlh_hooks.domain.notice_book import NOTICE
from zlh_hooks.domain.point import Point
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.window import list_hints
from zlh_hooks.domain.window_rule import Component
from zlh_hooks.domain.wording import render_limits, render_list

RENDERED = "rendered"
SYMPTOMS = ("provisioning", "networking", "workloads")
"""What must be decided about going back, as tables of ``[symptoms]``."""
LATER = "brought by a later part of the product"
CONFLICT = "no conflict with provisioning, backup, restore and billing"
OPERATOR_WORD = "operator"
"""In place of an address: wherever the operator is reached."""
RENDER = "zlh-hooks policy render --html --output "


@dataclass(frozen=True, slots=True)
class Reach:
    """How customers are reached. ``customers``: None without a directory; ``operator``: channel to address.

    ``directory_trouble``, ``channels_trouble``, ``links_trouble``: why it cannot be known; empty if it is.
    """

    customers: int | None = None
    directory_trouble: str = ""
    channels: tuple[str, ...] = ()
    channels_trouble: str = ""
    operator: Mapping[str, str] = field(default_factory=dict)
    has_feed: bool = False
    has_links: bool = False
    links_trouble: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found. ``rights``: missing rights, None if ``rights_trouble`` kept us from asking.

    ``lost``: paths of rendered pages at which nothing is any more. ``debts``: what emergencies still owe, in words.
    ``overdue``: guests that were deferred and whose cap has passed.
    """

    now: datetime
    entries: Sequence[Entry]
    reach: Reach
    rights: tuple[str, ...] | None
    rights_trouble: str
    synchronised: bool | None
    lost: frozenset[str] = frozenset()
    debts: tuple[str, ...] = ()
    overdue: tuple[Overdue, ...] = ()
    dead_man: DeadManReach | None = None
    hooks: HookReach = field(default_factory=HookReach)


def judge_launch(policy: Policy, facts: Facts) -> tuple[Point, ...]:
    """Every point, decisions first."""
    attested = read_attestations(facts.entries)
    return (
        _judge_windows(policy, facts.now),
        *_judge_confirmed(policy, attested),
        *_judge_emergency(policy, facts.debts),
        _judge_notices(policy),
        *_judge_deferral(policy, facts),
        *_judge_reach(facts),
        *(_judge_component(policy, name) for name in Component),
        *_judge_rehearsals(policy, attested, facts.now),
        *(_judge_rollback(policy, name) for name in SYMPTOMS),
        *_judge_pages(policy, attested, facts),
        _judge_rights(facts),
        _judge_clock(facts.synchronised),
        *judge_hooks(facts.hooks, facts.entries),
        *judge_dead_man(facts.dead_man, facts.entries, policy.rollout.lease, facts.now),
        *_judge_acts(policy, attested),
        *_judge_drills(policy, facts),
        *_list_later(),
    )


def render_attest(key: str) -> str:
    """The command by which a person says that it is so."""
    return f"zlh-hooks ready attest {shlex.quote(key)}"


def render_drill(person: str) -> str:
    """The command by which somebody on call goes through the emergency."""
    return f"zlh-hooks emergency drill --who {shlex.quote(person)}"


# ---------------------------------------------------------------- decisions


def _judge_windows(policy: Policy, now: datetime) -> Point:
    hints = list_hints(policy, now)
    if hints:
        return Point("windows", False, "; ".join(hints), "give each component an allow window in [[windows]]")
    allowing = [rule.name for rule in policy.windows if rule.effect == "allow"]
    return Point("windows", True, f"every component has one: {render_list(allowing)}")


def _judge_confirmed(policy: Policy, attested: Mapping[str, Attestation]) -> Iterator[Point]:
    """What was guessed, and whatever somebody confirmed before: it is looked at again when it changes."""
    for place in list_watched(policy, attested):
        name, value = CONFIRMED + place, render_value(policy, place)
        if is_confirmed(policy, place, attested):
            yield Point(name, True, f"{value}, by {_sign(attested[name])}")
        elif name in attested:
            found = f"{value}: changed since {_sign(attested[name])} confirmed it"
            yield Point(name, False, found, f"look at {place} in the policy; if it is right:", (render_attest(name),))
        else:
            act = f"look at {place} in the policy, put right what is not; then:"
            yield Point(name, False, f"{value}, confirmed by nobody", act, (render_attest(name),))


def _judge_emergency(policy: Policy, debts: Sequence[str]) -> Iterator[Point]:
    if policy.emergency is not None:
        yield Point("emergency", True, "decided in [emergency]")
    else:
        yield Point("emergency", False, "not decided", "write the table [emergency] into the policy")
    for debt in debts:
        yield Point("emergency.debt", False, debt, "pay it: tell customers afterwards, and review it")


def _judge_notices(policy: Policy) -> Point:
    if policy.notices is None:
        return Point("notices", False, "not decided: nobody is told", "write [[notices.ladders]] into the policy")
    return Point("notices", True, f"decided for {len(policy.notices.ladders)} sizes of interruption")


def _judge_deferral(policy: Policy, facts: Facts) -> Iterator[Point]:
    rules, way = policy.deferral, "asked for by link or mail" if facts.reach.has_links else "asked for by mail"
    if rules is None:
        act = 'write [deferral] into the policy; limit = "0s" if no date is ever moved'
        yield Point("deferral", False, "not decided, so no date can be moved", act)
    elif facts.reach.links_trouble:
        yield Point("deferral", False, facts.reach.links_trouble, "mend what it names")
    else:
        may_wait = f"a server may wait {render_limits(rules)}, {way}"
        yield Point("deferral", True, may_wait if rules.limit else "no date can be moved")
    yield from (_judge_overdue(one) for one in facts.overdue)


def _judge_overdue(one: Overdue) -> Point:
    found = f"{one.name} was deferred in {one.rollout}, until {one.latest:%Y-%m-%d} at the latest, and is unchanged"
    bring = f"zlh-hooks rollout start {shlex.quote(one.line)} --to {shlex.quote(one.version)}"
    act = "let the rollout that runs come to it; if it is in none, bring the version, or a newer one, now:"
    return Point(f"overdue.{one.vmid}", False, found, act, (bring,))


# -------------------------------------------------------------------- reach


def _judge_reach(facts: Facts) -> Iterator[Point]:
    reach = facts.reach
    yield _judge_directory(reach)
    if reach.channels_trouble:
        yield Point("channels", False, reach.channels_trouble, "mend what it names")
    elif not reach.channels:
        yield Point("channels", False, "none", "write [mail] or [webhook] into zlh-hooks.toml")
    for channel in reach.channels:
        yield _judge_channel(channel, facts)
    yield _judge_operator(reach)
    act = "" if reach.has_feed else "write [feed] with its directory into zlh-hooks.toml"
    yield Point("status-feed", reach.has_feed, "configured in [feed]" if reach.has_feed else "none", act)


def _judge_directory(reach: Reach) -> Point:
    if reach.directory_trouble:
        return Point("directory", False, reach.directory_trouble, "mend what it names")
    if reach.customers is None:
        return Point("directory", False, "none", "write [directory] with file or url into zlh-hooks.toml")
    return Point("directory", True, f"readable, {reach.customers} customers")


def _judge_channel(channel: str, facts: Facts) -> Point:
    delivered = [at for at in _list_delivered(channel, facts.entries) if facts.now - at <= TEST_LASTS]
    name = f"channel.{channel}"
    if delivered:
        return Point(name, True, f"test notice accepted on {max(delivered):%Y-%m-%d}")
    found = f"no test notice accepted in the last {TEST_LASTS.days} days"
    if channel in facts.reach.operator:  # whose webhook is a secret, and not printed
        address = facts.reach.operator[channel]
        shown = OPERATOR_WORD if "://" in address else shlex.quote(address)
        return Point(name, False, found, commands=(f"zlh-hooks notice send --test {shown}",))
    act = "with an address of your own in place of ADDRESS:"
    return Point(name, False, found, act, ("zlh-hooks notice send --test ADDRESS",))


def _list_delivered(channel: str, entries: Sequence[Entry]) -> Iterator[datetime]:
    """When tests were accepted: of no rollout, begun on that channel, and done."""
    begun = set[str]()
    for entry in entries:
        if entry.rollout or not entry.name.startswith(NOTICE):
            continue
        if entry.kind is Kind.INTENT and entry.data.get("channel") == channel:
            begun.add(entry.name)
        elif entry.kind is Kind.DONE and entry.name in begun:
            yield entry.at


def _judge_operator(reach: Reach) -> Point:
    if reach.operator:
        return Point("operator", True, f"reached by {render_list(sorted(reach.operator))}")
    act = "write [operator] with an address of a channel into zlh-hooks.toml"
    return Point("operator", False, "no channel reaches whoever runs the platform", act)


# --------------------------------------------------------------- components


def _judge_component(policy: Policy, name: Component) -> Point:
    rule = policy.components.get(name)
    point = f"component.{name}"
    if rule is None:
        act = f"write [components.{name}] into the policy"
        return Point(point, False, "nothing says what is live, nor who answers for it", act)
    empty = [role for role in (rule.owner, rule.deputy) if not holders_of(role, policy.people)]
    if empty:
        act = "give each such role to a person in [people]"
        return Point(point, False, f"nobody has the role {render_list(empty)}", act)
    return Point(point, True, _describe_component(policy, rule))


def _describe_component(policy: Policy, rule: ComponentRule) -> str:
    owner, deputy = (_name_holders(policy, role) for role in (rule.owner, rule.deputy))
    evidence = next((one.evidence for one in rule.consequences if one.impact is Impact.LIVE), "")
    live = f"live when {evidence}" if evidence else "never live"
    others = sorted(one.impact for one in rule.consequences if one.impact is not Impact.LIVE)
    felt = f"; else {render_list(others)}" if others else ""
    return f"{owner}, deputy {deputy}; mode {rule.live_mode}, {live}{felt}"


def _name_holders(policy: Policy, role: str) -> str:
    return render_list([person.name for person in holders_of(role, policy.people)])


def _judge_rehearsals(policy: Policy, attested: Mapping[str, Attestation], now: datetime) -> Iterator[Point]:
    for name in Component:
        rule = policy.components.get(name)
        if rule is not None and rule.driver == "manual":
            act = f"walk through {rule.title} in the runbook with the deputy; then:"
            yield _judge_rehearsal(_judge_act(REHEARSED + name, attested, act), attested, now)


def _judge_rehearsal(point: Point, attested: Mapping[str, Attestation], now: datetime) -> Point:
    word = attested.get(point.name)
    if word is None or now - word.at <= REHEARSAL_LASTS:
        return point
    found = f"{_sign(word)}: more than {REHEARSAL_LASTS.days} days ago"
    act = "walk through its chapter of the runbook with the deputy again; then:"
    return replace(point, is_green=False, found=found, act=act, commands=(render_attest(point.name),))


def _judge_rollback(policy: Policy, name: str) -> Point:
    symptom, point = policy.symptoms.get(name), f"rollback.{name}"
    if symptom is None:
        return Point(point, False, "not decided", f"write [symptoms.{name}] into the policy")
    if not holders_of(symptom.decides, policy.people):
        act = "give it to a person in [people]"
        return Point(point, False, f"nobody has the role {symptom.decides}, which decides", act)
    return Point(point, True, f"{symptom.title}: decided by {_name_holders(policy, symptom.decides)}")


# -------------------------------------------------------------------- pages


def list_printed(entries: Sequence[Entry]) -> Iterator[Entry]:
    """What was recorded of rendered pages, oldest first."""
    return (entry for entry in entries if entry.kind is Kind.EVIDENCE and entry.name == RENDERED)


def _judge_pages(policy: Policy, attested: Mapping[str, Attestation], facts: Facts) -> Iterator[Point]:
    wanted = digest_policy(drop_confirmed(policy, attested))
    printed = [entry for entry in list_printed(facts.entries) if entry.data["path"] not in facts.lost]
    for page in Page:
        places = {str(entry.data["path"]): entry for entry in printed if entry.data["page"] == page}
        yield _judge_page(page, places, wanted)


def _judge_page(page: Page, places: Mapping[str, Entry], wanted: str) -> Point:
    """``places``: path to what was last written there."""
    name = f"page.{page}"
    current = [path for path, entry in places.items() if entry.data["digest"] == wanted]
    if current:
        return Point(name, True, f"rendered from the present policy: {current[-1]}")
    if not places:
        return Point(
            name,
            False,
            "not rendered, or not there any more",
            "put the pages where people read them:",
            (f"{RENDER}pages/",),
        )
    path = list(places)[-1]
    act = "the pages are not those of the present policy; render them again where they are:"
    folder = path.rpartition("/")[0]
    return Point(name, False, f"stale: {path}", act, (f"{RENDER}{shlex.quote(folder + '/')}",))


# ------------------------------------------------------------------ machine


def _judge_rights(facts: Facts) -> Point:
    show = ("zlh-hooks ready pve",)
    if facts.rights is None:
        act = "mend the way to Proxmox ([proxmox] in zlh-hooks.toml); this asks it again:"
        return Point("api-token", False, facts.rights_trouble, act, show)
    if facts.rights:
        found = f"lacks {len(facts.rights)} rights, the first: {facts.rights[0]}"
        return Point("api-token", False, found, "type on a host what this prints:", show)
    return Point("api-token", True, "may do all that the work needs")


def _judge_clock(synchronised: bool | None) -> Point:
    if synchronised:
        return Point("clock", True, "synchronised")
    if synchronised is None:
        act = "run zlh-hooks where timedatectl answers: systemd with chrony or systemd-timesyncd"
        return Point("clock", False, "cannot be known", act)
    return Point("clock", False, "not synchronised", "as root: timedatectl set-ntp true; then wait a minute")


# --------------------------------------------------------------------- acts


def _judge_acts(policy: Policy, attested: Mapping[str, Attestation]) -> Iterator[Point]:
    restore = "restore one server's backup to a new number, start it, look at its data, remove it; then:"
    yield _judge_act(BACKUP, attested, restore)
    watch = "let a probe from outside and an alert that wakes somebody work before the first change; then:"
    yield _judge_act(MONITORING, attested, watch)
    on_call = find_on_call(policy)
    if not on_call:
        yield Point("drilled", False, "nobody is on call", "name people in [people]")
    for name, person in on_call.items():
        act = f"{person.name} pauses, resumes and takes back a rehearsal with the printed emergency page; then:"
        yield _judge_act(DRILLED + name, attested, act)


def _judge_drills(policy: Policy, facts: Facts) -> Iterator[Point]:
    """Who is on call has played the emergency by command, under the rules that are in force."""
    if policy.emergency is None:
        return
    drills = read_drills(facts.entries)
    for name, person in find_on_call(policy).items():
        drill = drills.get(name)
        gap = find_gap(policy.emergency, drill, facts.now)
        if gap or drill is None:
            act = f"{person.name} plays the emergency on simulated servers, and answers what it asks:"
            yield Point(f"emergency-drill.{name}", False, gap, act, (render_drill(name),))
        else:
            found = f"done by {person.name} ({drill.author}) on {drill.at:%Y-%m-%d}: {drill.ending}"
            yield Point(f"emergency-drill.{name}", True, found)


def _judge_act(key: str, attested: Mapping[str, Attestation], act: str) -> Point:
    word = attested.get(key)
    if word is None:
        return Point(key, False, "attested by nobody", act, (render_attest(key),))
    return Point(key, True, f"attested by {_sign(word)}" + (f": {word.note}" if word.note else ""))


def _sign(word: Attestation) -> str:
    return f"{word.author} on {word.at:%Y-%m-%d}"


def _list_later() -> Iterator[Point]:
    yield Point("no-conflict", False, "a lease refused and granted: not in this version", f"{CONFLICT}: {LATER}")
