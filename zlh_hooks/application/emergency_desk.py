"""Where emergencies are declared, ended and looked back on. Every word is in the ledger with its author."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from zlh_hooks.application.planning import make_id
from zlh_hooks.application.ports import Clock, Ledger
from zlh_hooks.domain.duration import render_duration
from zlh_hooks.domain.emergency import (
    DECLARED,
    ENDED,
    REVIEWED,
    Debt,
    Emergency,
    EmergencyBook,
    EmergencyState,
    describe_emergency,
)
from zlh_hooks.domain.emergency_debt import list_debts
from zlh_hooks.domain.emergency_rules import EmergencyRules
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.notice_book import NoticeBook
from zlh_hooks.domain.plain_text import render_line
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.progress import fold_progress, group_by_rollout
from zlh_hooks.domain.window_rule import Component


@dataclass(frozen=True, slots=True)
class Account:
    """An emergency as it stands now, and what it still owes."""

    emergency: Emergency
    state: EmergencyState
    debts: tuple[Debt, ...]


@dataclass(frozen=True, slots=True)
class EmergencyDesk:
    """Takes declarations. ``author`` is recorded with each word."""

    ledger: Ledger
    clock: Clock
    policy: Policy
    author: str

    def propose(
        self,
        component: Component,
        reason: str,
        reference: str,
        length: timedelta | None = None,
        without_canary: str | None = None,
    ) -> Emergency:
        """What would be declared, at the longest if no length is said. ``NotAllowed`` says what speaks against it."""
        limit = self.require_rules().limit
        if length is not None and not timedelta(0) < length <= limit:
            found, longest = render_duration(length), render_duration(limit)
            raise NotAllowed(f"an emergency of {found}: the policy allows up to {longest} at once")
        self._refuse_second(component)
        now = self.clock.now()
        second = None if without_canary is None else _ask("the second reason, for no canary,", without_canary)
        return Emergency(
            id=make_id("e", now),
            component=component,
            reason=_ask("the reason", reason),
            reference=_ask("the reference", reference),
            author=self.author,
            declared_at=now,
            until=now + (length or limit),
            without_canary=second,
        )

    def declare(self, proposed: Emergency) -> None:
        """From now on it allows what it says."""
        self._refuse_second(proposed.component)
        self._write(DECLARED, describe_emergency(proposed))

    def end(self, emergency: str | None, reason: str) -> Emergency:
        """From now on it allows nothing; returns it as it was. The open one, if none is named."""
        found = self._find_open(emergency)
        self._write(ENDED, {"id": found.id, "reason": _ask("the reason", reason), "author": self.author})
        return found

    def review(self, emergency: str, text: str) -> None:
        """Record what was learnt; ``NotAllowed`` while it is open."""
        found = self._find(emergency)
        if found.is_open(self.clock.now()):
            raise NotAllowed(f"{found.id} is still open: end it first (emergency end {found.id})", found.until)
        if found.reviewed is not None:
            raise NotAllowed(f"{found.id} was reviewed by {found.reviewed.author} already")
        self._write(REVIEWED, {"id": found.id, "text": _ask("the review", text), "author": self.author})

    def list_accounts(self) -> tuple[Account, ...]:
        """Every emergency, oldest first."""
        return tuple(self._draw_up(one) for one in self.read_book().emergencies.values())

    def list_debts(self) -> tuple[str, ...]:
        """What emergencies still owe, in words."""
        return tuple(f"{one.emergency.id}: {debt.what}" for one in self.list_accounts() for debt in one.debts)

    def read_book(self) -> EmergencyBook:
        """All that was recorded of emergencies."""
        return EmergencyBook().add(self.ledger.read(""))

    def find_open(self, component: Component) -> Emergency | None:
        """The one that allows something for the component now."""
        return self.read_book().find_open(component, self.clock.now())

    def require_open(self, component: Component) -> Emergency:
        """That one; ``NotAllowed`` says how to get one."""
        found = self.find_open(component)
        if found is None:
            raise NotAllowed(f"no emergency is open for {component}: declare one (emergency declare {component})")
        return found

    def require_rules(self) -> EmergencyRules:
        """What an emergency may be; ``NotAllowed`` where there are none."""
        if self.policy.emergency is None:
            raise NotAllowed("the policy has no [emergency]: windows and promises are passed over by nobody")
        return self.policy.emergency

    # ------------------------------------------------------------------ inside

    def _refuse_second(self, component: Component) -> None:
        known = self.find_open(component)
        if known is not None:
            raise NotAllowed(f"emergency {known.id} is open for {component}: end it first", known.until)

    def _find(self, emergency: str) -> Emergency:
        book = self.read_book().emergencies
        if emergency not in book:
            raise NotAllowed(f"there is no emergency {emergency}; the latest are: {', '.join([*book][-5:]) or 'none'}")
        return book[emergency]

    def _find_open(self, emergency: str | None) -> Emergency:
        now = self.clock.now()
        if emergency is None:
            open_ones = [one for one in self.read_book().emergencies.values() if one.is_open(now)]
            if len(open_ones) != 1:
                known = ", ".join(one.id for one in open_ones)
                raise NotAllowed(f"say which one: {known}" if known else "no emergency is open")
            return open_ones[0]
        found = self._find(emergency)
        if not found.is_open(now):
            raise NotAllowed(f"{found.id} is not open any more: it is {found.state(now)}")
        return found

    def _draw_up(self, one: Emergency) -> Account:
        now, rules = self.clock.now(), self.policy.emergency or EmergencyRules()
        rollouts = group_by_rollout(self.ledger.read()).values()
        told = ((fold_progress(entries), NoticeBook().add(entries)) for entries in rollouts)
        return Account(one, one.state(now), list_debts(one, told, now, rules))

    def _write(self, name: str, data: Mapping[str, object]) -> None:
        self.ledger.append(Draft(Kind.COMMAND, name, data=data))


def _ask(what: str, text: str) -> str:
    """On one line: customers read it, in mails and on the status page."""
    line = render_line(text)
    if not line:
        raise NotAllowed(f"{what} is empty: say it in a sentence that others can judge")
    return line
