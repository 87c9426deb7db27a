"""Rules of test notices: where they go, and what is recorded of them."""

import pytest

from tests.application.notice_bench import Channel, Directory, Feed
from tests.clock import FakeClock
from tests.datacentre.ledger import MemoryLedger
from zlh_hooks.application.herald import Roads
from zlh_hooks.application.notice_desk import NoticeDesk
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.notice import OPERATOR, Customer
from zlh_hooks.domain.notice_text import Imprint
from zlh_hooks.settings import SHIPPED_POLICY, load_policy

HOOK = "https://chat.example.com/secret"


def open_desk(*channels: Channel, mail: str | None = "noc@example.com", webhook: str | None = None) -> NoticeDesk:
    operator = Customer(OPERATOR, "", frozenset(), mail, webhook)
    roads = Roads(Directory(), channels, Feed(), operator, Imprint("UTC", "", ""))
    return NoticeDesk(MemoryLedger(FakeClock()), FakeClock(), load_policy(SHIPPED_POLICY), roads, "ada@desk")


def test_a_test_to_the_operator_goes_by_each_channel_that_reaches_them_and_names_no_secret() -> None:
    mail, webhook = Channel("mail"), Channel("webhook")
    desk = open_desk(mail, webhook, webhook=HOOK)
    assert desk.send_test("operator") == "250 accepted, 250 accepted"
    assert ([to for to, _ in mail.sent], [to for to, _ in webhook.sent]) == (["noc@example.com"], [HOOK])
    assert "secret" not in str([entry.data for entry in desk.ledger.read()])


def test_a_channel_that_does_not_reach_the_operator_is_not_tried() -> None:
    webhook = Channel("webhook")
    open_desk(Channel("mail"), webhook).send_test("operator")
    assert webhook.sent == []


def test_an_operator_whom_no_channel_reaches_is_told_to_be_set_up() -> None:
    with pytest.raises(NotAllowed, match=r"set up \[operator\]"):
        open_desk(Channel("webhook")).send_test("operator")
