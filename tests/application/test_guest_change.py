"""Guests that moved or have another address are told to whoever runs the platform, once, and to no customer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from tests.application.notice_bench import Channel
from tests.application.rollout_bench import Bench
from tests.note_file import write_note
from zlh_hooks.adapters.spool import open_spool
from zlh_hooks.application.address_look import PATIENCE, AddressLook, record_addresses
from zlh_hooks.application.change_notice import ChangeNotice
from zlh_hooks.application.intake import Intake, Taken
from zlh_hooks.domain.errors import RoadError, TargetError
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.guest_change import ADDRESS, FRESH, MOST_LINES, TOLD
from zlh_hooks.domain.metric import draw_gauges
from zlh_hooks.domain.notice import OPERATOR, Customer
from zlh_hooks.domain.value import VmidRange

SECOND = timedelta(seconds=1)
GUEST = 5001
SCRATCH = VmidRange.model_validate("890000-890999")
OPS = Customer(OPERATOR, "", frozenset(), "ops@example.com", "https://ops.example")
NOBODY = Customer(OPERATOR, "", frozenset())


@dataclass
class Office(Bench):
    """A datacentre whose guests are noted, and the operator's ways."""

    folder: Path = field(default_factory=Path)
    operator: Customer = OPS
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.mail, self.hook = Channel("mail"), Channel("webhook")

    def note(self, guest: int = GUEST, phase: str = "post-start", node: str = "n1", **changed: object) -> None:
        self.clock.sleep(SECOND)
        write_note(self.folder, self.clock.now(), guest, phase, node=node, **changed)

    def take_in(self) -> Taken:
        with open_spool(self.folder, self.clock) as spool:
            return Intake(spool, self.ledger, self.said.append).run()

    def look(self, *guests: int) -> None:
        look = AddressLook(self.datacentre, self.clock, SCRATCH, self.said.append)
        record_addresses(self.ledger, look.read_addresses(guests or [GUEST]), self.said.append)

    def tell(self) -> tuple[RoadError, ...]:
        ways: Sequence[Channel] = (self.mail, self.hook)
        return ChangeNotice(
            self.ledger, lambda: ways, self.operator, "lab", SCRATCH, self.clock, self.said.append
        ).tell()

    def give(self, address: str) -> None:
        self.datacentre.edit_config(GUEST, net0=f"name=eth0,bridge=vmbr0,ip={address}/16")

    def move(self, guest: int = GUEST) -> None:
        """Noted on another node than before."""
        self.note(guest, node="n1")
        self.note(guest, node="n2")
        self.take_in()


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(folder=tmp_path).furnish(2)  # type: ignore[return-value]


# --- addresses


def test_a_guest_that_starts_with_another_address_is_told_and_the_first_one_is_only_recorded(office: Office) -> None:
    office.look()
    office.look()
    office.give("10.0.7.7")
    office.look()
    entries = [entry.data for entry in office.ledger.read() if entry.name == ADDRESS]
    assert [(one["address"], one["was"]) for one in entries] == [("10.0.19.137", ""), ("10.0.7.7", "10.0.19.137")]
    assert office.said == ["guest 5001 has another address: 10.0.7.7, and 10.0.19.137 before"]


def test_a_guest_that_has_no_address_yet_is_asked_again_for_some_seconds(office: Office) -> None:
    office.datacentre.power_off(GUEST)
    begin = office.clock.monotonic()
    office.clock.later(4 * SECOND, lambda: office.datacentre.power_on(GUEST))
    office.look()
    assert [entry.data["address"] for entry in office.ledger.read()] == ["10.0.19.137"]
    assert 4 <= office.clock.monotonic() - begin < PATIENCE.total_seconds()


def test_one_that_gets_none_keeps_nobody_waiting_for_long_and_hides_no_other(office: Office) -> None:
    office.datacentre.power_off(GUEST)
    office.look(GUEST, 9999, 5002)
    assert [entry.target for entry in office.ledger.read()] == [5002]
    assert office.clock.monotonic() <= PATIENCE.total_seconds() + 1


def test_only_containers_that_are_no_template_and_not_our_own_are_asked(office: Office) -> None:
    office.datacentre.add_vm(5005, "n1")
    listed = [one for one in office.datacentre.list_guests() if one.vmid not in (GUEST, 5002)]
    assert {one.template for one in listed if one.is_container} == {True}
    everybody = [one.vmid for one in office.datacentre.list_guests()]
    look = AddressLook(office.datacentre, office.clock, VmidRange.model_validate("5002"), office.said.append)
    assert look.read_addresses(everybody) == {GuestRef(GUEST, "n1"): "10.0.19.137"}


def test_those_are_asked_of_which_the_latest_that_was_noted_is_that_they_came_up(office: Office) -> None:
    for guest, phase in ((5001, "post-start"), (5002, "post-start"), (5002, "pre-stop"), (5003, "pre-start")):
        office.note(guest, phase)
    assert office.take_in().started == frozenset({5001})


def test_a_road_that_breaks_is_told_and_what_was_heard_before_is_recorded(office: Office) -> None:
    office.datacentre.faults.refuse("read_address", RoadError("no route to host"), vmid=5002)
    office.look(GUEST, 5002)
    assert [entry.target for entry in office.ledger.read()] == [GUEST]
    assert office.said == ["addresses of 1 guests were not read, until these are noted again: no route to host"]


# --- who is told


def test_the_operator_is_told_of_a_move_and_of_another_address_once_by_each_channel(office: Office) -> None:
    office.look()
    office.move()
    office.give("10.0.7.7")
    office.look()
    assert (office.tell(), office.tell()) == ((), ())
    for channel, address in ((office.mail, OPS.mail), (office.hook, OPS.webhook)):
        ((to, message),) = channel.sent
        assert (to, message.subject) == (address, "[zlh-hooks lab] 2 changes of nodes and addresses of guests")
        assert "UTC: guest 5001 moved from n1 to n2." in message.text
        assert "UTC: guest 5001 has another address: 10.0.7.7, and 10.0.19.137 before." in message.text
        assert message.facts["changes"][0] == {"guest": GUEST, "what": "node", "was": "n1", "now": "n2"}


def test_one_change_is_in_the_subject(office: Office) -> None:
    office.move()
    office.tell()
    assert office.mail.sent[0][1].subject == "[zlh-hooks lab] guest 5001 moved from n1 to n2"


def test_what_came_since_is_told_by_itself(office: Office) -> None:
    office.move()
    office.tell()
    office.move(5002)
    office.tell()
    assert [message.subject.partition("] ")[2] for _, message in office.mail.sent] == [
        "guest 5001 moved from n1 to n2",
        "guest 5002 moved from n1 to n2",
    ]


def test_a_channel_that_is_away_is_tried_again_and_the_other_does_not_repeat_it(office: Office) -> None:
    office.move()
    office.mail.answers.append(RoadError("connection refused"))
    assert [str(error) for error in office.tell()] == ["connection refused"]
    assert office.said[-1] == "the operator could not be told by mail: connection refused"
    assert office.tell() == ()
    assert (len(office.mail.sent), len(office.hook.sent)) == (1, 1)


def test_an_address_that_is_refused_for_good_is_not_tried_again(office: Office) -> None:
    office.move()
    office.mail.answers.append(TargetError("550 no such mailbox"))
    assert (office.tell(), office.tell()) == ((), ())
    assert (len(office.mail.sent), len(office.hook.sent)) == (0, 1)
    assert {entry.data["answer"] for entry in office.ledger.read() if entry.name == TOLD} == {
        "refused: 550 no such mailbox",
        "250 accepted",
    }


def test_what_is_older_than_a_day_is_history(office: Office) -> None:
    office.move()
    office.clock.advance(FRESH + SECOND)
    assert (office.tell(), office.mail.sent) == ((), [])


def test_of_many_some_are_named_and_all_are_counted(office: Office) -> None:
    for guest in range(6000, 6000 + MOST_LINES + 5):
        office.move(guest)
    office.tell()
    ((_, message),) = office.mail.sent
    assert (message.text.count("moved from"), len(message.facts["changes"])) == (MOST_LINES, MOST_LINES + 5)
    assert "And 5 more: zlh-hooks ledger show." in message.text


def test_our_own_temporary_guests_are_nobodys_news(office: Office) -> None:
    office.move(890_001)
    assert (office.tell(), office.mail.sent) == ((), [])
    assert read_metric(office) == {"node": 0, "address": 0}


def test_without_an_operator_nobody_is_told_and_it_is_counted_for_monitoring(office: Office) -> None:
    office.operator = NOBODY
    office.move()
    assert (office.tell(), office.mail.sent) == ((), [])
    assert read_metric(office) == {"node": 1, "address": 0}


def read_metric(office: Office) -> dict[str, float]:
    gauges = draw_gauges(office.ledger.read(), None, office.policy, office.clock.now())
    return next(dict(one.samples) for one in gauges if one.name == "zlh_hooks_guest_changes")
