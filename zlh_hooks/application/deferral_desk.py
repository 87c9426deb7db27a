"""Where dates are moved: by an operator, or by a customer with a link. Verify, offer, take; each says no with a reason.

A page behind any web server needs no more than this: it passes the token on, and shows what is answered.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from zlh_hooks.application.desk import find_executing, list_progress
from zlh_hooks.application.ports import Clock, Ledger
from zlh_hooks.domain import tag
from zlh_hooks.domain.deferral import CANCELLED, TAKEN, Deferral, Offer, Room, Wish, describe_deferral, find_latest
from zlh_hooks.domain.deferral_case import Case
from zlh_hooks.domain.deferral_debt import Overdue, list_overdue
from zlh_hooks.domain.deferral_link import LinkMaker, Ticket
from zlh_hooks.domain.emergency import EmergencyBook
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.errors import NotAllowed, RoadError, SettingsError
from zlh_hooks.domain.guest import GuestSummary
from zlh_hooks.domain.notice_book import NoticeBook
from zlh_hooks.domain.plain_text import render_line
from zlh_hooks.domain.plan import PlannedTarget, parse_plan
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.progress import Progress, fold_progress, group_by_rollout
from zlh_hooks.domain.steps import TargetState
from zlh_hooks.domain.window_rule import Component

_LONGEST_REASON = 300
_SUPERSEDED = "a newer notice has taken the place of the one with this link: use the link of the newest one"


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody, ``author``, wants another date for guests of a rollout. ``link``: the ticket's id, if there is one.

    ``guests``: number to name.
    """

    rollout: str
    guests: Mapping[int, str]
    author: str
    link: str = ""

    @property
    def vmids(self) -> tuple[int, ...]:
        """The guests' numbers."""
        return tuple(self.guests)


@dataclass(frozen=True, slots=True)
class Standing:
    """A deferral and how its guest stands. ``first``: the date announced first; ``latest``: the cap from there on."""

    rollout: str
    target: PlannedTarget
    deferral: Deferral
    first: datetime
    latest: datetime
    state: TargetState
    is_overdue: bool


@dataclass(frozen=True, slots=True)
class DeferralDesk:
    """Moves dates. ``author`` is recorded for whoever comes without a link; ``open_links``: None if nobody has one.

    ``list_guests`` asks the cluster; only what is overdue depends on it.
    """

    ledger: Ledger
    clock: Clock
    policy: Policy
    list_guests: Callable[[], Sequence[GuestSummary]]
    open_links: Callable[[], LinkMaker | None]
    author: str

    # --------------------------------------------------------- who wants what

    def ask(self, vmid: int) -> Request:
        """An operator's request for one guest of the rollout that runs; ``NotAllowed`` if it is in none."""
        running = find_executing(list_progress(self.ledger))
        if running is None:
            raise NotAllowed("no rollout runs: there is no announced date to move")
        names = {target.vmid: target.name for target in running.plan.targets}
        if vmid not in names:
            raise NotAllowed(
                f"guest {vmid} is not in {running.plan.id}, which runs: there is no announced date to move"
            )
        return Request(running.plan.id, {vmid: names[vmid]}, self.author)

    def verify(self, token: str, vmid: int | None = None) -> Request:
        """What a token, or the whole link, lets its customer ask for; ``NotAllowed`` says what is wrong with it.

        ``vmid``: only this one of its guests.
        """
        links = self.open_links()
        if links is None:
            raise NotAllowed("no links are made here ([deferral] in zlh-hooks.toml): please write to us instead")
        ticket = links.read_token(token, self.clock.now())
        if vmid is not None and vmid not in ticket.vmids:
            raise NotAllowed(f"this link is for other servers, not for {vmid}")
        entries = self.ledger.read(ticket.rollout)
        if not entries:
            raise NotAllowed(f"there is no maintenance {ticket.rollout} any more")
        book = NoticeBook().add(entries)
        names = {target.vmid: target.name for target in parse_plan(entries[0].data).targets}
        asked = [one for one in ticket.vmids if vmid in (None, one) and one in names]
        mine = {one: names[one] for one in asked if _is_valid(ticket, book, one)}
        request = Request(ticket.rollout, mine, f"customer {ticket.customer}", ticket.id)
        if not mine:
            self._open(request, tuple(asked)).refuse_past()
            raise NotAllowed(_SUPERSEDED)
        return request

    # ------------------------------------------------------------- offer, take

    def offer(self, request: Request) -> Room:
        """The dates that can be had; ``NotAllowed`` says why there is none."""
        case = self._open(request)
        _refuse_used(request, case, None)
        return case.find_room()

    def take(self, request: Request, wish: Wish, reason: str = "") -> tuple[Deferral, ...]:
        """Move the guests to the date. The same again changes nothing."""
        case = self._open(request)
        _refuse_used(request, case, wish)
        taken = {vmid: known for vmid in request.vmids if (known := case.find_taken(vmid, wish))}
        rest = tuple(vmid for vmid in request.vmids if vmid not in taken)
        if rest:
            offer = self._open(request, rest).choose(wish)
            taken |= {vmid: self._write(request, vmid, offer, reason) for vmid in rest}
        return tuple(taken[vmid] for vmid in request.vmids)

    def cancel(self, vmid: int, reason: str = "") -> Request:
        """The guest gets the next date that keeps the promise to its owner; returns what was given up."""
        request = self.ask(vmid)
        self._open(request).refuse_cancel(vmid)
        data = {"author": self.author, "reason": _shorten(reason)}
        self.ledger.append(Draft(Kind.COMMAND, CANCELLED, request.rollout, vmid, data))
        return request

    def _open(self, request: Request, vmids: tuple[int, ...] = ()) -> Case:
        now, entries = self.clock.now(), self.ledger.read(request.rollout)
        emergency = EmergencyBook().add(self.ledger.read("")).find_open(Component.TEMPLATE, now)
        book = NoticeBook().add(entries)
        return Case(vmids or request.vmids, fold_progress(entries), book, self.policy, emergency, now)

    def _write(self, request: Request, vmid: int, offer: Offer, reason: str) -> Deferral:
        wanted = Deferral(vmid, offer.start, request.author, self.clock.now(), request.link, _shorten(reason))
        self.ledger.append(Draft(Kind.COMMAND, TAKEN, request.rollout, vmid, describe_deferral(wanted)))
        return wanted

    # --------------------------------------------------------------- looking on

    def list_standings(self) -> tuple[Standing, ...]:
        """Deferrals of rollouts that run, and all that are overdue."""
        overdue = {(one.rollout, one.vmid) for one in self.list_overdue()}
        found = (
            one for progress, book in self._list_rollouts() for one in self._list_deferred(progress, book, overdue)
        )
        return tuple(found)

    def _list_deferred(self, progress: Progress, book: NoticeBook, overdue: set[tuple[str, int]]) -> Iterator[Standing]:
        plan = progress.plan
        for row in progress.targets:
            deferral, is_overdue = book.deferrals.get(row.target.vmid), (plan.id, row.target.vmid) in overdue
            if deferral is not None and (is_overdue or not progress.has_ended):
                first = book.first_dates[row.target.vmid]
                latest = find_latest(first, plan.deferral_limit, self.policy.time_zone)
                yield Standing(plan.id, row.target, deferral, first, latest, row.state, is_overdue)

    def list_overdue(self) -> tuple[Overdue, ...]:
        """Guests whose cap has passed and that still run the old version."""
        found = [(progress, book) for progress, book in self._list_rollouts() if book.deferrals]
        if not found:
            return ()
        running, now, zone = self._read_versions(), self.clock.now(), self.policy.time_zone
        return tuple(one for known in found for one in list_overdue(*known, zone, now, running))

    def _list_rollouts(self) -> Iterator[tuple[Progress, NoticeBook]]:
        for entries in group_by_rollout(self.ledger.read()).values():
            yield fold_progress(entries), NoticeBook().add(entries)

    def _read_versions(self) -> Mapping[int, str | None] | None:
        """As the cluster has them; None while it does not answer."""
        try:
            return {guest.vmid: tag.value_of(tag.VERSION, guest.tags) for guest in self.list_guests()}
        except (RoadError, SettingsError):
            return None


def _is_valid(ticket: Ticket, book: NoticeBook, vmid: int) -> bool:
    """Whether the guest has the date that the ticket is for, or left it by this very ticket."""
    of, known = book.round_of(vmid), book.deferrals.get(vmid)
    is_present = of is not None and of.version == ticket.version and of.of(vmid) == ticket.customer
    return is_present or (known is not None and known.link == ticket.id)


def _refuse_used(request: Request, case: Case, wish: Wish | None) -> None:
    """A link moves a date once: the next notice has another one. Used again for the same date, nothing is wrong."""
    for vmid in request.vmids:
        known = case.book.deferrals.get(vmid)
        is_used = bool(request.link) and known is not None and known.link == request.link
        if is_used and known is not None and (wish is None or case.find_taken(vmid, wish) is None):
            moved = case.render(known.until)
            raise NotAllowed(f"by this link the date was moved to {moved} already; the newest notice has a new link")


def _shorten(reason: str) -> str:
    return render_line(reason, _LONGEST_REASON)
