"""Rules of the launch gate: what is evidence, what is none, and what makes a red point green."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from zlh_hooks.domain.attestation import describe, digest_policy
from zlh_hooks.domain.dead_man_point import TESTED, DeadManReach
from zlh_hooks.domain.deferral_debt import Overdue
from zlh_hooks.domain.drill import DRILL, describe_drill
from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.guest import GuestRef, GuestSummary
from zlh_hooks.domain.guest_hook import NamedHook
from zlh_hooks.domain.guest_note import GuestKind, GuestNote, GuestPhase
from zlh_hooks.domain.handbook import Page
from zlh_hooks.domain.hook_point import HookReach
from zlh_hooks.domain.launch import Facts, Reach, judge_launch
from zlh_hooks.domain.note_book import draft_note
from zlh_hooks.domain.point import Point
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.steps import RolloutState
from zlh_hooks.domain.window_rule import Component
from zlh_hooks.settings import SHIPPED_POLICY, load_policy

NOW = datetime(2026, 11, 25, tzinfo=UTC)
PEOPLE = {
    "ada": {"name": "Ada", "roles": ["platform", "on-call"], "mail": "ada@example.com"},
    "bob": {"name": "Bob", "roles": ["service"], "mail": "bob@example.com"},
}
REACH = Reach(12, channels=("mail",), operator={"mail": "noc@example.com"}, has_feed=True)
DEAD_MAN = DeadManReach(("mail",), heartbeat=True, is_second=True, looked_at=NOW)
LATER = {"no-conflict"}


def named(vmid: int, node: str, volume: str = "local:snippets/zlh-guest-hook", template: bool = False) -> NamedHook:
    return NamedHook(GuestSummary(GuestRef(vmid, node), f"g{vmid}", True, template), volume)


HOOKS = HookReach((named(5001, "pve1"), named(5002, "pve2"), named(8001, "pve3", template=True)))


def change(**tables: Any) -> Policy:
    shipped = load_policy(SHIPPED_POLICY).model_dump(mode="json", exclude_defaults=True)
    return Policy.model_validate({**shipped, "people": PEOPLE, "to_confirm": [], **tables})


def without(table: str, key: str) -> Policy:
    shipped = load_policy(SHIPPED_POLICY).model_dump(mode="json", exclude_defaults=True)[table]
    return change(**{table: {name: value for name, value in shipped.items() if name != key}})


POLICY = change()


def entry(kind: Kind, name: str, data: Mapping[str, Any], age: timedelta = timedelta(0), rollout: str = "") -> Entry:
    return Entry(1, NOW - age, kind, name, rollout, None, data, "", "")


def attested(key: str, age_days: int = 0, policy: Policy = POLICY, note: str = "") -> Entry:
    data = {"key": key, "author": "ada@desk", "note": note, **describe(policy, key)}
    return entry(Kind.COMMAND, "attested", data, timedelta(days=age_days))


def rendered(page: str, digest: str, path: str = "/srv/pages/x.html") -> Entry:
    return entry(Kind.EVIDENCE, "rendered", {"page": page, "path": path, "digest": digest, "author": "ada@desk"})


def delivered(channel: str, age_days: int = 0, outcome: Kind = Kind.DONE, rollout: str = "") -> list[Entry]:
    name, age = f"notice.test-1.{channel}", timedelta(days=age_days)
    begun = entry(Kind.INTENT, name, {"channel": channel, "address": "noc@example.com"}, age, rollout)
    return [begun, entry(outcome, name, {"answer": "250"}, age, rollout)]


def drilled(person: str, age_days: int = 0, played_through: bool = False) -> Entry:
    data = describe_drill(POLICY, person, f"{person}@desk", RolloutState.REVERTED, played_through)
    return entry(Kind.EVIDENCE, DRILL, data, timedelta(days=age_days))


def find(name: str, policy: Policy = POLICY, entries: Sequence[Entry] = (), **facts: Any) -> Point:
    return {point.name: point for point in judge(policy, entries, **facts)}[name]


def judge(policy: Policy = POLICY, entries: Sequence[Entry] = (), **facts: Any) -> tuple[Point, ...]:
    known = Facts(NOW, entries, REACH, rights=(), rights_trouble="", synchronised=True)
    return judge_launch(policy, replace(known, **facts))


def noted(phase: GuestPhase, *nodes: str) -> list[Entry]:
    notes = [GuestNote(5001, phase, NOW, node, GuestKind.LXC, "", "", False) for node in nodes]
    drafts = [draft_note("a.json", note, "") for note in notes]
    return [Entry(1, NOW, one.kind, one.name, "", one.target, one.data, "", "") for one in drafts]


ALL_NOTED = [*noted(GuestPhase.POST_START, "pve1", "pve2"), *noted(GuestPhase.BACKUP_END, "pve1", "pve2")]


# --- what is red says how it gets green


def test_whatever_is_red_says_what_makes_it_green_and_what_is_green_asks_for_nothing() -> None:
    bare = Policy.model_validate({"time_zone": "UTC"})
    for policy in (POLICY, bare, load_policy(SHIPPED_POLICY)):
        for point in judge(policy, reach=Reach(), rights=None, rights_trouble="no answer", synchronised=None):
            assert bool(point.act or point.commands) is not point.is_green, point
            assert point.found


def test_with_all_evidence_only_what_later_parts_bring_is_red() -> None:
    keys = ["backup-restored", "monitoring-first", "drilled.ada"]
    keys += [f"rehearsed.{one}" for one in Component if one is not Component.TEMPLATE]
    pages = [rendered(page, digest_policy(POLICY)) for page in Page]
    evidence = [*map(attested, keys), *pages, *delivered("mail"), drilled("ada"), entry(Kind.EVIDENCE, TESTED, {})]
    evidence += ALL_NOTED
    points = judge(POLICY, evidence, dead_man=DEAD_MAN, hooks=HOOKS)
    assert {point.name for point in points if not point.is_green} <= LATER


def test_what_a_later_part_brings_says_so() -> None:
    later = "brought by a later part of the product"
    assert find("no-conflict").act == f"no conflict with provisioning, backup, restore and billing: {later}"


def test_no_name_stands_twice() -> None:
    names = [point.name for point in judge(load_policy(SHIPPED_POLICY))]
    assert len(names) == len(set(names))


# --- decisions


def test_windows_are_decided_when_each_component_has_one() -> None:
    assert find("windows").is_green
    [first, *others] = load_policy(SHIPPED_POLICY).model_dump(mode="json", exclude_defaults=True)["windows"]
    closed = find("windows", change(windows=others))
    assert (closed.is_green, "no window allows" in closed.found) == (False, True)
    assert find("windows", change(windows=[first])).is_green is False


def test_a_guess_is_red_until_a_person_confirms_it_and_again_when_it_changes() -> None:
    guess = change(to_confirm=["time_zone"])
    red = find("confirmed.time_zone", guess)
    assert (red.found, red.commands) == (
        '"Europe/Berlin", confirmed by nobody',
        ("zlh-hooks ready attest confirmed.time_zone",),
    )
    word = attested("confirmed.time_zone", policy=guess)
    assert find("confirmed.time_zone", guess, [word]).found == '"Europe/Berlin", by ada@desk on 2026-11-25'
    moved = find("confirmed.time_zone", change(to_confirm=["time_zone"], time_zone="Asia/Tokyo"), [word])
    assert (moved.is_green, moved.found) == (
        False,
        '"Asia/Tokyo": changed since ada@desk on 2026-11-25 confirmed it',
    )


def test_what_was_confirmed_once_is_watched_though_the_policy_asks_for_it_no_more() -> None:
    word = attested("confirmed.time_zone")
    assert find("confirmed.time_zone", POLICY, [word]).is_green
    assert not find("confirmed.time_zone", change(time_zone="UTC"), [word]).is_green


def test_what_was_confirmed_and_is_not_there_any_more_is_not_asked_for() -> None:
    word = attested("confirmed.people.bob")
    assert find("confirmed.people.bob", POLICY, [word]).is_green
    names = {point.name for point in judge(change(people={"ada": PEOPLE["ada"]}), [word])}
    assert "confirmed.people.bob" not in names


def test_what_an_emergency_left_to_do_is_red() -> None:
    assert find("emergency.debt", debts=("no review of e1",)).found == "no review of e1"
    assert "emergency.debt" not in {point.name for point in judge()}


def test_without_notices_in_the_policy_they_are_not_decided() -> None:
    assert (find("notices").is_green, find("notices", change(notices=None)).is_green) == (True, False)


@pytest.mark.parametrize("name", ["provisioning", "networking", "workloads"])
def test_going_back_is_decided_when_somebody_holds_the_role_that_decides(name: str) -> None:
    assert find(f"rollback.{name}").found.endswith("decided by Ada")
    assert find(f"rollback.{name}", without("symptoms", name)).found == "not decided"
    nobody = find(f"rollback.{name}", change(people={"bob": PEOPLE["bob"]}))
    assert nobody.found == "nobody has the role on-call, which decides"


def test_deferral_is_decided_by_a_table_also_by_one_that_allows_none() -> None:
    waits = "a server may wait up to 21 days, for a security fix up to 7 days"
    assert find("deferral").found == f"{waits}, asked for by mail"
    assert find("deferral", reach=replace(REACH, has_links=True)).found == f"{waits}, asked for by link or mail"
    broken = find("deferral", reach=replace(REACH, links_trouble="deferral.key_file: open to everybody"))
    assert (broken.is_green, broken.found) == (False, "deferral.key_file: open to everybody")
    none = find("deferral", change(deferral={"limit": "0s", "security_limit": "0s"}))
    assert (none.is_green, none.found) == (True, "no date can be moved")
    assert find("deferral", change(deferral=None)).is_green is False


def test_each_guest_whose_deferral_has_passed_its_cap_is_a_red_line_with_what_brings_the_version() -> None:
    one = Overdue("r1", 5003, "mc-5003", "game-base", "2026.11.1", NOW - timedelta(days=1))
    point = find("overdue.5003", overdue=(one,))
    assert (point.is_green, point.commands) == (False, ("zlh-hooks rollout start game-base --to 2026.11.1",))
    assert point.found == "mc-5003 was deferred in r1, until 2026-11-24 at the latest, and is unchanged"


# --- how customers are reached


def test_a_directory_must_be_there_and_readable() -> None:
    assert find("directory").found == "readable, 12 customers"
    assert find("directory", reach=Reach()).found == "none"
    assert find("directory", reach=Reach(directory_trouble="no answer")).found == "no answer"


@pytest.mark.parametrize(
    ("entries", "is_green"),
    [
        (delivered("mail"), True),
        (delivered("mail", age_days=30), True),
        (delivered("mail", age_days=31), False),
        (delivered("mail", outcome=Kind.FAILED), False),
        (delivered("webhook"), False),
        (delivered("mail", rollout="r1"), False),
        ([], False),
    ],
)
def test_a_channel_is_proved_by_a_test_that_a_server_accepted_in_the_last_thirty_days(
    entries: list[Entry], is_green: bool
) -> None:
    assert find("channel.mail", entries=entries).is_green is is_green


def test_the_test_goes_to_the_operator_and_a_webhook_of_theirs_is_not_printed() -> None:
    assert find("channel.mail").commands == ("zlh-hooks notice send --test noc@example.com",)
    secret = Reach(1, channels=("webhook",), operator={"webhook": "https://chat.example/secret"})
    assert find("channel.webhook", reach=secret).commands == ("zlh-hooks notice send --test operator",)
    assert find("channel.webhook", reach=Reach(1, channels=("webhook",))).commands[0].endswith("--test ADDRESS")


def test_without_a_channel_an_operator_and_a_feed_nobody_is_told() -> None:
    names = {point.name for point in judge(reach=Reach()) if not point.is_green}
    assert {"channels", "operator", "status-feed"} <= names
    assert find("channels", reach=Reach(channels_trouble="mail.password_file: gone")).found.endswith("gone")


# --- components


@pytest.mark.parametrize("name", Component)
def test_each_component_says_who_answers_for_it_and_what_is_live_by_which_evidence(name: Component) -> None:
    found, mode = find(f"component.{name}").found, "enforce" if name is Component.AGENT else "auto"
    assert found.startswith((f"Ada, deputy Bob; mode {mode}, live when", f"Bob, deputy Ada; mode {mode}, live when"))


def test_a_component_without_a_runbook_or_without_a_deputy_is_red() -> None:
    assert not find("component.pbs", without("components", "pbs")).is_green
    alone = find("component.pbs", change(people={"ada": PEOPLE["ada"]}))
    assert alone.found == "nobody has the role service"


def test_a_manual_component_is_rehearsed_every_half_year() -> None:
    assert find("rehearsed.pbs").commands == ("zlh-hooks ready attest rehearsed.pbs",)
    assert find("rehearsed.pbs", entries=[attested("rehearsed.pbs", 180, note="40 min")]).found.endswith(": 40 min")
    old = find("rehearsed.pbs", entries=[attested("rehearsed.pbs", 181)])
    assert (old.is_green, old.commands) == (False, ("zlh-hooks ready attest rehearsed.pbs",))
    assert "rehearsed.template" not in {point.name for point in judge()}


# --- pages


def test_a_page_is_proved_by_having_been_rendered_from_the_present_policy() -> None:
    assert find("page.customer").commands == ("zlh-hooks policy render --html --output pages/",)
    fresh = rendered("customer", digest_policy(POLICY))
    assert find("page.customer", entries=[fresh]).is_green
    assert not find("page.runbook", entries=[fresh]).is_green


def test_a_page_is_stale_after_the_policy_changed_and_is_rendered_again_where_it_is() -> None:
    old = rendered("customer", digest_policy(POLICY), "/srv/the pages/customer.html")
    stale = find("page.customer", change(time_zone="UTC"), [old])
    assert stale.found == "stale: /srv/the pages/customer.html"
    assert stale.commands == ("zlh-hooks policy render --html --output '/srv/the pages/'",)


def test_a_page_that_was_written_over_from_another_policy_is_not_evidence_any_more() -> None:
    mine, other = rendered("customer", digest_policy(POLICY)), rendered("customer", "other")
    assert not find("page.customer", entries=[mine, other]).is_green
    assert find("page.customer", entries=[other, mine]).is_green
    assert find("page.customer", entries=[mine, rendered("customer", "other", "/tmp/draft.md")]).is_green


def test_pages_that_called_something_a_guess_are_stale_once_it_is_confirmed() -> None:
    guess = change(to_confirm=["time_zone"])
    draft = rendered("customer", digest_policy(guess))
    assert find("page.customer", guess, [draft]).is_green
    assert not find("page.customer", guess, [draft, attested("confirmed.time_zone", policy=guess)]).is_green


# --- machine and people


def test_a_token_without_its_rights_or_a_cluster_that_does_not_answer_is_red_with_the_reason() -> None:
    assert find("api-token").is_green
    assert "lacks 1 rights, the first: /vms VM.Audit" in find("api-token", rights=("/vms VM.Audit",)).found
    assert find("api-token", rights=None, rights_trouble="pve1: no answer").found == "pve1: no answer"


@pytest.mark.parametrize(("synchronised", "found"), [(None, "cannot be known"), (False, "not synchronised")])
def test_a_clock_that_nobody_keeps_right_is_red(synchronised: bool | None, found: str) -> None:
    assert (find("clock").is_green, find("clock", synchronised=synchronised).found) == (True, found)


def test_everyone_on_call_goes_through_a_drill_and_nobody_on_call_is_red_too() -> None:
    assert "drilled.bob" not in {point.name for point in judge()}
    assert find("drilled.ada").commands == ("zlh-hooks ready attest drilled.ada",)
    assert find("drilled.ada", entries=[attested("drilled.ada")]).found == "attested by ada@desk on 2026-11-25"
    assert not find("drilled", change(people={})).is_green


def test_everyone_on_call_plays_the_emergency_by_command_and_answers_for_themselves() -> None:
    red = find("emergency-drill.ada", entries=[drilled("bob")])
    assert (red.found, red.commands) == ("not done yet", ("zlh-hooks emergency drill --who ada",))
    green = find("emergency-drill.ada", entries=[drilled("ada", 3)])
    assert (green.is_green, green.found) == (True, "done by Ada (ada@desk) on 2026-11-22: REVERTED")
    assert "emergency-drill.bob" not in {point.name for point in judge()}, "who decides nothing at night"


def test_a_drill_is_done_anew_when_it_is_old_was_played_through_or_the_rules_changed() -> None:
    assert not find("emergency-drill.ada", entries=[drilled("ada", 181)]).is_green
    assert not find("emergency-drill.ada", entries=[drilled("ada", played_through=True)]).is_green
    assert not find("emergency-drill.ada", change(emergency={"limit": "1h"}), [drilled("ada")]).is_green


def test_without_emergencies_none_is_drilled() -> None:
    assert not [point for point in judge(change(emergency=None)) if point.name.startswith("emergency-drill")]


# --- hooks


def test_a_guest_or_template_that_does_not_name_the_guest_hook_keeps_the_gate_shut() -> None:
    bare = HookReach((*HOOKS.named, named(8002, "pve1", "", template=True), named(5003, "pve1", "local:snippets/x.pl")))
    point = find("guest-hook", hooks=bare)
    assert (point.is_green, point.commands) == (False, ("zlh-hooks hooks install",))
    assert point.found == "2 of 5 guests and templates do not name it, the first: 8002"
    assert find("guest-hook", hooks=HOOKS).is_green
    assert not find("guest-hook").is_green, "nothing shows that it works"


def test_guests_that_cannot_be_seen_are_no_evidence() -> None:
    point = find("guest-hook", entries=ALL_NOTED, hooks=HookReach(trouble="no route to host"))
    assert (point.is_green, point.found) == (False, "no route to host")


@pytest.mark.parametrize(
    ("name", "phase", "other", "act"),
    [
        ("guest-notes", GuestPhase.POST_START, GuestPhase.BACKUP_END, "zlh-hooks-intake.path"),
        ("backup-hook", GuestPhase.BACKUP_END, GuestPhase.PRE_STOP, "zlh-hooks-node install --vzdump"),
    ],
)
def test_that_hooks_are_called_and_heard_is_shown_by_a_note_from_each_node_with_guests(
    name: str, phase: GuestPhase, other: GuestPhase, act: str
) -> None:
    red = find(name, entries=[*noted(phase, "pve1"), *noted(other, "pve1", "pve2")], hooks=HOOKS)
    assert (red.is_green, red.found.endswith("ever noted on pve2"), act in red.act) == (False, True, True)
    assert find(name, entries=noted(phase, "pve1", "pve2"), hooks=HOOKS).is_green
