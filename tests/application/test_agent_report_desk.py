"""Whom a desk asks for reports, what it believes, and what it records, on the in-memory cluster."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from tests.application.rollout_bench import make_policy
from tests.clock import FakeClock
from tests.datacentre import Datacentre, MemoryLedger
from zlh_hooks.application.agent_report_desk import AgentReportDesk, GuestReport, Standing
from zlh_hooks.domain.agent_report import AgentReport
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import NotAllowed, RoadError, SettingsError, TargetError
from zlh_hooks.domain.guest import GuestRef

A, B = "a" * 64, "b" * 64
AT = datetime(2026, 11, 26, 4, tzinfo=UTC)
REPORT = AgentReport(A, AT, AT, "1.5.0-0a1b2c3d", "", False, "", "", "installed", "", "", "")


@dataclass
class Site:
    """A cluster, a ledger and what each address answers; a key, or why there is none."""

    clock: FakeClock = field(default_factory=FakeClock)
    keys: dict[str, str | Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    before_answer: Callable[[], object] = lambda: None

    def __post_init__(self) -> None:
        self.world, self.ledger = Datacentre(self.clock), MemoryLedger(self.clock)
        self.world.add_node("n1")
        self.world.add_storage("local")
        self.world.add_template("game-base", "1", "n1", 9001)
        self.world.add_vm(5090, "n1")
        for vmid in (5001, 5002):
            self.world.add_guest(vmid, "n1")
        self.world.add_guest(5003, "n1", running=False)
        self.world.add_guest(7001, "n1")
        self.keys |= {self.address(5001): A, self.address(5002): B}

    def address(self, vmid: int) -> str:
        return str(self.world.read_address(GuestRef(vmid, "n1")))

    def root(self, vmid: int) -> str:
        return self.world.read_config(GuestRef(vmid, "n1")).rootfs.volume

    def exchange_root(self, vmid: int, volume: str) -> None:
        self.world.containers[vmid].values["rootfs"] = f"{volume},size=1G"

    def read_report(self, address: str) -> AgentReport:
        """Port ``AgentReports``."""
        self.asked.append(address)
        self.before_answer()
        found = self.keys.get(address, RoadError("no connection"))
        if isinstance(found, Exception):
            raise found
        return replace(REPORT, key=found)

    def desk(self) -> AgentReportDesk:
        return AgentReportDesk(self.world, self, lambda: self.ledger, make_policy(), "ann@desk")

    def reports(self, *vmids: int) -> Mapping[int, GuestReport]:
        return {one.guest.vmid: one for one in self.desk().list_reports(vmids)}

    def recorded(self) -> list[tuple[Kind, str, int | None]]:
        return [(entry.kind, entry.name, entry.target) for entry in self.ledger.read()]


@pytest.fixture
def site() -> Site:
    return Site()


def test_running_containers_of_a_kind_are_asked_and_nobody_else(site: Site) -> None:
    assert list(site.reports()) == [5001, 5002]
    assert sorted(site.asked) == sorted([site.address(5001), site.address(5002)])


def test_a_guest_that_is_named_is_asked_of_whatever_kind_it_is(site: Site) -> None:
    site.keys[site.address(7001)] = "c" * 64
    assert site.reports(7001)[7001].standing is Standing.FIRST
    with pytest.raises(NotAllowed, match="there is no container 5090, 6000"):
        site.reports(5090, 6000)


def test_a_first_key_is_recorded_before_it_is_believed_and_then_it_is_known(site: Site) -> None:
    assert {one.standing for one in site.reports().values()} == {Standing.FIRST}
    seen = (Kind.EVIDENCE, "agent.key-seen")
    assert site.recorded() == [(*seen, 5001), (*seen, 5002)]
    again = site.reports()
    assert {one.standing for one in again.values()} == {Standing.KNOWN}
    assert again[5001].report == REPORT
    assert len(site.recorded()) == 2


def test_a_changed_key_is_refused_and_nothing_that_it_says_is_passed_on(site: Site) -> None:
    site.reports()
    site.keys[site.address(5001)] = "c" * 64
    refused = site.reports()[5001]
    assert (refused.standing, refused.report) == (Standing.REFUSED, None)
    assert "accept-key 5001" in refused.why
    assert len(site.recorded()) == 2


def test_an_exchanged_root_brings_a_key_of_its_own(site: Site) -> None:
    site.reports()
    site.exchange_root(5001, "local:5001/vm-5001-disk-9.raw")
    site.keys[site.address(5001)] = "c" * 64
    assert site.reports()[5001].standing is Standing.FIRST
    assert site.reports()[5001].standing is Standing.KNOWN


def test_a_root_that_is_exchanged_while_its_guest_is_asked_decides_nothing(site: Site) -> None:
    site.reports()
    site.keys[site.address(5001)] = "c" * 64
    site.before_answer = lambda: site.exchange_root(5001, "local:5001/vm-5001-disk-9.raw")
    found = site.reports(5001)[5001]
    assert (found.standing, found.why) == (Standing.SILENT, "its root was exchanged meanwhile: ask again")
    site.before_answer = lambda: None
    assert site.reports(5001)[5001].standing is Standing.FIRST


def test_a_clone_with_the_same_key_is_refused_also_when_both_are_seen_at_once(site: Site) -> None:
    site.keys[site.address(5002)] = A
    found = site.reports()
    assert (found[5001].standing, found[5002].standing) == (Standing.FIRST, Standing.REFUSED)
    assert "the key of guest 5001" in found[5002].why


@pytest.mark.parametrize(
    ("error", "standing"),
    [(RoadError("no connection"), Standing.SILENT), (TargetError("not signed"), Standing.BAD)],
)
def test_one_guest_that_does_not_answer_rightly_hides_no_other(
    site: Site, error: Exception, standing: Standing
) -> None:
    site.keys[site.address(5001)] = error
    found = site.reports()
    assert (found[5001].standing, found[5001].why) == (standing, str(error))
    assert found[5002].standing is Standing.FIRST


def test_a_guest_that_is_deleted_while_guests_are_asked_is_no_alarm(site: Site) -> None:
    site.before_answer = lambda: site.world.containers.pop(5002, None)
    found = site.reports(5002)[5002]
    assert (found.standing, "5002" in found.why) == (Standing.SILENT, True)


def test_a_guest_without_an_address_is_silent(site: Site) -> None:
    assert site.reports(5003)[5003].why == "it has no address yet"


def test_a_persons_word_lets_another_key_count_and_is_recorded_with_reason_and_author(site: Site) -> None:
    site.reports()
    site.keys[site.address(5001)] = "c" * 64
    site.desk().accept_key(5001, "c" * 64, "reinstalled\nby hand")
    assert site.reports()[5001].standing is Standing.KNOWN
    word = site.ledger.read()[-1]
    assert (word.kind, word.name, word.target) == (Kind.COMMAND, "agent.key-accepted", 5001)
    assert word.data == {
        "key": "c" * 64,
        "root": site.root(5001),
        "reason": "reinstalled by hand",
        "author": "ann@desk",
    }


@pytest.mark.parametrize(
    ("vmid", "key", "reason", "error", "words"),
    [
        (5001, "abc", "why", SettingsError, "64 hexadecimal digits, as zlh-agent-plugin key prints"),
        (5001, A.upper(), "why", SettingsError, "64 hexadecimal digits"),
        (5001, A, " \n", SettingsError, "why the key changed"),
        (6000, A, "why", NotAllowed, "there is no container 6000"),
    ],
)
def test_a_word_that_makes_no_sense_is_not_recorded(
    site: Site, vmid: int, key: str, reason: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        site.desk().accept_key(vmid, key, reason)
    assert site.recorded() == []
