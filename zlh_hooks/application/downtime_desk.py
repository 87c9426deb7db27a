"""The downtime of a month, guest by guest, from all who know of outages; and people's corrections."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from zlh_hooks.application.ports import Clock, CustomerDirectory, Inventory, OutageSource
from zlh_hooks.domain.announcement import ANNOUNCED, Announcement, describe_announcement
from zlh_hooks.domain.availability_rules import AvailabilityRules
from zlh_hooks.domain.downtime import Account, sort_out
from zlh_hooks.domain.duration import render_duration
from zlh_hooks.domain.entry import Draft, Entry, Kind
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.life import Life, LifeBook
from zlh_hooks.domain.month import Month
from zlh_hooks.domain.notice import OPERATOR, Customer
from zlh_hooks.domain.outage import Gap, KnownGuest, Outage
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.rollout_outage import SAID_TO_RUN, fold_guest_logs
from zlh_hooks.domain.span import Span, intersect
from zlh_hooks.domain.window import decide
from zlh_hooks.domain.windowed_outage import place_in_windows

Piece = TypeVar("Piece", Outage, Gap)
NOBODY = Customer(OPERATOR, "", frozenset())


def require_rules(policy: Policy) -> AvailabilityRules:
    """What is promised; ``NotAllowed`` if the policy says nothing of it."""
    if policy.availability is None:
        raise NotAllowed("the policy has no [availability]: nothing is promised, so nothing is reckoned")
    return policy.availability


@dataclass(frozen=True, slots=True)
class Report:
    """A month as it was, or so far. ``within``: what of it is over; ``is_over``: whether that is all of it."""

    month: Month
    within: Span
    is_over: bool
    accounts: tuple[Account, ...]

    def list_gaps(self) -> tuple[tuple[Span, str, int], ...]:
        """When nobody knows how guests were, why, and how many guests that concerns."""
        concerned: dict[tuple[Span, str], int] = defaultdict(int)
        for account in self.accounts:
            for gap in account.gaps:
                concerned[gap.span, gap.cause] += 1
        return tuple((span, cause, guests) for (span, cause), guests in sorted(concerned.items()))


@dataclass(frozen=True, slots=True)
class DowntimeDesk:
    """Reckons. ``sources`` are opened with the whole ledger; ``author`` is recorded with each correction."""

    read_entries: Callable[[], Sequence[Entry]]
    append: Callable[[Draft], object]
    clock: Clock
    policy: Policy
    inventory: Inventory
    directory: CustomerDirectory
    open_sources: Callable[[Sequence[Entry]], Sequence[OutageSource]]
    author: str

    def report(self, month: Month) -> Report:
        """The month, up to now if it is not over; ``NotAllowed`` if it has not begun."""
        rules, now = require_rules(self.policy), self.clock.now()
        whole = month.span_in(self.policy.time_zone)
        if now <= whole.begin:
            raise NotAllowed(f"{month} has not begun: there is nothing to reckon", whole.begin)
        within = Span(whole.begin, min(whole.end, now))
        entries = self.read_entries()
        book = LifeBook().add(entries)
        customers = self.directory.list_customers()
        guests = self._list_guests(book, customers)
        sources = self.open_sources(entries)
        known = (piece for one in sources for piece in one.list_outages(guests, within))
        outages = _by_guest(place_in_windows(known, self.policy))
        gaps = _by_guest(piece for one in sources for piece in one.list_gaps(guests, within))
        owners = {vmid: customer for customer in customers for vmid in customer.guests}
        accounts = (
            _draw_up(
                owners.get(one.vmid, NOBODY),
                one,
                book.lives.get(one.vmid, Life()),
                within,
                (outages[one.vmid], gaps[one.vmid]),
                rules,
            )
            for one in guests
        )
        found = sorted(filter(None, accounts), key=lambda one: (one.customer.id, one.guest.vmid))
        return Report(month, within, now >= whole.end, tuple(found))

    def _list_guests(self, book: LifeBook, customers: Iterable[Customer]) -> tuple[KnownGuest, ...]:
        """Everybody's that is there, that the directory names, or that a rollout once had to do with."""
        listed = {one.vmid: one for one in self.inventory.list_guests() if not one.template}
        named = {vmid for customer in customers for vmid in customer.guests} | set(book.names)
        named |= {vmid for vmid, one in listed.items() if self.policy.kind_of(vmid, one.tags) is not None}
        guests = []
        for vmid in sorted(named):
            here = listed.get(vmid)
            kind = self.policy.kind_of(vmid, here.tags if here else ())
            name = here.name if here else book.names.get(vmid, "")
            node = here.ref.node if here else book.nodes.get(vmid)
            guests.append(KnownGuest(vmid, name, node, kind[0] if kind else None, kind[1].line if kind else None))
        return tuple(guests)

    def propose(self, point: str, begin: datetime, end: datetime, told: datetime, *, security: bool) -> Announcement:
        """Work by hand on a watched point of which customers have been told, to be recorded before it begins.

        ``NotAllowed`` if it lies in no window of its component, has begun, or was told too late.
        """
        watch, now = require_rules(self.policy).watch, self.clock.now()
        known = watch.points if watch else {}
        if point not in known:
            raise NotAllowed(f"{point} is no point of [availability.watch]; there are: {', '.join(known) or 'none'}")
        if not now < begin < end:
            raise NotAllowed("what is announced must lie ahead, and end after it begins; what has begun is unplanned")
        decision = decide(self.policy, known[point].component, begin, end - begin, security=security)
        if not decision.allowed:
            raise NotAllowed(f"from {_render(begin)} to {_render(end)}: {decision.rule}", decision.until)
        notices = self.policy.notices
        lead = notices.ladder_for(end - begin).promise if notices else timedelta(0)
        if told > now or told + lead > begin:
            rule = (
                f"customers are told {render_duration(lead)} before: told {_render(told)}, it begins {_render(begin)}"
            )
            raise NotAllowed(rule, told + lead)
        return Announcement(point, begin, end, told, lead)

    def announce(self, proposed: Announcement, reason: str) -> None:
        """Record a person's word that customers were told of it."""
        data = describe_announcement(proposed) | {"reason": reason, "author": self.author}
        self.append(Draft(Kind.COMMAND, ANNOUNCED, data=data))

    def note_ended(self, vmid: int, at: datetime, reason: str) -> None:
        """A person's word that a guest whose outage is open can be used again, since ``at``."""
        log, now = fold_guest_logs(self.read_entries()).get(vmid), self.clock.now()
        since = log.find_unresolved(now) if log else None
        if since is None:
            raise NotAllowed(f"guest {vmid} is in no outage that a rollout began and nothing has ended")
        if not since < at <= now:
            rule = f"guest {vmid} has been down since {_render(since)}: say a time after that, and not after now"
            raise NotAllowed(rule)
        data = {"at": at.isoformat(), "reason": reason, "author": self.author}
        self.append(Draft(Kind.COMMAND, SAID_TO_RUN, target=vmid, data=data))


def _render(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"


def _by_guest(pieces: Iterable[Piece]) -> Mapping[int, list[Piece]]:
    found: dict[int, list[Piece]] = defaultdict(list)
    for piece in pieces:
        found[piece.vmid].append(piece)
    return found


def _draw_up(
    customer: Customer,
    guest: KnownGuest,
    life: Life,
    within: Span,
    known: tuple[Sequence[Outage], Sequence[Gap]],
    rules: AvailabilityRules,
) -> Account | None:
    """None for a guest that did not exist in that time."""
    lived = life.within(within)
    if not lived:
        return None
    outages = tuple(one for one in known[0] if intersect([one.span], lived))
    gaps = tuple(one for one in known[1] if intersect([one.span], lived))
    downtime = sort_out(lived[0], outages, gaps)
    notes = (*life.describe(within), *_describe_open(outages))
    return Account(customer, guest, lived[0], downtime, outages, gaps, rules, notes)


def _describe_open(outages: Sequence[Outage]) -> Iterator[str]:
    yield from (f"not ended: {one.cause}, since {_render(one.span.begin)}" for one in outages if one.is_open)
