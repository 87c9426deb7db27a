"""What people ask about notices: what would be said, what was, and what they know better than any server."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from zlh_hooks.application.herald import Roads, describe_change, judge, open_planner, promised
from zlh_hooks.application.ports import Clock, Ledger, NoticeChannel
from zlh_hooks.domain.address import render_address
from zlh_hooks.domain.deferral_link import SHORTEST_KEY
from zlh_hooks.domain.deferral_text import find_other_date
from zlh_hooks.domain.emergency import EmergencyBook
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.errors import NotAllowed, RoadError, TargetError
from zlh_hooks.domain.launch import OPERATOR_WORD
from zlh_hooks.domain.notice import OPERATOR, Customer, Message, Round, Stage
from zlh_hooks.domain.notice_book import BOUNCED, NOTICE, VOUCHED, Delivery, DeliveryState, NoticeBook
from zlh_hooks.domain.notice_plan import Due
from zlh_hooks.domain.notice_text import Imprint, render_message
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.progress import Progress, TargetProgress, predict_need
from zlh_hooks.domain.steps import RolloutState, TargetState
from zlh_hooks.domain.window_rule import Component

TEST = "test"


@dataclass(frozen=True, slots=True)
class Preview:
    """What one customer would read first. ``addresses``: channel name to address; empty if nothing reaches them."""

    customer: Customer
    round: Round
    addresses: Mapping[str, str]
    message: Message


@dataclass(frozen=True, slots=True)
class Standing:
    """How a customer of a round stands. ``told``: the promise is kept; ``heard``: they know, in time or not;
    ``unreachable``: nothing more will be tried.
    """

    customer: str
    round: Round
    told: bool
    heard: bool
    unreachable: bool


@dataclass(frozen=True, slots=True)
class NoticeDesk:
    """Answers and takes notes; the herald alone sends. ``author`` is recorded with each note."""

    ledger: Ledger
    clock: Clock
    policy: Policy
    roads: Roads
    author: str

    def preview(self, plan: Plan) -> tuple[Preview, ...]:
        """What would be said if the plan were ordered now and every guest of it could be changed."""
        if plan.notices is None:
            raise NotAllowed("the policy has no [notices]: nobody would be told")
        customers = self._list_customers()
        owners = {vmid: customer.id for customer in customers.values() for vmid in customer.guests}
        emergencies = EmergencyBook().add(self.ledger.read(""))
        planner = open_planner(self.policy, plan, predict_need(_imagine(plan)), emergencies)
        rounds = planner.plan_rounds(_imagine(plan), NoticeBook(), owners, self.clock.now())
        if not rounds and plan.targets:
            raise NotAllowed(f"no window of the policy ever allows {Component.TEMPLATE}")
        return tuple(self._preview(plan, one, customers[customer]) for one in rounds for customer in one.guests)

    def _preview(self, plan: Plan, of: Round, customer: Customer) -> Preview:
        due = Due(customer.id, Stage.ANNOUNCED, of)
        imprint, now = self._imprint_of_preview(), self.clock.now()
        needs = predict_need(_imagine(plan))
        other = find_other_date(due, plan, NoticeBook(), self.policy, needs, imprint.links, now)
        message = render_message(due, describe_change(plan), customer, imprint, now, other)
        return Preview(customer, of, self._list_addresses(customer), message)

    def _imprint_of_preview(self) -> Imprint:
        """As customers see it, but for their links: what is only shown must move nobody's date."""
        imprint = self.roads.imprint
        links = replace(imprint.links, key=secrets.token_hex(SHORTEST_KEY)) if imprint.links else None
        return replace(imprint, links=links)

    def _list_addresses(self, customer: Customer) -> dict[str, str]:
        found = ((channel.name, channel.find_address(customer)) for channel in self.roads.channels)
        return {name: address for name, address in found if address is not None}

    def _list_customers(self) -> dict[str, Customer]:
        listed = {customer.id: customer for customer in self.roads.directory.list_customers()}
        return listed | {OPERATOR: self.roads.operator}

    # ------------------------------------------------------------------ book

    def read_book(self, plan: Plan) -> NoticeBook:
        """All that was recorded of the plan's notices."""
        return NoticeBook().add(self.ledger.read(plan.id))

    def list_standings(self, plan: Plan) -> tuple[Standing, ...]:
        """Every customer of every round, and whether the promise to them is kept now."""
        book, customers = self.read_book(plan), self._list_customers()
        return tuple(
            Standing(
                customer,
                one,
                book.is_told(customer, one, self.clock.now()),
                book.has_heard(customer, one),
                self._is_unreachable(plan, book, customers.get(customer), customer, one),
            )
            for one in book.rounds.values()
            for customer in one.guests
        )

    def _is_unreachable(self, plan: Plan, book: NoticeBook, who: Customer | None, name: str, of: Round) -> bool:
        ways = len(self._list_addresses(who)) if who else 0
        return book.told_at(name, of) is None and book.is_unreachable(name, of, ways, promised(plan).attempts)

    # ----------------------------------------------------------------- notes

    def note_bounced(self, plan: Plan, address: str, reason: str) -> tuple[Delivery, ...]:
        """What was delivered to the address came back: it counts no more. Returns what came back."""
        came_back = [d for d in self.read_book(plan).deliveries.values() if d.address == address]
        delivered = tuple(d for d in came_back if d.state is DeliveryState.DELIVERED)
        if came_back and not delivered:
            raise NotAllowed(f"what {plan.id} sent to {address} does not count anyway: it is {came_back[-1].state}")
        if not delivered:
            known = sorted({d.address for d in self.read_book(plan).deliveries.values()}) or ["nobody yet"]
            raise NotAllowed(f"nothing of {plan.id} was delivered to {address}; it went to {', '.join(known)}")
        self._write(plan, BOUNCED, {"address": address, "reason": reason})
        return delivered

    def vouch(self, plan: Plan, customer: str, reason: str) -> None:
        """A person takes it upon them that the customer knows, although no channel could tell."""
        standing = {one.customer: one for one in self.list_standings(plan)}
        if customer not in standing:
            known = ", ".join(sorted(standing)) or "nobody yet"
            raise NotAllowed(f"{plan.id} concerns no customer {customer!r}; it concerns {known}")
        if not standing[customer].unreachable:
            raise NotAllowed(f"customer {customer} can still be reached: wait for the notice, or correct the address")
        self._write(plan, VOUCHED, {"customer": customer, "reason": reason})

    def _write(self, plan: Plan, name: str, data: Mapping[str, object]) -> None:
        self.ledger.append(Draft(Kind.COMMAND, name, plan.id, None, {**data, "author": self.author}))

    # ------------------------------------------------------------------ test

    def send_test(self, address: str) -> str:
        """A test notice by the channel that such an address belongs to; the server's answer.

        ``operator``: to the operator, by each channel that reaches them.
        """
        if address == OPERATOR_WORD:
            return self._send_tests_to_operator()
        probe = Customer(TEST, "", frozenset(), mail=address if "@" in address and "://" not in address else None)
        probe = probe if probe.mail else Customer(TEST, "", frozenset(), webhook=address)
        channel = next((one for one in self.roads.channels if one.find_address(probe)), None)
        if channel is None:
            raise NotAllowed(f"no channel of zlh-hooks.toml reaches {address}: set up [mail] or [webhook]")
        return self._send_test(channel, address)

    def _send_tests_to_operator(self) -> str:
        ways = self._list_addresses(self.roads.operator)
        if not ways:
            raise NotAllowed("no channel of zlh-hooks.toml reaches the operator: set up [operator]")
        sent = [self._send_test(one, ways[one.name]) for one in self.roads.channels if one.name in ways]
        return ", ".join(sent)

    def _send_test(self, channel: NoticeChannel, address: str) -> str:
        notice = f"{TEST}-{self.clock.now():%Y%m%d%H%M%S}-{secrets.token_hex(2)}"
        name = f"{NOTICE}{notice}.{channel.name}"
        text = "This is a test of zlh-hooks. Nothing happens, and there is nothing to do.\n"
        message = Message(notice, "Test of maintenance notices", text, {"stage": TEST, "author": self.author})
        self.ledger.append(Draft(Kind.INTENT, name, data={"channel": channel.name, "address": render_address(address)}))
        try:
            answer = channel.send_notice(address, message)
        except (TargetError, RoadError) as error:
            self.ledger.append(Draft(Kind.FAILED, name, data={"state": judge(error), "reason": str(error)}))
            raise
        self.ledger.append(Draft(Kind.DONE, name, data={"answer": answer}))
        return answer


def _imagine(plan: Plan) -> Progress:
    """The plan, with every guest staged."""
    rows: Sequence[TargetProgress] = [
        TargetProgress(target, TargetState.STAGED, "", None, None, False) for target in plan.targets
    ]
    return Progress(plan, RolloutState.RUNNING, "", "", tuple(rows), 0, 0, None)
