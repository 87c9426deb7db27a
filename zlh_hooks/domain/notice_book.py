"""What the ledger says of a change's notices: its rounds, each delivery, deferrals, and whom a person vouched for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from zlh_hooks.domain.deferral import CANCELLED, TAKEN, Deferral, parse_deferral
from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.notice import ANNOUNCING, OPERATOR, Round, Stage

ROUND = "round"
NOTICE = "notice."
BOUNCED = "bounced"
VOUCHED = "vouched"


class DeliveryState(StrEnum):
    """How far one notice came on one channel. Delivered means accepted by the server, and no more."""

    SENDING = "sending"
    """Begun, and no outcome: it goes out now, or a worker died over it."""
    UNCLEAR = "unclear"
    """Sent, and the answer was lost. Nobody knows whether it arrived: it is not sent again, and counts for nothing."""
    DELIVERED = "delivered"
    FAILED = "failed"
    REFUSED = "refused"
    BOUNCED = "bounced"


_LOST = (DeliveryState.SENDING, DeliveryState.UNCLEAR, DeliveryState.REFUSED, DeliveryState.BOUNCED)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notice on one channel. ``at``: its last step. ``attempts``: how often it was begun."""

    notice: str
    channel: str
    address: str
    customer: str
    stage: Stage
    round: int
    sequence: int
    state: DeliveryState
    at: datetime
    attempts: int = 1
    reason: str = ""

    def may_be_sent_again(self, now: datetime, attempts: int, retry: timedelta) -> bool:
        """Whether it failed for a while only, and the pause after that is over."""
        return self.state is DeliveryState.FAILED and self.attempts < attempts and now >= self.at + retry

    def is_hopeless(self, attempts: int) -> bool:
        """Whether nothing will be tried on this channel any more, and nobody has got it."""
        given_up = self.state is DeliveryState.FAILED and self.attempts >= attempts
        return given_up or self.state in _LOST


@dataclass(slots=True)
class NoticeBook:
    """All of one change; ``add`` takes in its entries in their order. ``first_dates``: when each guest's first round
    was to begin, from which deferrals are counted.
    """

    rounds: dict[int, Round] = field(default_factory=dict)
    first_dates: dict[int, datetime] = field(default_factory=dict)
    deferrals: dict[int, Deferral] = field(default_factory=dict)
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    vouched: dict[str, datetime] = field(default_factory=dict)

    def add(self, entries: Iterable[Entry]) -> "NoticeBook":
        """Take in more; entries of other things are passed over."""
        for entry in entries:
            if entry.kind is Kind.EVIDENCE and entry.name == ROUND:
                self._take_round(parse_round(entry.data))
            elif entry.kind is Kind.COMMAND and entry.name in (TAKEN, CANCELLED) and entry.target is not None:
                self.deferrals.pop(entry.target, None)
                self.deferrals |= {entry.target: parse_deferral(entry)} if entry.name == TAKEN else {}
            elif entry.kind is Kind.COMMAND and entry.name == BOUNCED:
                self._bounce(str(entry.data["address"]), entry)
            elif entry.kind is Kind.COMMAND and entry.name == VOUCHED:
                self.vouched[str(entry.data["customer"])] = entry.at
            elif entry.name.startswith(NOTICE):
                self._deliver(entry)
        return self

    def _take_round(self, found: Round) -> None:
        self.rounds[found.number] = found
        if not found.emergency:
            for vmid in (one for vmids in found.guests.values() for one in vmids):
                self.first_dates.setdefault(vmid, found.start)

    def _deliver(self, entry: Entry) -> None:
        known = self.deliveries.get(entry.name)
        if entry.kind is Kind.INTENT:
            attempts = known.attempts + 1 if known else 1
            self.deliveries[entry.name] = _begin_delivery(entry, attempts)
        elif known is not None and entry.kind is Kind.DONE:
            answer = str(entry.data["answer"])
            self.deliveries[entry.name] = replace(known, state=DeliveryState.DELIVERED, at=entry.at, reason=answer)
        elif known is not None and entry.kind is Kind.FAILED:
            state = DeliveryState(entry.data["state"])
            reason = str(entry.data["reason"])
            self.deliveries[entry.name] = replace(known, state=state, at=entry.at, reason=reason)

    def _bounce(self, address: str, entry: Entry) -> None:
        """What went to that address so far came back."""
        for name, delivery in self.deliveries.items():
            if delivery.address == address and delivery.state is DeliveryState.DELIVERED:
                reason = str(entry.data.get("reason", ""))
                self.deliveries[name] = replace(delivery, state=DeliveryState.BOUNCED, at=entry.at, reason=reason)

    def round_of(self, vmid: int) -> Round | None:
        """The round in which the guest is changed."""
        holding = [one for one in self.rounds.values() if one.of(vmid) is not None]
        return max(holding, key=lambda one: one.number, default=None)

    def wish_of(self, vmid: int) -> datetime | None:
        """Until when the guest is deferred; None if it is not."""
        deferral = self.deferrals.get(vmid)
        return deferral.until if deferral else None

    def date_of(self, vmid: int) -> datetime | None:
        """When the guest's turn begins; None before it has a round. A deferral counts before its round is made."""
        mine, wish = self.round_of(vmid), self.wish_of(vmid)
        return None if mine is None else max(mine.start, wish or mine.start)

    def told_at(self, customer: str, of: Round) -> datetime | None:
        """When the first announcement of the round, as it stands now, was delivered; None if none is.

        In an emergency word that it has begun is one too: it may be the first that anybody hears.
        """
        found = [d.at for d in self._announcing(customer, of) if d.state is DeliveryState.DELIVERED]
        return min(found, default=None)

    def is_unreachable(self, customer: str, of: Round, channels: int, attempts: int) -> bool:
        """Whether every way to the customer (there are ``channels``) has been tried in vain; also if there is none."""
        hopeless = sum(delivery.is_hopeless(attempts) for delivery in self._announcing(customer, of))
        return hopeless >= channels

    def _announcing(self, customer: str, of: Round) -> list[Delivery]:
        stages = ANNOUNCING | {Stage.STARTED} if of.emergency else ANNOUNCING
        mine = (d for d in self.deliveries.values() if d.customer == customer and d.stage in stages)
        return [d for d in mine if (d.round, d.sequence) == of.version]

    def was_tried(self, customer: str, of: Round) -> bool:
        """Whether some server has answered to an announcement of the round, whatever it said."""
        return any(d.state is not DeliveryState.SENDING for d in self._announcing(customer, of))

    def has_heard(self, customer: str, of: Round) -> bool:
        """Whether the customer knows of the round as it stands now, in time or not."""
        mine = (d for d in self.deliveries.values() if (d.customer, d.round, d.sequence) == (customer, *of.version))
        heard = any(d.state is DeliveryState.DELIVERED and d.stage is not Stage.CANCELLED for d in mine)
        return heard or customer == OPERATOR or customer in self.vouched

    def was_announced(self, customer: str, number: int) -> bool:
        """Whether anything was ever sent to the customer of that round."""
        return any((d.customer, d.round) == (customer, number) for d in self.deliveries.values())

    def is_told(self, customer: str, of: Round, now: datetime) -> bool:
        """Whether the promise is kept: an old enough announcement, a person's word, or nobody to promise to."""
        if customer == OPERATOR or customer in self.vouched:
            return True
        told = self.told_at(customer, of)
        return not of.emergency and told is not None and now >= told + of.lead

    def find_obstacle(self, vmid: int, now: datetime) -> str | None:
        """Why the guest may not be changed now; None if it may. It stays the same sentence while its reason does."""
        mine, wish = self.round_of(vmid), self.wish_of(vmid)
        if mine is None:
            return "no notice of it is written yet"
        if wish is not None and now < wish:
            return f"guest {vmid} is deferred until {wish:%Y-%m-%d %H:%M} UTC"
        if mine.emergency:
            return f"it was told of emergency {mine.emergency}, which is over, and of no new date yet"
        if now < mine.start:
            return f"announced for {mine.start:%Y-%m-%d %H:%M} UTC"
        if now >= mine.end:
            return f"the announced window ended at {mine.end:%Y-%m-%d %H:%M} UTC"
        return self._explain_untold(mine, (str(mine.of(vmid)),), now)

    def find_untold(self, now: datetime) -> str | None:
        """Why the change as a whole may not start: somebody of a round that is due was not told in time."""
        due = [one for one in self.rounds.values() if one.start <= now < one.end and not one.emergency]
        return next(filter(None, (self._explain_untold(one, tuple(one.guests), now) for one in due)), None)

    def _explain_untold(self, of: Round, customers: Iterable[str], now: datetime) -> str | None:
        untold = [customer for customer in customers if not self.is_told(customer, of, now)]
        if not untold:
            return None
        told = self.told_at(untold[0], of)
        others = f" (and {len(untold) - 1} more)" if len(untold) > 1 else ""
        if told is None:
            return f"customer {untold[0]}{others} has no delivered notice"
        return f"customer {untold[0]}{others} was told too late: promised from {told + of.lead:%Y-%m-%d %H:%M} UTC on"


def render_round(of: Round) -> dict[str, Any]:
    """The round as JSON values."""
    return {
        "number": of.number,
        "sequence": of.sequence,
        "start": of.start.isoformat(),
        "end": of.end.isoformat(),
        "lead_seconds": of.lead.total_seconds(),
        "guests": {customer: list(vmids) for customer, vmids in of.guests.items()},
        "made": of.made.isoformat(),
        "emergency": of.emergency,
        "because": of.because,
        "deferred_until": of.deferred_until.isoformat() if of.deferred_until else None,
        "follows": of.follows,
    }


def parse_round(data: Mapping[str, Any]) -> Round:
    """The round from the ledger's JSON values."""
    until = data.get("deferred_until")
    return Round(
        number=int(data["number"]),
        sequence=int(data["sequence"]),
        start=datetime.fromisoformat(data["start"]),
        end=datetime.fromisoformat(data["end"]),
        lead=timedelta(seconds=data["lead_seconds"]),
        guests={customer: tuple(vmids) for customer, vmids in data["guests"].items()},
        made=datetime.fromisoformat(data["made"]),
        emergency=str(data.get("emergency", "")),
        because=str(data.get("because", "")),
        deferred_until=datetime.fromisoformat(until) if until else None,
        follows=int(data.get("follows", 0)),
    )


def _begin_delivery(entry: Entry, attempts: int) -> Delivery:
    data = entry.data
    return Delivery(
        notice=str(data["notice"]),
        channel=str(data["channel"]),
        address=str(data["address"]),
        customer=str(data["customer"]),
        stage=Stage(data["stage"]),
        round=int(data["round"]),
        sequence=int(data["sequence"]),
        state=DeliveryState.SENDING,
        at=entry.at,
        attempts=attempts,
    )
