"""Who must be told what, and when: rounds from a plan and its windows, and the notices that are due. Pure."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from zlh_hooks.domain.emergency import Emergency, EmergencyBook
from zlh_hooks.domain.notice import OPERATOR, Return, Round, Stage
from zlh_hooks.domain.notice_book import NoticeBook
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.progress import Progress, TargetProgress
from zlh_hooks.domain.steps import ON_NEW_ROOT, RolloutState, TargetState
from zlh_hooks.domain.window import Decision, decide
from zlh_hooks.domain.window_rule import Component

_OPEN = (TargetState.PENDING, TargetState.STAGED)
_IN_WORK = (TargetState.APPLYING, TargetState.PROVING, TargetState.REVERTING)


class Outcome(StrEnum):
    """How a round ended for a customer."""

    UPDATED = "updated"
    TAKEN_BACK = "taken back"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Due:
    """A notice that must go out now. ``lead`` of a reminder; ``outcome`` of a round that is finished or taken back, and
    then ``back``: when that was.
    """

    customer: str
    stage: Stage
    round: Round
    lead: timedelta | None = None
    outcome: Outcome | None = None
    back: Return | None = None

    def id_in(self, change: str) -> str:
        """The notice's name, the same after a crash; letters, digits and hyphens."""
        customer = hashlib.sha256(self.customer.encode()).hexdigest()[:8]
        more = [f"{self.lead.total_seconds():.0f}"] if self.lead else []
        more += [self.outcome.replace(" ", "-")] if self.outcome else []
        return "-".join([change, str(self.round.number), str(self.round.sequence), self.stage, *more, customer])


# ------------------------------------------------------------------ rounds


@dataclass(frozen=True, slots=True)
class RoundPlanner:
    """Finds windows for rounds. ``promise``: the lead time; ``needs``: what one guest takes, its way back included;
    ``security``: freezes that spare security fixes do not count; an open one of ``emergencies`` takes their place.
    """

    policy: Policy
    component: Component
    promise: timedelta
    needs: timedelta
    security: bool = False
    emergencies: EmergencyBook = field(default_factory=EmergencyBook)

    def plan_rounds(
        self, progress: Progress, book: NoticeBook, owners: Mapping[int, str], now: datetime
    ) -> tuple[Round, ...]:
        """Rounds that are new or not as they were. Empty while all stands, until it is known which guests can be
        changed at all (nobody is told of what will not happen), and when the policy has no window.
        """
        if not _is_announceable(progress):
            return ()
        waiting = [row.target.vmid for row in progress.targets if row.state is TargetState.STAGED]
        owners = _keep_promises(book, owners, waiting)
        homes = {vmid: book.round_of(vmid) for vmid in waiting}
        moves, kept, departed = list[_Move](), set[int](), dict[int, Round]()
        for known in book.rounds.values():
            mine = [vmid for vmid in waiting if homes[vmid] is known]
            leaving = [vmid for vmid in mine if self._leaves(vmid, known, owners, book, now)]
            if (
                mine
                and leaving == mine
                and self._moves(known, mine, owners, book, now)
                and not _has_begun(progress, known)
            ):
                moves.append(_Move(known.number, known.sequence + 1, mine, book.wish_of(mine[0]), known.follows))
                kept |= set(mine)
                continue
            kept |= set(mine) - set(leaving)
            departed |= dict.fromkeys(leaving, known)
        unplaced = [vmid for vmid in sorted(waiting) if vmid not in kept]
        made = [self._make(move, owners, now) for move in (*moves, *_split(unplaced, departed, owners, book))]
        return (*(one for one in made if one), *_trim(book, homes, departed)) if all(made) else ()

    def _leaves(self, vmid: int, known: Round, owners: Mapping[int, str], book: NoticeBook, now: datetime) -> bool:
        """Whether the round is not the guest's any more: over, sold, or another date was asked for or given up."""
        is_other = known.of(vmid) != owners[vmid] or book.wish_of(vmid) != known.deferred_until
        return is_other or self._is_over(known, now)

    def _moves(
        self, known: Round, mine: Sequence[int], owners: Mapping[int, str], book: NoticeBook, now: datetime
    ) -> bool:
        """Whether all who leave go to the same date: then the round itself moves, and keeps its number."""
        is_one_date = len({book.wish_of(vmid) for vmid in mine}) == 1
        is_sold = any(known.of(vmid) != owners[vmid] for vmid in mine)
        return is_one_date and (self._is_over(known, now) or not is_sold)

    def _is_over(self, known: Round, now: datetime) -> bool:
        """Whether it is not the guests' date any more: it has passed, or the policy does not have it any more, or an
        emergency brings it forward, or that emergency is over and the promise counts again.
        """
        emergency = self._find_open(now)
        if known.emergency:
            return emergency is None or known.emergency != emergency.id
        is_early = emergency is not None and now < known.start
        return is_early or now >= known.end or not self._is_in_policy(known)

    def _find_open(self, at: datetime) -> Emergency | None:
        return self.emergencies.find_open(self.component, at)

    def _is_in_policy(self, known: Round) -> bool:
        return self._decide(known.start, timedelta(0)).allowed

    def _decide(self, when: datetime, needs: timedelta) -> Decision:
        return decide(self.policy, self.component, when, needs, security=self.security)

    def _make(self, move: "_Move", owners: Mapping[int, str], now: datetime) -> Round | None:
        guests = _group(move.vmids, owners)
        emergency = self._find_open(now)
        if emergency is not None:
            at_once = _make_at_once(move.number, move.sequence, guests, emergency, now, now)
            return replace(at_once, deferred_until=move.until, follows=move.follows)
        lead = self.promise if set(guests) - {OPERATOR} else timedelta(0)
        earliest = max(now + lead, move.until or now)
        decision = self._decide(earliest, self.needs)
        if decision.window is None:
            return None
        start = earliest if decision.allowed else decision.until or earliest
        end, number, sequence = decision.window.end, move.number, move.sequence
        return Round(number, sequence, start, end, lead, guests, now, deferred_until=move.until, follows=move.follows)

    def plan_late_rounds(
        self, progress: Progress, book: NoticeBook, owners: Mapping[int, str], now: datetime
    ) -> tuple[Round, ...]:
        """Rounds for guests that an emergency let begin before they had one: their owners are told afterwards."""
        strays = [(row, self._find_open(row.felt_at)) for row in progress.targets if row.felt_at is not None]
        begun = {row.target.vmid: one for row, one in strays if one and is_astray(row, book)}
        owners = _keep_promises(book, owners, list(begun))
        trimmed = [replace(of, guests=_without(of, list(begun))) for of in book.rounds.values()]
        changed = [one for one in trimmed if one.guests != book.rounds[one.number].guests]
        number = max(book.rounds, default=0)
        found = {one.id: one for one in begun.values()}.values()
        return (
            *changed,
            *(self._make_late(number + n, one, begun, owners, progress, now) for n, one in enumerate(found, 1)),
        )

    def _make_late(
        self,
        number: int,
        emergency: Emergency,
        begun: Mapping[int, Emergency],
        owners: Mapping[int, str],
        progress: Progress,
        now: datetime,
    ) -> Round:
        vmids = [vmid for vmid, one in begun.items() if one.id == emergency.id]
        first = min(began for vmid in vmids if (began := progress.of(vmid).felt_at) is not None)
        return _make_at_once(number, 0, _group(vmids, owners), emergency, first, now)


def _trim(book: NoticeBook, homes: Mapping[int, Round | None], departed: Mapping[int, Round]) -> Iterator[Round]:
    """Rounds without guests that have another one. They are written last: a guest in two belongs to the later one."""
    for known in book.rounds.values():
        others = [vmid for vmid, home in homes.items() if home is not known or vmid in departed]
        kept = _without(known, others)
        if kept != known.guests:
            yield replace(known, guests=kept)


@dataclass(frozen=True, slots=True)
class _Move:
    """Guests that get a date together; ``until``: not before, if they are deferred."""

    number: int
    sequence: int
    vmids: Sequence[int]
    until: datetime | None = None
    follows: int = 0


def _split(
    vmids: Sequence[int], departed: Mapping[int, Round], owners: Mapping[int, str], book: NoticeBook
) -> Iterator[_Move]:
    """A round for each customer and date that was asked for, or given up again; one for all others.

    ``departed``: guest to the round that it leaves. Where all of a customer's leave, one takes its event over.
    """
    followed = set[tuple[int, str]]()
    groups = _group_departed(vmids, departed, owners, book)
    for number, ((origin, owner, wish), mine) in enumerate(groups.items(), max(book.rounds, default=0) + 1):
        if not origin:
            yield _Move(number, 0, mine, wish)
            continue
        of = book.rounds[origin]
        is_event_free = departed.keys() >= set(of.guests[owner]) and (origin, owner) not in followed
        followed.add((origin, owner))
        yield _Move(number, of.sequence + 1, mine, wish, of.event_number if is_event_free else 0)


def _group_departed(
    vmids: Sequence[int], departed: Mapping[int, Round], owners: Mapping[int, str], book: NoticeBook
) -> Mapping[tuple[int, str, datetime | None], list[int]]:
    """By round, customer and date for whom a date was asked for or given up; the first two are empty for others."""
    groups: dict[tuple[int, str, datetime | None], list[int]] = {}
    for vmid in vmids:
        of, owner, wish = departed.get(vmid), owners[vmid], book.wish_of(vmid)
        is_asked = of is not None and of.of(vmid) == owner and wish != of.deferred_until
        origin = (of.number, owner) if of is not None and is_asked else (0, "")
        groups.setdefault((*origin, wish), []).append(vmid)
    return groups


def _make_at_once(
    number: int,
    sequence: int,
    guests: Mapping[str, tuple[int, ...]],
    emergency: Emergency,
    start: datetime,
    now: datetime,
) -> Round:
    lead = timedelta(0)
    return Round(number, sequence, start, emergency.until, lead, guests, now, emergency.id, emergency.reason)


def _group(vmids: Sequence[int], owners: Mapping[int, str]) -> dict[str, tuple[int, ...]]:
    guests: dict[str, tuple[int, ...]] = {}
    for vmid in sorted(vmids):
        guests[owners[vmid]] = (*guests.get(owners[vmid], ()), vmid)
    return guests


def is_astray(row: TargetProgress, book: NoticeBook) -> bool:
    """Whether the guest was begun outside the round that it was told of."""
    mine = book.round_of(row.target.vmid)
    return row.felt_at is not None and (mine is None or not mine.start <= row.felt_at < mine.end)


def _keep_promises(book: NoticeBook, owners: Mapping[int, str], waiting: Sequence[int]) -> dict[int, str]:
    """Everybody's owner. Who is missing from the directory, perhaps by mistake, keeps what was promised."""
    known = {vmid: book.round_of(vmid) for vmid in waiting}
    before = {vmid: of.of(vmid) for vmid, of in known.items() if of is not None}
    return {vmid: owners.get(vmid) or before.get(vmid) or OPERATOR for vmid in waiting}


def _is_announceable(progress: Progress) -> bool:
    if progress.has_ended or progress.state is RolloutState.REVERTING:
        return False
    return not progress.count(TargetState.PENDING)


def _without(known: Round, vmids: Sequence[int]) -> dict[str, tuple[int, ...]]:
    kept = {customer: tuple(v for v in mine if v not in vmids) for customer, mine in known.guests.items()}
    return {customer: mine for customer, mine in kept.items() if mine}


def _has_begun(progress: Progress, known: Round) -> bool:
    return any(row.felt_at is not None for row in progress.targets if known.of(row.target.vmid) is not None)


# ----------------------------------------------------------------- notices


def list_due(progress: Progress, book: NoticeBook, leads: Sequence[timedelta], now: datetime) -> list[Due]:
    """Every notice that should have gone out by now, sent or not. ``leads``: the ladder, longest first."""
    begun = {delivery.notice for delivery in book.deliveries.values()}
    return [
        due
        for known in book.rounds.values()
        for customer, vmids in known.guests.items()
        for due in _list_for(
            _Share(progress, customer, known, [progress.of(vmid) for vmid in vmids], begun), leads, now
        )
    ]


@dataclass(frozen=True, slots=True)
class _Share:
    """What one customer has in a round. ``begun``: the names of all notices whose sending was ever begun."""

    progress: Progress
    customer: str
    known: Round
    rows: Sequence[TargetProgress]
    begun: Set[str]

    def finish(self, outcome: Outcome) -> Due:
        """The notice of the end."""
        return Due(self.customer, Stage.FINISHED, self.known, outcome=outcome)

    def has_read_of_end(self, *outcomes: Outcome) -> bool:
        """Whether the customer was told that the maintenance is over, with one of these outcomes."""
        return any(self.finish(outcome).id_in(self.progress.plan.id) in self.begun for outcome in outcomes)


def _list_for(share: _Share, leads: Sequence[timedelta], now: datetime) -> Iterator[Due]:
    progress, customer, known, rows = share.progress, share.customer, share.known, share.rows
    has_begun = any(row.felt_at is not None for row in rows)
    is_over = progress.has_ended or all(row.state not in (*_OPEN, *_IN_WORK) for row in rows)
    if has_begun:
        yield from _list_of_begun(share, is_over, now)
    elif is_over:
        yield Due(customer, Stage.CANCELLED, known)
    else:
        yield Due(customer, Stage.MOVED if known.sequence else Stage.ANNOUNCED, known)
        passed = [lead for lead in leads[1:] if known.made <= known.start - lead <= now < known.start]
        if passed:
            yield Due(customer, Stage.REMINDER, known, lead=passed[-1])


def _list_of_begun(share: _Share, is_over: bool, now: datetime) -> Iterator[Due]:
    """What was finished and goes back later neither overruns nor finishes: it is taken back, and that is told once."""
    customer, known, rows = share.customer, share.known, share.rows
    yield Due(customer, Stage.STARTED, known)
    returning = _list_returning(share)
    if returning:
        yield from _list_of_returned(share, returning)
    elif is_over:
        yield share.finish(_sum_up(rows))
    elif now >= known.end and any(row.state in _IN_WORK for row in rows) and not share.has_read_of_end(*Outcome):
        yield Due(customer, Stage.OVERRUN, known)


def _list_returning(share: _Share) -> list[TargetProgress]:
    """Guests that went or go back after the customer read, or was to read, that they run the new version."""
    if share.has_read_of_end(Outcome.UPDATED):
        return [row for row in share.rows if row.back_began_at is not None]
    return list_returning(share.progress, share.rows)


def list_returning(progress: Progress, rows: Sequence[TargetProgress]) -> list[TargetProgress]:
    """Those that went or go back after the rollout had ended."""
    since = progress.reopened_at
    return [row for row in rows if since and row.back_began_at is not None and row.back_began_at >= since]


def _list_of_returned(share: _Share, returning: Sequence[TargetProgress]) -> Iterator[Due]:
    back = find_return(share.progress, share.rows, returning)
    if back is not None:
        mine = replace(share.known, guests={share.customer: back.guests})
        yield Due(share.customer, Stage.TAKEN_BACK, mine, outcome=_sum_up(returning), back=back)


def find_return(
    progress: Progress, rows: Sequence[TargetProgress], returning: Sequence[TargetProgress]
) -> Return | None:
    """When those of ``rows`` that are ``returning`` went back; None before the last of them has."""
    if not progress.has_ended and any(row.state in ON_NEW_ROOT for row in rows):
        return None
    began = [row.back_began_at for row in returning if row.back_began_at is not None]
    ended = [row.back_ended_at for row in returning if row.back_ended_at is not None]
    guests = tuple(row.target.vmid for row in returning)
    return Return(min(began), max(ended), guests) if began and ended else None


def _sum_up(rows: Sequence[TargetProgress]) -> Outcome:
    states = {row.state for row in rows if row.felt_at is not None}
    if states <= {TargetState.HEALTHY, TargetState.SETTLED}:
        return Outcome.UPDATED
    unclear = states & {*_IN_WORK, TargetState.STUCK}
    return Outcome.UNDECIDED if unclear else Outcome.TAKEN_BACK
