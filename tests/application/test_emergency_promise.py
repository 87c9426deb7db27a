"""Whenever an emergency is declared, ended or expires: no guest begins outside of it but in a window that was promised.

The moments and the troubles are multiplied. Nobody is told twice, and who is touched in it was told by then, or is
shown as a debt. What counts is read from what the mail server accepted, and from the windows of the policy.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from tests.application.notice_bench import TellingBench
from tests.application.test_promise import Accepted, Story, died_idle
from zlh_hooks.application.emergency_board import EmergencyBoard
from zlh_hooks.domain.emergency import Emergency, EmergencyBook
from zlh_hooks.domain.errors import RoadError
from zlh_hooks.domain.progress import Progress
from zlh_hooks.domain.steps import RolloutState
from zlh_hooks.domain.window import decide
from zlh_hooks.domain.window_rule import Component

MINUTE = timedelta(minutes=1)
SOON = timedelta(seconds=15)
"""Between the gate and the first write a guest's baseline is proved; and a mail may take a moment."""


@dataclass
class Case:
    """A rollout, and what happens to emergencies meanwhile."""

    story: Story
    owed: list[tuple[int, bool]] = field(default_factory=list)
    """Guests that were touched a moment ago in an emergency, and whether a debt was shown for them then."""
    _looked_at: int = 0

    @property
    def bench(self) -> TellingBench:
        return self.story.bench

    def look(self, now: datetime) -> None:
        """A moment after each touch: who has not been told by then is a debt by then."""
        for vmid, touched, wall, address in self.story.touches[self._looked_at :]:
            if now < wall + SOON:
                return
            self._looked_at += 1
            if self.was_in_emergency(wall) and not self.was_told(vmid, touched, wall, address):
                self.owed.append((vmid, self._is_debt(vmid, str(address).partition("@")[0])))

    def _is_debt(self, vmid: int, customer: str) -> bool:
        accounts = self.bench.emergency_desk().list_accounts()
        owed = [debt.what for one in accounts for debt in one.debts if debt.kind == "notice"]
        return any(f"customer {customer} " in what or f"guest {vmid}," in what for what in owed)

    def was_in_emergency(self, wall: datetime) -> bool:
        """Whether one was open at the touch, or at the gate a moment before."""
        return any(one.declared_at <= wall < one.closes_at + SOON for one in self.emergencies())

    def emergencies(self) -> list[Emergency]:
        book = EmergencyBook().add(self.bench.ledger.read(""))
        return list(book.emergencies.values())

    def was_told(self, vmid: int, touched: float, wall: datetime, address: str | None) -> bool:
        """A moment after the touch at the latest, of this guest, and of a time at which the touch was."""
        return any(
            vmid in [guest["vmid"] for guest in facts["guests"]]  # type: ignore[index]
            and datetime.fromisoformat(facts["start"]) <= wall < datetime.fromisoformat(facts["end"])
            for at, to, _, facts in self.story.accepted.mails
            if to == address and at <= touched + SOON.total_seconds()
        )

    def assert_touched_rightly(self) -> None:
        for vmid, touched, wall, address in self.story.touches:
            if not self.was_in_emergency(wall):
                assert decide(self.bench.policy, Component.TEMPLATE, wall, timedelta(0)).allowed
                planned(self.story.accepted).assert_told_in_time(vmid, touched, wall, str(address))

    def end(self) -> Progress:
        return self.story.end()


def planned(accepted: Accepted) -> Accepted:
    """Without notices of emergencies: none of them keeps a promise."""
    mails = [mail for mail in accepted.mails if not mail[3]["emergency"]]
    return Accepted(accepted.bench, mails, accepted.bounced)


def open_case() -> Case:
    case = Case(Story.begin())
    case.bench.clock.on_sleep.append(lambda now: case.look(now))
    return case


# --- what happens


def declared(case: Case, after: timedelta) -> None:
    case.bench.later(after, case.bench.declare)


def declared_and_ended(case: Case, after: timedelta) -> None:
    case.bench.later(after, case.bench.declare)
    case.bench.later(after + timedelta(seconds=30), lambda: case.bench.emergency_desk().end(None, "enough"))


def declared_for_a_moment(case: Case, after: timedelta) -> None:
    case.bench.later(after, lambda: case.bench.declare(timedelta(seconds=45)))


def ended(case: Case, after: timedelta) -> None:
    case.bench.declare()
    case.bench.later(after, lambda: case.bench.emergency_desk().end(None, "enough"))


def expired(case: Case, after: timedelta) -> None:
    case.bench.declare(max(after, timedelta(seconds=1)))


def declared_twice(case: Case, after: timedelta) -> None:
    declared_for_a_moment(case, after)
    case.bench.later(after + 2 * MINUTE, case.bench.declare)


ACTS: tuple[Callable[[Case, timedelta], None], ...] = (
    declared,
    declared_and_ended,
    declared_for_a_moment,
    ended,
    expired,
    declared_twice,
)


def no_trouble(case: Case, after: timedelta) -> None:
    """All works."""


def mail_down(case: Case, after: timedelta) -> None:
    case.bench.later(after, lambda: case.bench.mail.answers.extend([RoadError("connection refused")] * 2))


def directory_down(case: Case, after: timedelta) -> None:
    case.bench.later(after, lambda: setattr(case.bench.directory, "broken", True))
    case.bench.later(after + 3 * MINUTE, lambda: setattr(case.bench.directory, "broken", False))


def worker_dies(case: Case, after: timedelta) -> None:
    def die() -> None:
        if case.bench.progress(case.story.plan).is_executing:
            died_idle(case.story)

    case.bench.later(after + timedelta(seconds=8), die)


TROUBLES: tuple[Callable[[Case, timedelta], None], ...] = (no_trouble, mail_down, directory_down, worker_dies)
SECONDS = (0, 30, 60, 75, 90, 120, 300, 605, 630, 660)
"""While it prepares, as it is announced, soon after, with its canary, between guests, before, at and in the window."""
SAMPLE = {
    (declared, no_trouble, 300),
    (declared_and_ended, no_trouble, 120),
    (declared_for_a_moment, mail_down, 300),
    (ended, no_trouble, 75),
    (expired, worker_dies, 90),
    (declared, directory_down, 120),
    (declared_twice, no_trouble, 605),
}
CASES = [
    pytest.param(
        *(act, trouble, at),
        id=f"{act.__name__}-{trouble.__name__}-{at}s",
        marks=() if (act, trouble, at) in SAMPLE else pytest.mark.matrix,
    )
    for act in ACTS
    for trouble in TROUBLES
    for at in SECONDS
]


@pytest.mark.parametrize(("act", "trouble", "seconds"), CASES)
def test_nobody_is_touched_but_in_an_emergency_or_as_promised_and_who_was_not_told_is_a_debt(
    act: Callable[[Case, timedelta], None], trouble: Callable[[Case, timedelta], None], seconds: int
) -> None:
    case = open_case()
    trouble(case, timedelta(seconds=seconds))
    act(case, timedelta(seconds=seconds))
    state = case.end().state
    for _ in range(20):
        case.bench.clock.sleep(SOON)
    case.story.watch(case.bench.clock.now())
    assert state is RolloutState.SUCCEEDED
    assert case.story.count_exchanged() == 4
    case.assert_touched_rightly()
    case.story.accepted.assert_nobody_heard_twice()
    assert all(is_debt for _, is_debt in case.owed)
    if trouble is no_trouble:
        assert case.owed == []
    assert all(debt.kind == "review" for one in case.bench.emergency_desk().list_accounts() for debt in one.debts)


def test_an_emergency_that_did_not_end_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_any(board: EmergencyBoard, component: Component, now: datetime) -> Emergency | None:
        return next(board.read().of(component), None)

    monkeypatch.setattr(EmergencyBoard, "find_open", find_any)
    case = open_case()
    declared_for_a_moment(case, timedelta(seconds=30))
    case.end()
    case.story.watch(case.bench.clock.now())
    with pytest.raises(AssertionError):
        case.assert_touched_rightly()


def test_a_debt_that_is_not_shown_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zlh_hooks.domain.emergency_debt.list_untold", lambda *_: ())
    case = open_case()
    directory_down(case, timedelta(0))
    declared(case, timedelta(0))
    case.end()
    case.bench.clock.sleep(SOON)
    assert (5001, False) in case.owed
