"""What a desk looks up for agents: who carries a ring's tag, which line a guest is of, which windows are left."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent_plugin.desired_wire import parse_state
from tests.agent.repository_bench import BYTES, RepositoryBench
from tests.clock import FakeClock
from tests.datacentre.ledger import MemoryLedger
from zlh_hooks.adapters.desired_state import DesiredStates
from zlh_hooks.application.agent_desk import AgentDesk
from zlh_hooks.application.agent_report_desk import GuestReport
from zlh_hooks.application.agent_report_desk import Standing as ReportStanding
from zlh_hooks.application.ports import Ledger
from zlh_hooks.domain.agent_release import PinOrder, list_builds, name_builds
from zlh_hooks.domain.agent_report import AgentCheck, AgentReport
from zlh_hooks.domain.agent_rules import RingRule
from zlh_hooks.domain.errors import NotAllowed, RoadError
from zlh_hooks.domain.guest import GuestRef, GuestSummary
from zlh_hooks.domain.policy import Policy
from zlh_hooks.settings import SHIPPED_POLICY, load_policy

MONDAY = datetime(2026, 11, 30, 12, tzinfo=UTC)
GUESTS = (
    GuestSummary(GuestRef(5001, "pve1"), "first", True, False, ("zlh-ring.canary",)),
    GuestSummary(GuestRef(5002, "pve1"), "second", True, False, ("zlh-ring.canary", "other")),
    GuestSummary(GuestRef(5003, "pve1"), "third", True, False),
    GuestSummary(GuestRef(9000, "pve1"), "template", False, True, ("zlh-ring.canary",)),
    GuestSummary(GuestRef(7000, "pve1"), "foreign", True, False),
)


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger(FakeClock(MONDAY))


def open_desk(home: Path, ledger: Ledger, asked: list[str], policy: Policy | None = None) -> AgentDesk:
    bench = RepositoryBench(home)
    bench.make_keys()
    bench.repository.found(["anna", "ben"], "sealed", "online", MONDAY)
    bench.sign("anna", "ben")

    def list_guests() -> tuple[GuestSummary, ...]:
        asked.append("guests")
        return GUESTS

    parts = bench.repository, bench.publication, DesiredStates()
    desk = AgentDesk(
        *parts, list_guests, lambda: ledger, FakeClock(MONDAY), policy or load_policy(SHIPPED_POLICY), "anna@host"
    )
    desk.release("1.5.0", "all", BYTES)
    bench.sign("ben")
    return desk


def with_rings(*rings: RingRule) -> Policy:
    policy = load_policy(SHIPPED_POLICY)
    return policy.model_copy(update={"agents": policy.agents.model_copy(update={"rings": rings})})


EVERYBODY = RingRule(name="all", percent=100)
TAGGED = RingRule(name="canary", tags=("zlh-ring.canary",))


def test_a_rings_tag_becomes_the_guests_that_carry_it_and_no_template(tmp_path: Path, ledger: Ledger) -> None:
    desk = open_desk(tmp_path, ledger, [], with_rings(TAGGED, EVERYBODY))
    desk.pin(PinOrder("game-base", "canary", "1.5.0"))
    state = parse_state(desk.repository.read_state() or b"")
    assert state.rings[0].vmids == ((5001, 5002),)
    assert "ring canary (listed)" in desk.explain(5002, None, None, None).rule
    assert desk.explain(5003, None, None, None).ruling == "unpinned"


def test_proxmox_is_not_asked_where_no_tag_needs_it(tmp_path: Path, ledger: Ledger) -> None:
    asked: list[str] = []
    desk = open_desk(tmp_path, ledger, asked, with_rings(EVERYBODY))
    desk.pin(PinOrder("game-base", "all", "1.5.0"))
    assert desk.explain(5001, "game-base", None, None).version == "1.5.0"
    assert asked == []


def test_guests_are_explained_by_their_own_line_and_strangers_are_named(tmp_path: Path, ledger: Ledger) -> None:
    desk = open_desk(tmp_path, ledger, [], with_rings(EVERYBODY))
    desk.pin(PinOrder("game-base", "all", "1.5.0"))
    assert desk.explain(5001, None, "1.4.0", None).line == "game-base"
    with pytest.raises(NotAllowed, match="there is no guest 5999"):
        desk.explain(5999, None, None, None)
    with pytest.raises(NotAllowed, match="guest 7000 is of no kind"):
        desk.explain(7000, None, None, None)


def report(**fields: object) -> GuestReport:
    nothing = dict.fromkeys(["previous", "wanted", "step", "outcome", "reason", "failed", "failure"], "")
    said = AgentReport(**{"key": "k", "at": MONDAY, "written": MONDAY, "on_trial": False, **nothing, **fields})  # type: ignore[arg-type]
    return GuestReport(GUESTS[0], ReportStanding.KNOWN, said)


def test_what_a_guest_has_is_asked_of_itself(tmp_path: Path, ledger: Ledger) -> None:
    desk = open_desk(tmp_path, ledger, [], with_rings(EVERYBODY))
    build = desk.release("1.4.0", "amd64", b"older")
    desk.pin(PinOrder("game-base", "all", "1.5.0"))
    (current,) = name_builds([build])
    asked = replace(desk, find_report=lambda _vmid: report(current=current))
    found = asked.explain(5001, None, None, None)
    assert (found.installed, found.source, found.ruling) == ("1.4.0", "by its report of 2026-11-30 12:00", "waits")
    (same,) = name_builds(list_builds(desk.repository.list_releases(), "1.5.0"))
    assert (
        replace(desk, find_report=lambda _vmid: report(current=same)).explain(5001, None, None, None).ruling
        == "current"
    )


def test_what_failed_in_the_guest_under_this_pin_is_not_called_an_installation(tmp_path: Path, ledger: Ledger) -> None:
    desk = open_desk(tmp_path, ledger, [], with_rings(EVERYBODY))
    desk.pin(PinOrder("game-base", "all", "1.5.0"))
    check = AgentCheck("failed-here", "it does not start", False, pin=1)
    ill = replace(desk, find_report=lambda _vmid: report(current="1.4.0-00000000", check=check))
    assert (
        "will say failed-here: under this pin it failed here: it does not start"
        in ill.explain(5001, None, None, None).rule
    )
    desk.pin(PinOrder("game-base", "all", "1.5.0"))
    assert "failed" not in ill.explain(5001, None, None, None).rule


def test_while_proxmox_is_away_a_version_is_blocked_for_the_members_that_were_known(
    tmp_path: Path, ledger: Ledger
) -> None:
    told: list[str] = []
    desk = open_desk(tmp_path, ledger, [], with_rings(TAGGED, EVERYBODY))

    def refuse() -> tuple[GuestSummary, ...]:
        raise RoadError("pve1 does not answer")

    away = replace(desk, list_guests=refuse, tell=told.append)
    with pytest.raises(RoadError, match="pve1 does not answer"):
        away.block("1.5.0", "loses saves")
    desk.pin(PinOrder("game-base", "canary", "1.5.0"))
    away.block("1.5.0", "loses saves")
    state = parse_state(desk.repository.read_state() or b"")
    assert [(ring.name, ring.vmids) for ring in state.rings] == [("canary", ((5001, 5002),)), ("all", ())]
    assert [block.versions for block in state.blocked] == ["==1.5.0"]
    assert "pve1 does not answer" in told[0] and "zlh-hooks agent refresh" in told[0]
    with pytest.raises(RoadError):
        away.refresh()


def test_a_pin_that_release_keys_forbid_to_those_who_are_pinned_now_is_told(tmp_path: Path, ledger: Ledger) -> None:
    told: list[str] = []
    desk = replace(open_desk(tmp_path, ledger, [], with_rings(EVERYBODY)), tell=told.append)
    desk.release("1.6.0", "all", b"six", come_from=">=1.5")
    desk.release("1.7.0", "all", b"seven", come_from=">=1.6")
    desk.pin(PinOrder("game-base", "all", "1.5.0"))
    desk.pin(PinOrder("game-base", "all", "1.6.0"))
    assert told == []
    desk.pin(PinOrder("game-base", "all", "1.5.0"))
    assert told.pop() == "guests that have 1.6.0 stay with it: only --downgrade leads back"
    desk.pin(PinOrder("game-base", "all", "1.6.0", downgrade=True))
    desk.pin(PinOrder("game-base", "all", "1.5.0", downgrade=True))
    assert told == []
    desk.pin(PinOrder("game-base", "all", "1.7.0"))
    assert told == ["guests that have 1.5.0 stay with it: only >=1.6 may come to 1.7.0, and it has 1.5.0"]


def test_the_shipped_windows_are_told_without_weekends_and_holidays_and_with_time_for_the_way_back(
    tmp_path: Path, ledger: Ledger
) -> None:
    desk = open_desk(tmp_path, ledger, [])
    desk.pin(PinOrder("game-base", "all", "1.5.0"))
    windows = parse_state(desk.repository.read_state() or b"").windows
    assert {window.name for window in windows} == {"tuesday"}
    first = windows[0]
    assert (first.start, first.last_start) == (
        datetime(2026, 12, 1, 3, tzinfo=UTC),
        datetime(2026, 12, 1, 4, tzinfo=UTC),
    )
    assert not any(window.start.strftime("%m-%d") in ("12-22", "12-29", "01-05") for window in windows)
    assert windows[-1].start > datetime(2027, 2, 1, tzinfo=UTC)


def test_what_the_tags_and_windows_are_now_is_told_by_a_refresh(tmp_path: Path, ledger: Ledger) -> None:
    desk = open_desk(tmp_path, ledger, [], with_rings(EVERYBODY))
    desk.pin(PinOrder("game-base", "all", "1.5.0"))
    before = parse_state(desk.repository.read_state() or b"")
    later = AgentDesk(
        *(desk.repository, desk.publisher, desk.states, desk.list_guests, desk.open_ledger, desk.clock),
        with_rings(TAGGED, EVERYBODY),
        desk.author,
    )
    later.refresh()
    after = parse_state(desk.repository.read_state() or b"")
    assert after.pins == before.pins and [ring.name for ring in after.rings] == ["canary", "all"]


def test_no_pin_has_the_number_of_one_that_was_taken_away(tmp_path: Path, ledger: Ledger) -> None:
    desk = open_desk(tmp_path, ledger, [], with_rings(EVERYBODY))
    desk.pin(PinOrder("game-base", "all", "1.5.0"))
    desk.unpin("game-base", "all")
    desk.pin(PinOrder("game-base", "all", "1.5.0"))
    assert [pin.number for pin in desk.list_pins()] == [2]
