"""The words of a notice. Every figure in them is one that the engine keeps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from zlh_hooks.domain.deferral_link import LinkMaker
from zlh_hooks.domain.deferral_text import OtherDate, describe_other_date, render_other_date
from zlh_hooks.domain.duration import render_duration
from zlh_hooks.domain.notice import (
    OPERATOR,
    Bulletin,
    CalendarEvent,
    Customer,
    Message,
    Return,
    Round,
    Stage,
    render_span,
)
from zlh_hooks.domain.notice_plan import Due, Outcome
from zlh_hooks.domain.policy import Policy

_TITLES = {
    Stage.ANNOUNCED: "Planned maintenance on {start}",
    Stage.MOVED: "Maintenance moved to {start}",
    Stage.REMINDER: "Reminder: maintenance on {start}",
    Stage.STARTED: "Maintenance has begun",
    Stage.OVERRUN: "Maintenance takes longer than announced",
    Stage.FINISHED: "Maintenance is finished",
    Stage.CANCELLED: "Maintenance on {start} is cancelled",
    Stage.TAKEN_BACK: "Maintenance of {start} was taken back",
}
_EMERGENCY_TITLES = {
    Stage.ANNOUNCED: "Emergency maintenance now, until {end}",
    Stage.MOVED: "Emergency maintenance now, until {end}",
    Stage.REMINDER: "Reminder: emergency maintenance now, until {end}",
    Stage.STARTED: "Emergency maintenance has begun",
    Stage.OVERRUN: "Emergency maintenance takes longer than announced",
    Stage.FINISHED: "Emergency maintenance is finished",
    Stage.CANCELLED: "Emergency maintenance is cancelled",
    Stage.TAKEN_BACK: "Emergency maintenance of {start} was taken back",
}
_RESULTS = {
    Outcome.UPDATED: "Your servers run the new version and answer as before.",
    Outcome.TAKEN_BACK: "The new version did not prove itself: your servers run the one from before again, checked.",
    Outcome.UNDECIDED: "Not every server could be checked to the end; we are working on it and will write again.",
}
_RETURNS = {
    Outcome.TAKEN_BACK: "They have the version from before again. Your data stays as it is.",
    Outcome.UNDECIDED: _RESULTS[Outcome.UNDECIDED],
}


@dataclass(frozen=True, slots=True)
class Change:
    """What all notices of one change say alike. ``guests``: guest number to its name."""

    id: str
    component: str
    what: str
    impact: str
    interruption: timedelta
    guests: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Imprint:
    """Who writes. ``zone``: for customers who have not said theirs. Empty texts are left out.

    ``links``: by which customers choose another date; None: they write.
    """

    zone: str
    contact: str = ""
    status_url: str = ""
    links: LinkMaker | None = None


def make_imprint(policy: Policy, links: LinkMaker | None = None) -> Imprint:
    """Whoever the policy says writes to customers; ``links``: by which they choose another date."""
    contact = policy.contact
    words = (contact.mail, contact.status_page) if contact else ("", "")
    return Imprint(policy.time_zone, *words, links)


def render_message(
    due: Due, change: Change, customer: Customer, imprint: Imprint, now: datetime, other: OtherDate | None = None
) -> Message:
    """The notice for one customer, in the customer's own time zone and in UTC. ``other``: other dates."""
    zone = ZoneInfo(customer.time_zone or imprint.zone)
    names = [change.guests[vmid] for vmid in due.round.guests[customer.id]]
    lines = [
        f"Hello {customer.name}," if customer.name else "Hello,",
        "",
        *_open(due, zone),
        "",
        *_list_facts(due, change, names, zone),
        "",
        *_explain(due, customer),
        *(_offer(other, names, change, imprint, zone) if other else ()),
        *_sign(change, imprint),
    ]
    subject = f"[{change.id}] {_render_title(due, zone)}"
    facts = describe(due, change, names, other)
    return Message(due.id_in(change.id), subject, "\n".join(lines), facts, _event(due, change, now))


def _render_title(due: Due, zone: ZoneInfo) -> str:
    titles = _EMERGENCY_TITLES if due.round.emergency else _TITLES
    start, end = due.round.start.astimezone(zone), due.round.end.astimezone(zone)
    return titles[due.stage].format(start=f"{start:%a %d %b %Y, %H:%M %Z}", end=f"{end:%H:%M %Z}")


def _open(due: Due, zone: ZoneInfo) -> Iterator[str]:
    when = render_span(due.round, zone)
    if due.round.emergency and due.stage in (Stage.ANNOUNCED, Stage.MOVED, Stage.REMINDER, Stage.STARTED):
        yield from _open_emergency(due, when)
    elif due.stage in (Stage.ANNOUNCED, Stage.REMINDER):
        yield f"we will update the base system of your servers {when}."
    elif due.stage is Stage.MOVED:
        yield f"the maintenance that we told you of has a new date: {when}."
    elif due.stage is Stage.STARTED:
        yield "the announced maintenance of your servers has begun."
    elif due.stage is Stage.OVERRUN:
        yield "the maintenance of your servers is not finished at the announced end."
        yield "From now on this counts as unplanned downtime. We write again when it is over."
    elif due.stage is Stage.CANCELLED:
        yield f"the maintenance announced {when} does not take place."
        yield "Your servers were not changed. You need to do nothing."
    elif due.back is not None:
        yield "after the maintenance of your servers was finished, we have taken its change back."
        yield _RETURNS[due.outcome or Outcome.UNDECIDED]
    else:
        yield f"the maintenance of your servers is finished. {_RESULTS[due.outcome or Outcome.UNDECIDED]}"


def _open_emergency(due: Due, when: str) -> Iterator[str]:
    if due.stage is Stage.STARTED:
        yield "this is an emergency: the maintenance of your servers has begun."
    else:
        yield f"this is an emergency: we must update the base system of your servers now, {when}."
    yield f"Why now: {due.round.because}"
    if due.stage is Stage.MOVED:
        yield "This takes the place of the date that we told you of before."
    yield "It cannot wait for the usual time of maintenance or be announced earlier, and the date cannot be moved."


def _list_facts(due: Due, change: Change, names: list[str], zone: ZoneInfo) -> Iterator[str]:
    yield f"Servers:      {', '.join(names)}"
    yield f"Window:       {render_span(due.round, zone)}"
    yield from _list_felt(due, change, zone)
    kind = "emergency" if due.round.emergency else "planned"
    yield f"Change:       {change.what} ({kind} maintenance {change.id})"


def _list_felt(due: Due, change: Change, zone: ZoneInfo) -> Iterator[str]:
    """What it means for whoever uses the servers."""
    length = render_duration(change.interruption)
    if due.back is not None:
        yield f"Taken back:   {render_span(due.back, zone)}"
        yield f"Interruption: once more about {length} for each server that was running, at some time in between"
        yield f"Which meant:  a second shutdown and start ({change.impact}); a server that was off stays off"
        return
    yield f"Interruption: about {length} for each server, at some time in this window"
    yield f"What happens: one clean shutdown and start ({change.impact}); it comes back by itself"


def _explain(due: Due, customer: Customer) -> Iterator[str]:
    if due.back is not None and not (due.round.start <= due.back.start and due.back.end <= due.round.end):
        yield "This was not announced: the interruption outside the window above counts as unplanned downtime."
        yield "You need to do nothing."
        yield ""
    tells_first = due.stage is Stage.STARTED and due.round.emergency
    if due.stage in (Stage.ANNOUNCED, Stage.MOVED, Stage.REMINDER) or tells_first:
        yield "Your data stays as it is: it lies on a volume of its own that this change does not touch."
        yield "Each server is checked before and after. One that is not healthy on the new version goes back"
        yield "to the version from before by itself, with its data as it is at that moment."
        yield "You need to do nothing. Players are disconnected by the restart and can join again after it."
        if customer.id == OPERATOR:
            yield "These servers have no owner in the customer directory: nobody else is told of them."
        yield ""


def _offer(other: OtherDate, names: list[str], change: Change, imprint: Imprint, zone: ZoneInfo) -> Iterator[str]:
    yield from render_other_date(other, names, change.id, imprint.contact, zone)
    yield ""


def _sign(change: Change, imprint: Imprint) -> Iterator[str]:
    if imprint.status_url:
        yield f"Status: {imprint.status_url}"
    if imprint.contact:
        yield f"Questions: {imprint.contact} (please name {change.id})"


def describe(due: Due, change: Change, names: list[str], other: OtherDate | None = None) -> dict[str, Any]:
    """The notice's facts as JSON values, for programs."""
    return {
        "change": change.id,
        "stage": due.stage,
        "customer": due.customer,
        "round": due.round.number,
        "sequence": due.round.sequence,
        "component": change.component,
        "what": change.what,
        "impact": change.impact,
        "start": due.round.start.isoformat(),
        "end": due.round.end.isoformat(),
        "interruption_seconds": change.interruption.total_seconds(),
        "guests": [
            {"vmid": vmid, "name": name} for vmid, name in zip(due.round.guests[due.customer], names, strict=True)
        ],
        "outcome": due.outcome,
        "taken_back": {"start": due.back.start.isoformat(), "end": due.back.end.isoformat()} if due.back else None,
        "emergency": due.round.emergency or None,
        "deferral": describe_other_date(other),
    }


def _event(due: Due, change: Change, now: datetime) -> CalendarEvent | None:
    """Only what changes a calendar carries one."""
    number = due.round.event_number
    if due.outcome is Outcome.TAKEN_BACK and due.back is not None:
        return take_back_event(make_event(due.round, change, False, now, number), due.back)
    if due.stage not in (Stage.ANNOUNCED, Stage.MOVED, Stage.CANCELLED):
        return None
    return make_event(due.round, change, due.stage is Stage.CANCELLED, now, number)


def make_event(of: Round, change: Change, cancelled: bool, now: datetime, number: int) -> CalendarEvent:
    """The round in a calendar, as its event ``number`` of the change; a cancellation counts as one more move of it."""
    kind = "Emergency maintenance" if of.emergency else "Maintenance"
    why = f"An emergency that cannot wait: {of.because}. " if of.emergency else ""
    length = render_duration(change.interruption)
    return CalendarEvent(
        uid=f"{change.id}-{number}@zlh-hooks",
        sequence=of.sequence + cancelled,
        start=of.start,
        end=of.end,
        summary=f"{kind}: {change.what}",
        description=f"{why}About {length} of interruption for each server, in this window.",
        stamp=now,
        cancelled=cancelled,
    )


def take_back_event(event: CalendarEvent, back: Return) -> CalendarEvent:
    """The event of what was finished and then taken back. It stays where it was, for the interruption it stood for."""
    said = f"Taken back {render_span(back, ZoneInfo('UTC'))}: about as long an interruption once more."
    return replace(
        event,
        sequence=event.sequence + 1,
        summary=f"{event.summary} (taken back)",
        description=f"{event.description} {said}",
    )


def make_bulletin(of: Round, change: Change, state: str, now: datetime, back: Return | None = None) -> Bulletin:
    """The round for everybody: how many servers, not whose. ``back``: when it was taken back, if it was."""
    event = make_event(of, change, state == "cancelled", now, of.number)
    count = sum(len(vmids) for vmids in of.guests.values())
    event = event if back is None else take_back_event(event, back)
    return Bulletin(state, event, change.component, change.impact, change.interruption, count, now)
