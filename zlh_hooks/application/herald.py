"""The herald tells customers of changes: what is due goes out once, and each delivery's outcome into the ledger.

It reads what the rollouts record and never steers them; the gate reads what the herald records. A notice whose sending
a dead worker left without outcome is not sent again: better a customer who is asked for once than one told twice.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from zlh_hooks.application.notice_board import TROUBLE
from zlh_hooks.application.ports import Clock, CustomerDirectory, Ledger, NoticeChannel, StatusFeed
from zlh_hooks.domain.address import render_address
from zlh_hooks.domain.deferral_text import find_other_date
from zlh_hooks.domain.emergency import EmergencyBook
from zlh_hooks.domain.entry import Draft, Entry, Kind
from zlh_hooks.domain.errors import LeaseLost, RoadError, SettingsError, TargetError, Unanswered
from zlh_hooks.domain.impact import Impact
from zlh_hooks.domain.notice import OPERATOR, Bulletin, Customer, Message, Round, Stage
from zlh_hooks.domain.notice_book import NOTICE, ROUND, DeliveryState, NoticeBook, render_round
from zlh_hooks.domain.notice_plan import Due, RoundPlanner, find_return, list_due, list_returning
from zlh_hooks.domain.notice_rules import Ladder, NoticeRules
from zlh_hooks.domain.notice_text import Change, Imprint, make_bulletin, render_message
from zlh_hooks.domain.plan import Plan, parse_plan
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.progress import Progress, TargetProgress, fold_progress, predict_need
from zlh_hooks.domain.steps import TargetState
from zlh_hooks.domain.window_rule import Component


class EmptyDirectory:
    """No customers: every guest is the operator's own business."""

    def list_customers(self) -> tuple[Customer, ...]:
        """None."""
        return ()


@dataclass(frozen=True, slots=True)
class Roads:
    """All ways to customers. ``operator`` gets what belongs to nobody; it may be out of reach of every channel."""

    directory: CustomerDirectory
    channels: Sequence[NoticeChannel]
    feed: StatusFeed | None
    operator: Customer
    imprint: Imprint


@dataclass(slots=True)
class Telling:
    """One change that is told: its plan, all that was recorded of it, and what that says of notices."""

    plan: Plan
    entries: list[Entry] = field(default_factory=list)
    book: NoticeBook = field(default_factory=NoticeBook)
    trouble: str = ""
    is_told_out: bool = False
    """It has ended and nobody is owed a word; until more is recorded of it, it is not looked at again."""
    planned_for: object = None
    """What its rounds were last planned for; while that is the same, they are."""
    _progress: Progress | None = None

    def add(self, entries: Iterable[Entry]) -> None:
        """Take in what was recorded since."""
        fresh = list(entries)
        self.is_told_out, self._progress = False, None
        self.entries += fresh
        self.book.add(fresh)
        troubles = [entry for entry in fresh if entry.kind is Kind.NOTE and entry.name == TROUBLE]
        self.trouble = str(troubles[-1].data["text"]) if troubles else self.trouble

    def progress(self) -> Progress:
        """How the change stands."""
        self._progress = self._progress or fold_progress(self.entries)
        return self._progress


def describe_change(plan: Plan) -> Change:
    """What every notice of the plan says alike."""
    return Change(
        id=plan.id,
        component=Component.TEMPLATE,
        what=f"{plan.release.line} {plan.release.version}",
        impact=Impact.GUEST_RESTART,
        interruption=plan.rules.expected_interruption,
        guests={target.vmid: target.name for target in plan.targets},
    )


def promised(plan: Plan) -> NoticeRules:
    """The rules of a plan that was ordered under a promise; no other one is told."""
    assert plan.notices is not None
    return plan.notices


def choose_ladder(plan: Plan) -> Ladder:
    """The lead times of the plan's interruption."""
    return promised(plan).ladder_for(plan.rules.expected_interruption)


def open_planner(policy: Policy, plan: Plan, needs: timedelta, emergencies: EmergencyBook) -> RoundPlanner:
    """Finds the windows in which the plan's guests may be changed. ``needs``: what one takes, its way back included."""
    return RoundPlanner(policy, Component.TEMPLATE, choose_ladder(plan).promise, needs, plan.security, emergencies)


@dataclass(slots=True)
class Herald:
    """Tells customers of every change of one ledger that was ordered under a promise. For one thread."""

    ledger: Ledger
    clock: Clock
    policy: Policy
    roads: Roads
    _tellings: dict[str, Telling] = field(default_factory=dict)
    _emergencies: EmergencyBook = field(default_factory=EmergencyBook)
    _cursor: int = 0
    _shown: Sequence[Bulletin] | None = None

    def tend(self) -> bool:
        """Do what is due now; whether something is still owed to somebody."""
        self._read()
        open_ones = [telling for telling in self._tellings.values() if not telling.is_told_out]
        owes = [self._tend_one(telling) for telling in open_ones]
        if open_ones:
            self._show()
        return any(owes)

    def _read(self) -> None:
        for entry in self.ledger.read(after=self._cursor):
            self._cursor = entry.sequence
            self._emergencies.add([entry])
            if entry.kind is Kind.PLAN and (plan := parse_plan(entry.data)).notices is not None:
                self._tellings[plan.id] = Telling(plan)
            if entry.rollout in self._tellings:
                self._tellings[entry.rollout].add([entry])

    def _tend_one(self, telling: Telling) -> bool:
        try:
            customers = self._list_customers()
            self._plan_rounds(telling, customers)
        except LeaseLost:
            raise
        except (RoadError, SettingsError) as error:
            self._say(telling, f"the customer directory cannot be read: {error}")
            return True
        self._say(telling, "")
        owes = self._send_due(telling, customers)
        telling.is_told_out = not owes and telling.progress().has_ended
        return owes

    def _list_customers(self) -> Mapping[str, Customer]:
        listed = {customer.id: customer for customer in self.roads.directory.list_customers()}
        return listed | {OPERATOR: self.roads.operator}

    def _say(self, telling: Telling, trouble: str) -> None:
        if trouble != telling.trouble:
            self._write(telling, Kind.NOTE, TROUBLE, {"text": trouble})

    def _write(self, telling: Telling, kind: Kind, name: str, data: Mapping[str, object]) -> None:
        self.ledger.append(Draft(kind, name, telling.plan.id, None, data))
        self._read()

    def has_read_all(self) -> bool:
        """Whether nothing was recorded since it last looked."""
        return not self.ledger.read(after=self._cursor)

    # ---------------------------------------------------------------- rounds

    def _plan_rounds(self, telling: Telling, customers: Mapping[str, Customer]) -> None:
        progress, now = telling.progress(), self.clock.now()
        owners = {vmid: customer.id for customer in customers.values() for vmid in customer.guests}
        emergency = self._emergencies.find_open(Component.TEMPLATE, now)
        ended = [now >= one.end for one in telling.book.rounds.values()]
        planned_for = (len(telling.entries), owners, ended, emergency)
        if planned_for == telling.planned_for:
            return
        planner = open_planner(self.policy, telling.plan, predict_need(progress), self._emergencies)
        for plan_rounds in (planner.plan_rounds, planner.plan_late_rounds):
            for made in plan_rounds(progress, telling.book, owners, now):
                self._write(telling, Kind.EVIDENCE, ROUND, render_round(made))
        telling.planned_for = planned_for

    # --------------------------------------------------------------- sending

    def _send_due(self, telling: Telling, customers: Mapping[str, Customer]) -> bool:
        leads = choose_ladder(telling.plan).leads
        dues = list_due(telling.progress(), telling.book, leads, self.clock.now())
        wanted = [due for due in dues if due.customer in customers and _is_news(due, telling.book)]
        owed = [self._send(telling, due, customers[due.customer]) for due in wanted]
        return any(owed)

    def _send(self, telling: Telling, due: Due, customer: Customer) -> bool:
        """On every channel that reaches the customer; whether one of them is still to be tried."""
        owes = False
        for channel in self.roads.channels:
            address = channel.find_address(customer)
            if address is not None:
                owes |= self._send_by(telling, due, customer, channel, address)
        return owes

    def _send_by(self, telling: Telling, due: Due, customer: Customer, channel: NoticeChannel, address: str) -> bool:
        rules, now = promised(telling.plan), self.clock.now()
        name = name_delivery(due.id_in(telling.plan.id), channel.name, address)
        known = telling.book.deliveries.get(name)
        if known is not None and not known.may_be_sent_again(now, rules.attempts, rules.retry):
            return known.state is DeliveryState.FAILED and known.attempts < rules.attempts
        message = self._render(telling, due, customer, now)
        self._write(telling, Kind.INTENT, name, _describe(due, message.id, channel, address))
        try:
            answer = channel.send_notice(address, message)
        except (TargetError, RoadError) as error:
            self._write(telling, Kind.FAILED, name, {"state": judge(error), "reason": str(error)})
            return judge(error) is DeliveryState.FAILED
        self._write(telling, Kind.DONE, name, {"answer": answer})
        return False

    def _render(self, telling: Telling, due: Due, customer: Customer, now: datetime) -> Message:
        plan, imprint, needs = telling.plan, self.roads.imprint, predict_need(telling.progress())
        other = find_other_date(due, plan, telling.book, self.policy, needs, imprint.links, now)
        return render_message(due, describe_change(plan), customer, imprint, now, other)

    # ------------------------------------------------------------------ feed

    def _show(self) -> None:
        now = self.clock.now()
        if self.roads.feed is None:
            return
        bulletins = [one for telling in self._tellings.values() for one in list_bulletins(telling, now)]
        if self._shown is not None and _without_times(bulletins) == _without_times(self._shown):
            return
        try:
            self.roads.feed.write_bulletins(bulletins, now)
        except RoadError as error:
            for telling in self._tellings.values():
                self._say(telling, f"the status feed cannot be written: {error}")
        else:
            self._shown = bulletins


def name_delivery(notice: str, channel: str, address: str) -> str:
    """The name of a delivery's entries. A corrected address is another delivery."""
    return f"{NOTICE}{notice}.{channel}.{hashlib.sha256(address.encode()).hexdigest()[:8]}"


def _is_news(due: Due, book: NoticeBook) -> bool:
    """Nobody hears of the end of what they were never told of."""
    return due.stage is not Stage.CANCELLED or book.was_announced(due.customer, due.round.number)


def _describe(due: Due, notice: str, channel: NoticeChannel, address: str) -> dict[str, object]:
    return {
        "notice": notice,
        "channel": channel.name,
        "address": render_address(address),
        "customer": due.customer,
        "stage": due.stage,
        "round": due.round.number,
        "sequence": due.round.sequence,
    }


def judge(error: TargetError | RoadError) -> DeliveryState:
    """What a channel's refusal means for the delivery."""
    if isinstance(error, Unanswered):
        return DeliveryState.UNCLEAR
    return DeliveryState.REFUSED if isinstance(error, TargetError) else DeliveryState.FAILED


def list_bulletins(telling: Telling, now: datetime) -> list[Bulletin]:
    """The change's rounds for everybody; one that nobody was told of is no news."""
    progress, change = telling.progress(), describe_change(telling.plan)
    announced = [one for one in telling.book.rounds.values() if one.guests]
    return [_make_bulletin(one, change, progress, now) for one in announced]


def _make_bulletin(of: Round, change: Change, progress: Progress, now: datetime) -> Bulletin:
    rows = [row for row in progress.targets if of.of(row.target.vmid) is not None]
    returning = list_returning(progress, rows)
    back = find_return(progress, rows, returning) if returning else None
    if back is not None and all(row.state is TargetState.REVERTED for row in returning):
        return make_bulletin(of, change, "taken_back", now, back)
    return make_bulletin(of, change, "in_progress" if returning else _state_of(rows, progress), now)


def _state_of(rows: Sequence[TargetProgress], progress: Progress) -> str:
    has_begun = any(row.felt_at is not None for row in rows)
    is_over = progress.has_ended or all(row.took is not None or row.state in ("SKIPPED", "REVERTED") for row in rows)
    if is_over:
        return "completed" if has_begun else "cancelled"
    return "in_progress" if has_begun else "scheduled"


def _without_times(bulletins: Sequence[Bulletin]) -> list[tuple[object, ...]]:
    return [(one.state, one.event.uid, one.event.sequence, one.event.start, one.guests) for one in bulletins]
