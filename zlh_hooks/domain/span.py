"""Stretches of time, ``[begin, end)``, and what can be done with several of them. Instants are aware. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

Spans = tuple["Span", ...]
"""Where a function returns them: by their begin, none touching another."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """From ``begin`` on, up to and without ``end``; never empty (``ValueError``)."""

    begin: datetime
    end: datetime

    def __post_init__(self) -> None:
        if not self.begin < self.end:
            raise ValueError(f"a span ends after it begins: {self.begin.isoformat()} to {self.end.isoformat()}")

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return self.end - self.begin


def make_spans(begin: datetime, end: datetime) -> Spans:
    """The one span between them; none if the end does not lie behind the begin."""
    return (Span(begin, end),) if begin < end else ()


def unite(spans: Iterable[Span]) -> Spans:
    """What lies in any of them: what overlaps or touches becomes one."""
    united: list[Span] = []
    for span in sorted(spans):
        if united and span.begin <= united[-1].end:
            united[-1] = Span(united[-1].begin, max(united[-1].end, span.end))
        else:
            united.append(span)
    return tuple(united)


def intersect(ones: Iterable[Span], others: Iterable[Span]) -> Spans:
    """What lies in one of the first and in one of the second."""
    united = unite(others)
    common = (make_spans(max(a.begin, b.begin), min(a.end, b.end)) for a in unite(ones) for b in united)
    return tuple(span for found in common for span in found)


def subtract(ones: Iterable[Span], others: Iterable[Span]) -> Spans:
    """What lies in one of the first and in none of the second."""
    left = list(unite(ones))
    for other in unite(others):
        cut = ((make_spans(one.begin, min(one.end, other.begin)), make_spans(max(one.begin, other.end), one.end))
               for one in left)  # fmt: skip
        left = [span for before, behind in cut for span in (*before, *behind)]
    return tuple(left)


def measure(spans: Iterable[Span]) -> timedelta:
    """How long they are in all, overlaps counted once."""
    return sum((span.length for span in unite(spans)), timedelta(0))
