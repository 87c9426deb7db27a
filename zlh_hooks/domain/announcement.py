"""Of which times customers were told before: by a rollout's notices, or by a person who tells of work by hand. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.notice import OPERATOR, Round
from zlh_hooks.domain.notice_book import NoticeBook
from zlh_hooks.domain.span import Spans, make_spans, unite


def list_announced(book: NoticeBook, *, counts_emergencies: bool) -> Mapping[int, Spans]:
    """Guest to the announced times in which it may be away, each up to its announced end.

    ``counts_emergencies``: whether the notice of an emergency is an announcement too, from its delivery on.
    """
    found: dict[int, Spans] = {}
    own = _split_by_customer(book)
    for one in book.rounds.values():
        for customer, vmids in one.guests.items() if counts_emergencies or not one.emergency else ():
            told = _find_told(own[customer], one, customer)
            spans = () if told is None else make_spans(max(one.start, told), one.end)
            found |= {vmid: unite((*found.get(vmid, ()), *spans)) for vmid in vmids}
    return found


def _split_by_customer(book: NoticeBook) -> Mapping[str, NoticeBook]:
    """Each customer's own deliveries: to look through those of all for each of thousands takes minutes."""
    own: dict[str, NoticeBook] = defaultdict(lambda: NoticeBook(book.rounds, vouched=book.vouched))
    for name, delivery in book.deliveries.items():
        own[delivery.customer].deliveries[name] = delivery
    return own


def _find_told(book: NoticeBook, one: Round, customer: str) -> datetime | None:
    """From when on the customer counts as told: the promise is kept, a person vouched, or nobody has to be told."""
    if customer == OPERATOR:
        return one.start
    told = book.told_at(customer, one)
    kept = [] if told is None else [told + one.lead]
    return min([*kept, *filter(None, [book.vouched.get(customer)])], default=None)


# ----------------------------------------------------------- told by a person

ANNOUNCED = "downtime.announced"


@dataclass(frozen=True, slots=True)
class Announcement:
    """A person's word that customers were told, at ``told``, that a point will be away from ``begin`` to ``end``.

    ``lead``: how long before they have to be told; until it has passed, nothing is planned.
    """

    point: str
    begin: datetime
    end: datetime
    told: datetime
    lead: timedelta

    @property
    def planned(self) -> Spans:
        """What of it counts as planned."""
        return make_spans(max(self.begin, self.told + self.lead), self.end)


def describe_announcement(one: Announcement) -> dict[str, Any]:
    """What is recorded of it."""
    times = {name: getattr(one, name).isoformat() for name in ("begin", "end", "told")}
    return {"point": one.point, **times, "lead_seconds": one.lead.total_seconds()}


def read_announcements(entries: Iterable[Entry]) -> Mapping[str, Spans]:
    """Point to the times that were announced for it."""
    found: dict[str, Spans] = {}
    for entry in entries:
        if entry.kind is Kind.COMMAND and entry.name == ANNOUNCED:
            one = _parse(entry.data)
            found[one.point] = unite((*found.get(one.point, ()), *one.planned))
    return found


def _parse(data: Mapping[str, Any]) -> Announcement:
    begin, end, told = (datetime.fromisoformat(data[name]) for name in ("begin", "end", "told"))
    return Announcement(str(data["point"]), begin, end, told, timedelta(seconds=data["lead_seconds"]))
