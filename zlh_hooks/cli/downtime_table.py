"""The export's rows, the same for CSV and JSON. The names of its columns are a promise (docs/reference/downtime.md)."""

import csv
import io
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from zlh_hooks.application.downtime_desk import Report
from zlh_hooks.domain.credit import render_percent
from zlh_hooks.domain.downtime import Account
from zlh_hooks.domain.outage import Outage
from zlh_hooks.domain.span import Span, Spans, measure

COLUMNS = (
    *("customer", "customer_name", "guest", "guest_name", "month", "from", "until", "final"),
    *("planned_seconds", "unplanned_seconds", "unknown_seconds"),
    *("available_percent", "available_at_worst_percent", "goal_percent", "goal", "credit_percent", "note"),
    *("planned_in_windows_seconds", "unplanned_in_windows_seconds"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that spreadsheets would carry out."""


def render_csv(report: Report) -> str:
    """A line of names, then one for each guest; by customer, then by guest."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for account in report.accounts:
        cells = describe_account(account, report)
        table.writerow([_guard(cells[name]) for name in COLUMNS])
    return text.getvalue()


def _guard(cell: object) -> str:
    """Names come from customers and their servers: none becomes a formula in a billing office."""
    text = "; ".join(cell) if isinstance(cell, tuple) else str(cell)
    return f"'{text}" if isinstance(cell, str | tuple) and text.startswith(_FORMULA) else text


def describe_account(account: Account, report: Report) -> dict[str, Any]:
    """One row. Durations are whole seconds, rounded down; percentages have three decimals, rounded down."""
    downtime = account.downtime
    return {
        "customer": account.customer.id,
        "customer_name": account.customer.name,
        "guest": account.guest.vmid,
        "guest_name": account.guest.name,
        "month": str(report.month),
        "from": _render_instant(account.within.begin),
        "until": _render_instant(account.within.end),
        "final": "yes" if report.is_over else "no",
        "planned_seconds": _count_seconds(downtime.planned),
        "unplanned_seconds": _count_seconds(downtime.unplanned),
        "unknown_seconds": _count_seconds(downtime.unknown),
        "available_percent": render_percent(account.available),
        "available_at_worst_percent": render_percent(account.available_at_worst),
        "goal_percent": f"{account.rules.goal_percent:.3f}",
        "goal": account.verdict,
        "credit_percent": f"{account.credit_percent:.3f}",
        "note": account.notes,
        "planned_in_windows_seconds": _count_seconds(downtime.planned_in_windows),
        "unplanned_in_windows_seconds": _count_seconds(downtime.unplanned_in_windows),
    }


def describe_report(report: Report) -> dict[str, Any]:
    """The whole month with what each figure rests on."""
    return {
        "month": str(report.month),
        **_describe_span(report.within),
        "final": report.is_over,
        "gaps": [
            {**_describe_span(span), "cause": cause, "guests": guests} for span, cause, guests in report.list_gaps()
        ],
        "accounts": [
            {
                **describe_account(one, report),
                "outages": [_describe_outage(outage) for outage in one.outages],
                "gaps": [{**_describe_span(gap.span), "cause": gap.cause} for gap in one.gaps],
            }
            for one in report.accounts
        ],
    }


def _describe_outage(outage: Outage) -> Mapping[str, Any]:
    return {
        **_describe_span(outage.span),
        "cause": outage.cause,
        "announced": [_describe_span(span) for span in outage.announced],
        "open": outage.is_open,
        "component": outage.component.value,
        "in_windows": [_describe_span(span) for span in outage.in_windows],
    }


def _describe_span(span: Span) -> dict[str, str]:
    return {"from": _render_instant(span.begin), "until": _render_instant(span.end)}


def _render_instant(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds")


def _count_seconds(spans: Spans) -> int:
    return int(measure(spans).total_seconds())
