"""What a notice says of other dates: how far they go, the next ones, and how to get one. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from zlh_hooks.domain.deferral import MOMENT, Room, find_room
from zlh_hooks.domain.deferral_link import LinkMaker, Ticket
from zlh_hooks.domain.deferral_rules import DeferralRules
from zlh_hooks.domain.notice import OPERATOR, Round, Stage, render_span
from zlh_hooks.domain.notice_book import NoticeBook
from zlh_hooks.domain.notice_plan import Due
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.wording import render_limits

SHOWN = 3
"""So many dates stand in a notice; the page behind the link, or a person, knows them all."""
_OFFERING = (Stage.ANNOUNCED, Stage.MOVED, Stage.REMINDER)
_NAMED = 5


@dataclass(frozen=True, slots=True)
class OtherDate:
    """What one customer may do about the date of a round. ``link`` is empty where there is none."""

    rules: DeferralRules | None
    security: bool
    room: Room | None
    link: str = ""


def find_other_date(
    due: Due, plan: Plan, book: NoticeBook, policy: Policy, needs: timedelta, links: LinkMaker | None, now: datetime
) -> OtherDate | None:
    """None where no date is offered: in an emergency, after the beginning, and to whoever runs the platform."""
    of = due.round
    if due.stage not in _OFFERING or of.emergency or due.customer == OPERATOR:
        return None
    if not plan.deferral_limit:
        return OtherDate(plan.deferral, plan.security, None)
    room = find_room_of(of, of.guests[due.customer], plan, book, policy, needs, now)
    expires = (of.start - MOMENT).replace(microsecond=0)
    if links is None or not room.offers or expires <= now:
        return OtherDate(plan.deferral, plan.security, room)
    ticket = Ticket(plan.id, due.customer, *of.version, of.guests[due.customer], expires)
    return OtherDate(plan.deferral, plan.security, room, links.make_link(ticket))


def find_room_of(
    of: Round, vmids: Sequence[int], plan: Plan, book: NoticeBook, policy: Policy, needs: timedelta, now: datetime
) -> Room:
    """Windows for these guests of a round, other than their own, that keep the promise and the cap."""
    firsts = [book.first_dates.get(vmid, of.start) for vmid in vmids]
    after = max(now + of.lead + MOMENT, *firsts)
    room = find_room(policy, firsts, plan.deferral_limit, after, needs, plan.security)
    others = tuple(offer for offer in room.offers if not offer.start <= of.start < offer.end)
    return Room(room.first, room.latest, others)


def render_other_date(
    other: OtherDate, names: Sequence[str], change: str, contact: str, zone: ZoneInfo
) -> Iterator[str]:
    """Lines for the notice."""
    rules, room = other.rules, other.room
    if rules is None or room is None:
        yield "This date cannot be moved" + (": it closes a security hole." if rules and rules.limit else ".")
        return
    yield f"A server may wait {render_limits(rules)}, counted from the date that was announced first;"
    latest = f"{room.latest.astimezone(zone):%a %d %b %Y, %H:%M %Z}"
    if not room.offers:
        yield f"here that is until {latest}, and no later window is left: this date cannot be moved any more."
        return
    yield f"here that is until {latest}. If this date suits you, do nothing. The next ones are:"
    yield from (f"  {render_span(offer, zone)}" for offer in room.offers[:SHOWN])
    if other.link:
        yield f"Choose one: {other.link}"
    if contact:
        yield f"{'Or write' if other.link else 'Write'} to us which one: {render_mail_link(contact, change, names)}"


def render_mail_link(contact: str, change: str, names: Sequence[str]) -> str:
    """A ``mailto`` whose subject names rollout and servers."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    subject = f"Another date for {change}: {', '.join(names[:_NAMED])}{more}"
    return f"mailto:{contact}?subject={quote(subject, safe='')}"


def describe_other_date(other: OtherDate | None) -> dict[str, Any] | None:
    """As JSON values, for programs; None where nothing can be moved."""
    if other is None or other.room is None:
        return None
    dates = [{"start": offer.start.isoformat(), "end": offer.end.isoformat()} for offer in other.room.offers]
    return {"latest": other.room.latest.isoformat(), "dates": dates, "link": other.link or None}
