"""Of which times a guest's customer was told before, from what the ledger holds of one rollout's notices. Pure."""

from datetime import datetime

from zlh_hooks.domain.notice import OPERATOR, Round
from zlh_hooks.domain.notice_book import NoticeBook
from zlh_hooks.domain.span import Spans, make_spans, unite


def list_announced(book: NoticeBook, vmid: int, *, counts_emergencies: bool) -> Spans:
    """The announced times in which the guest may be away, each up to its announced end.

    ``counts_emergencies``: whether the notice of an emergency is an announcement too, from its delivery on.
    """
    mine = [(one, customer) for one in book.rounds.values() if (customer := one.of(vmid)) is not None]
    counting = [(one, customer) for one, customer in mine if counts_emergencies or not one.emergency]
    return unite(span for one, customer in counting for span in _span_of(book, one, customer))


def _span_of(book: NoticeBook, one: Round, customer: str) -> Spans:
    from_then = _find_told(book, one, customer)
    return () if from_then is None else make_spans(max(one.start, from_then), one.end)


def _find_told(book: NoticeBook, one: Round, customer: str) -> datetime | None:
    """From when on the customer counts as told: the promise is kept, a person vouched, or nobody has to be told."""
    if customer == OPERATOR:
        return one.start
    told = book.told_at(customer, one)
    kept = [] if told is None else [told + one.lead]
    return min([*kept, *filter(None, [book.vouched.get(customer)])], default=None)
