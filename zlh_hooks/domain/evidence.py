"""What was measured: one probe's answer, and a guest's whole record before and after a change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class Verdict(StrEnum):
    """``error`` means the measurement itself failed: neither healthy nor unhealthy, and counted apart."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One probe asked once. ``facts`` are what it learnt, e.g. ``version``, ``state``, ``players``, all as text."""

    probe: str
    verdict: Verdict
    detail: str
    at: datetime
    took: timedelta
    facts: Mapping[str, str] = field(default_factory=dict)
