"""Rules of the launch gate's facts: each is found by itself, and a person's word is recorded as it was meant."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.application.notice_bench import Channel, Directory, owner
from tests.clock import FakeClock
from tests.datacentre.ledger import MemoryLedger
from zlh_hooks.application.launch import LaunchDesk, Survey, find_facts, list_points
from zlh_hooks.application.ready import Readiness
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import LedgerBroken, NotAllowed, RoadError, SettingsError
from zlh_hooks.domain.handbook import Page
from zlh_hooks.domain.notice import OPERATOR, Customer
from zlh_hooks.domain.right import Right, Scope
from zlh_hooks.settings import SHIPPED_POLICY, load_policy

POLICY = load_policy(SHIPPED_POLICY)
SCOPE = Scope((), (), (), (), (), (), False, False)


class Keeper:
    def read_synchronised(self) -> bool | None:
        return None


def make_survey(ledger: MemoryLedger, **changes: Any) -> Survey:
    known = {
        "read_entries": ledger.read,
        "open_directory": lambda: Directory(owner("ann"), owner("bob")),
        "open_channels": lambda: (Channel("mail"), Channel("webhook")),
        "open_links": lambda: None,
        "operator": Customer(OPERATOR, "", frozenset(), mail="noc@example.com"),
        "has_feed": True,
        "list_debts": tuple,
        "list_overdue": tuple,
        "find_dead_man": lambda: None,
        "ask_rights": lambda: Readiness(SCOPE, (Right("/vms", "VM.Audit"),)),
        "read_hooks": tuple,
        "is_there": lambda path: True,
        "clock": FakeClock(),
        "keeper": Keeper(),
    }
    return Survey(**{**known, **changes})


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger(FakeClock())


@pytest.fixture
def desk(ledger: MemoryLedger) -> LaunchDesk:
    return LaunchDesk(ledger, POLICY, "ada@desk")


def fail(*_: object) -> Any:
    raise RoadError("no route to host")


def test_facts_are_what_the_site_says(ledger: MemoryLedger) -> None:
    facts = find_facts(make_survey(ledger))
    assert (facts.reach.customers, facts.reach.channels) == (2, ("mail", "webhook"))
    assert facts.reach.operator == {"mail": "noc@example.com"}
    assert (facts.rights, facts.synchronised) == (("/vms VM.Audit",), None)


@pytest.mark.parametrize(
    ("broken", "point"),
    [
        ("ask_rights", "api-token"),
        ("read_hooks", "guest-hook"),
        ("open_directory", "directory"),
        ("open_channels", "channels"),
        ("open_links", "deferral"),
    ],
)
def test_what_does_not_answer_is_red_with_its_reason_and_hides_nothing_else(
    ledger: MemoryLedger, broken: str, point: str
) -> None:
    whole = {one.name: one.found for one in list_points(POLICY, make_survey(ledger))}
    found = {one.name: one.found for one in list_points(POLICY, make_survey(ledger, **{broken: fail}))}
    assert found[point] == "no route to host"
    others = {"api-token", "directory", "status-feed", "clock"} - {point}
    assert {name: found[name] for name in others} == {name: whole[name] for name in others}


def test_a_directory_that_breaks_while_it_is_read_is_red_too(ledger: MemoryLedger) -> None:
    directory = Directory()
    directory.broken = True
    assert find_facts(make_survey(ledger, open_directory=lambda: directory)).reach.directory_trouble == "no answer"


def test_a_secret_that_is_missing_is_named(ledger: MemoryLedger) -> None:
    def missing() -> Any:
        raise SettingsError("/etc/token", "proxmox.token_file", "nothing", "a readable file")

    assert "proxmox.token_file" in find_facts(make_survey(ledger, ask_rights=missing)).rights_trouble


def test_a_rendered_page_that_somebody_removed_is_no_evidence(ledger: MemoryLedger, desk: LaunchDesk) -> None:
    desk.note_rendered([(Page.CUSTOMER, Path("/srv/customer.html")), (Page.RUNBOOK, Path("/srv/runbook.html"))])
    survey = make_survey(ledger, is_there=lambda path: path.name == "runbook.html")
    points = {one.name: one for one in list_points(POLICY, survey)}
    assert (points["page.runbook"].is_green, points["page.customer"].is_green) == (True, False)
    assert points["page.customer"].found == "not rendered, or not there any more"


def test_a_ledger_that_somebody_changed_is_no_evidence(ledger: MemoryLedger, desk: LaunchDesk) -> None:
    desk.attest("backup-restored")
    forged = tuple(replace(one, data={**one.data, "author": "eve"}) for one in ledger.read())
    with pytest.raises(LedgerBroken, match="the ledger is no evidence"):
        find_facts(make_survey(ledger, read_entries=lambda: forged))


def test_a_word_is_recorded_with_author_note_and_value(ledger: MemoryLedger, desk: LaunchDesk) -> None:
    desk.attest("rehearsed.pbs", "40 minutes")
    desk.attest("confirmed.time_zone")
    first, second = ledger.read()
    assert (first.kind, first.name) == (Kind.COMMAND, "attested")
    assert first.data == {"key": "rehearsed.pbs", "note": "40 minutes", "author": "ada@desk"}
    assert second.data["value"] == '"Europe/Berlin"'


def test_an_unknown_key_is_refused_with_those_that_there_are(ledger: MemoryLedger, desk: LaunchDesk) -> None:
    with pytest.raises(NotAllowed, match=r"backup-restored, monitoring-first, .*did you mean rehearsed.pbs\?"):
        desk.attest("rehearsd.pbs")
    assert ledger.read() == ()


def test_what_an_emergency_still_owes_keeps_the_gate_shut(ledger: MemoryLedger) -> None:
    owed = make_survey(ledger, list_debts=lambda: ("e1: to be reviewed",))
    assert find_facts(owed).debts == ("e1: to be reviewed",)
