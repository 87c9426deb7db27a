"""A drill: one person goes through a whole emergency, with the real policy and engine, on a site that is simulated.

Time is the site's own: ``go_on`` is called whenever it has passed, and does what the herald does beside a real worker.
"""

import shlex
import threading
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from zlh_hooks.application.desk import Desk
from zlh_hooks.application.emergency_desk import EmergencyDesk
from zlh_hooks.application.engine import Engine
from zlh_hooks.application.herald import Herald, Roads
from zlh_hooks.application.notice_desk import NoticeDesk
from zlh_hooks.application.planning import Planner
from zlh_hooks.application.ports import Ledger
from zlh_hooks.domain.drill import DRILL, Drill, Moment, Question, describe_drill, parse_drill
from zlh_hooks.domain.drill_text import (
    cite_limit,
    cite_promise,
    cite_review,
    tell_entry,
    tell_hole,
    tell_plan,
    tell_wait,
)
from zlh_hooks.domain.emergency import Emergency
from zlh_hooks.domain.emergency_text import render_effect, render_moment
from zlh_hooks.domain.entry import Draft, Entry, Kind
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.notice_book import NoticeBook
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.steps import RolloutEvent, RolloutState
from zlh_hooks.domain.window import decide
from zlh_hooks.domain.window_rule import Component

REASON = Question("Why can it not wait? Customers read it", "--reason", "a hole in the game server is being used")
REFERENCE = Question("A ticket, an advisory, a CVE", "--reference", "DRILL-1")
HOW = Question("It is over: how did it go?", "--reason", "by the page, and without a surprise")
RING = Question("You ring {customer} up, whom no mail reaches. What do you record?", "--reason", "told by phone")
LEARNT = Question("You look back on it. What was learnt?", "--text", "the page was clear, the phone list was old")


class Trainee(Protocol):
    """Whoever goes through it."""

    def see(self, moment: Moment) -> None:
        """What happens now."""

    def answer(self, question: Question) -> str:
        """Their own words, never blank."""

    def confirm(self) -> None:
        """They type the command that they saw last."""


@dataclass(slots=True)
class EmergencyDrill:
    """``line`` is to get ``version``, which closes a hole; ``person`` is whose words stand in the site's ledger."""

    engine: Engine
    roads: Roads
    line: str
    version: str
    person: str
    trainee: Trainee
    _plan: Plan | None = None
    _book: NoticeBook = field(default_factory=NoticeBook)
    _cursor: int = 0
    _until: datetime | None = None
    _herald: Herald = field(init=False)
    _guard: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self._herald = Herald(self.engine.ledger, self.engine.clock, self.engine.policy, self.roads)

    def play(self) -> RolloutState:
        """From the hole to the last debt; how the rollout ended."""
        self._emergency_desk().require_rules()
        self._tell_normal_way()
        emergency = self._declare()
        plan = self._start(emergency)
        self.engine.open_rollout(plan).run()
        self.go_on(self.engine.clock.now())
        ending = self._desk().find(plan.id).state
        self._end()
        self._pay(plan, emergency)
        return ending

    def go_on(self, _: datetime) -> None:
        """Tell customers and the trainee what is due by now. Threads that wake at the same time come one by one."""
        with self._guard:
            if self._plan is not None:
                self._herald.tend()
                self._look(self._plan)

    # ------------------------------------------------------------- the parts

    @property
    def _policy(self) -> Policy:
        return self.engine.policy

    def _desk(self) -> Desk:
        return Desk(self.engine.ledger, self.person)

    def _emergency_desk(self) -> EmergencyDesk:
        return EmergencyDesk(self.engine.ledger, self.engine.clock, self._policy, self.person)

    def _notice_desk(self) -> NoticeDesk:
        return NoticeDesk(self.engine.ledger, self.engine.clock, self._policy, self.roads, self.person)

    def _planner(self) -> Planner:
        return Planner(self.engine.cluster.inventory, self.engine.clock, self._policy)

    def _see(self, what: str, rule: str = "", command: str = "") -> None:
        self.trainee.see(Moment(self.engine.clock.now(), what, rule, command))

    # ------------------------------------------------------------- the story

    def _tell_normal_way(self) -> None:
        plan = self._planner().plan_rollout(self.line, self.version, self.person, security=True)
        self._see(tell_hole(plan))
        now, needs = self.engine.clock.now(), plan.rules.expected_duration * 2
        decision = decide(self._policy, Component.TEMPLATE, now, needs, security=True)
        command = f"zlh-hooks plan {shlex.quote(self.line)} --to {self.version} --security"
        self._see(tell_wait(self._policy, decision), decision.rule, command)
        if plan.notices is not None:
            self._see(self._tell_promise(plan), cite_promise(self._policy))

    def _tell_promise(self, plan: Plan) -> str:
        try:
            start = min(one.round.start for one in self._notice_desk().preview(plan))
        except NotAllowed as error:
            return f"Customers could not even be told: {error}"
        return f"Customers are told first: with the promise to them not before {render_moment(start, self._policy)}"

    def _declare(self) -> Emergency:
        reason, reference = self.trainee.answer(REASON), self.trainee.answer(REFERENCE)
        desk = self._emergency_desk()
        proposed = desk.propose(Component.TEMPLATE, reason, reference)
        words = _render_options({"--reason": reason, "--reference": reference})
        first, *others, last = render_effect(proposed, self._policy)
        self._see(first, cite_limit(self._policy))
        for line in others:
            self._see(line)
        self._see(last, cite_review(self._policy), f"zlh-hooks emergency declare {Component.TEMPLATE}{words}")
        self.trainee.confirm()
        desk.declare(proposed)
        return proposed

    def _start(self, emergency: Emergency) -> Plan:
        plan = self._planner().plan_rollout(self.line, self.version, self.person, emergency=emergency)
        command = f"zlh-hooks rollout start {shlex.quote(self.line)} --to {self.version} --emergency"
        self._see(tell_plan(plan), "[rollout] canary, waves", command)
        self.trainee.confirm()
        self._desk().submit(plan)
        self._plan, self._until = plan, emergency.until
        return plan

    def _end(self) -> None:
        if self._emergency_desk().find_open(Component.TEMPLATE) is None:
            self._see("The emergency has ended by itself", cite_limit(self._policy))
            return
        how = self.trainee.answer(HOW)
        self._emergency_desk().end(None, how)
        self._see("The emergency is over", "", f"zlh-hooks emergency end{_render_options({'--reason': how})}")

    def _pay(self, plan: Plan, emergency: Emergency) -> None:
        """What is owed keeps ``ready`` red; the notices first, the review then."""
        debts = [debt for account in self._emergency_desk().list_accounts() for debt in account.debts]
        for number, debt in enumerate(debts):
            rule = cite_review(self._policy) if debt.kind == "review" else "[emergency]: a notice is owed at once"
            due = render_moment(debt.due, self._policy)
            self._see(f"Owed: {debt.what}, by {due}; ready is red", rule, "" if number else "zlh-hooks emergency list")
        if any(debt.kind == "notice" for debt in debts):
            self._vouch(plan)
        learnt = self.trainee.answer(LEARNT)
        self._emergency_desk().review(emergency.id, learnt)
        command = f"zlh-hooks emergency review {emergency.id}{_render_options({'--text': learnt})}"
        left = self._emergency_desk().list_debts()
        what = f"Still owed: {'; '.join(left)}" if left else "Nothing is owed any more: ready is green on it"
        self._see(what, cite_review(self._policy), command)

    def _vouch(self, plan: Plan) -> None:
        """For each customer whom no channel reaches a person takes it upon them."""
        for one in self._notice_desk().list_standings(plan):
            if one.unreachable and not one.heard:
                asked = Question(RING.what.format(customer=one.customer), RING.option, RING.example)
                how = self.trainee.answer(asked)
                self._notice_desk().vouch(plan, one.customer, how)
                words = _render_options({"--reason": how})
                self._see(f"{one.customer} knows", "", f"zlh-hooks notice vouch {one.customer}{words}")

    # ------------------------------------------------------ beside the worker

    def _look(self, plan: Plan) -> None:
        for entry in self.engine.ledger.read(plan.id, after=self._cursor):
            self._cursor = entry.sequence
            self._book.add([entry])
            moment = tell_entry(entry, plan, self._book)
            if moment is not None:
                self.trainee.see(moment)
            self._steer(entry)
        self._notice_expiry(plan)

    def _steer(self, entry: Entry) -> None:
        """What a person does when it pauses: look, and let it go on."""
        if entry.kind is Kind.EVENT and entry.target is None and entry.name == RolloutEvent.PAUSED:
            self._order("resume", "A person looks, and decides", "looked at it")

    def _notice_expiry(self, plan: Plan) -> None:
        """What has not begun by its end would wait for windows and promises again, here for days."""
        if self._until is None or self.engine.clock.now() < self._until:
            return
        self._until = None
        if self._desk().find(plan.id).state is not RolloutState.RUNNING:
            return
        what = "The emergency has expired: what has not begun waits for a window again"
        self._order("abort", what, "the emergency has expired", cite_limit(self._policy))

    def _order(self, verb: str, what: str, reason: str, rule: str = "") -> None:
        self._see(what, rule, f"zlh-hooks rollout {verb}{_render_options({'--reason': reason})}")
        self.trainee.confirm()
        self._desk().order(verb, None, reason)


def _render_options(words: dict[str, str]) -> str:
    return "".join(f" {option} {shlex.quote(text)}" for option, text in words.items())


def note_drill(
    ledger: Ledger, policy: Policy, person: str, author: str, ending: RolloutState, *, played_through: bool
) -> Drill:
    """Record in the site's real ledger that the person did it, or that it was only played through."""
    data = describe_drill(policy, person, author, ending, played_through)
    return parse_drill(ledger.append(Draft(Kind.EVIDENCE, DRILL, data=data)))
