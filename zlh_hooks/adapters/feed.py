"""The public feed: ``status.json`` for programs and ``maintenance.ics`` for calendars, both static files.

No customer is named in them: whose guests are changed stands in the notices alone.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from zlh_hooks.adapters.calendar import Publisher, render_calendar
from zlh_hooks.adapters.file import replace_files
from zlh_hooks.domain.errors import RoadError
from zlh_hooks.domain.notice import Bulletin

SCHEMA = 1
STATUS, CALENDAR = "status.json", "maintenance.ics"


@dataclass(frozen=True, slots=True)
class StatusFiles:
    """``directory`` must be there; ``url`` is where the public reads it."""

    directory: Path
    url: str | None = None

    def write_bulletins(self, bulletins: Sequence[Bulletin], now: datetime) -> None:
        """Replace both files; ``RoadError`` if they cannot be written."""
        in_order = sorted(bulletins, key=lambda one: (one.event.start, one.event.uid))
        status = json.dumps(render_status(in_order, now), ensure_ascii=False, indent=2) + "\n"
        calendar = render_calendar([one.event for one in in_order], Publisher(self.url))
        try:
            replace_files({self.directory / STATUS: status.encode(), self.directory / CALENDAR: calendar})
        except OSError as error:
            raise RoadError(f"cannot write the feed in {self.directory}: {error.strerror or error}") from error


def render_status(bulletins: Sequence[Bulletin], now: datetime) -> dict[str, Any]:
    """The document as JSON values; ``schema`` grows when a field is taken away or changes its meaning."""
    return {
        "schema": SCHEMA,
        "generated_at": now.isoformat(timespec="seconds"),
        "bulletins": [_render_bulletin(one) for one in bulletins],
    }


def _render_bulletin(bulletin: Bulletin) -> dict[str, Any]:
    event = bulletin.event
    return {
        "id": event.uid,
        "sequence": event.sequence,
        "state": bulletin.state,
        "component": bulletin.component,
        "impact": bulletin.impact,
        "start": event.start.isoformat(timespec="seconds"),
        "end": event.end.isoformat(timespec="seconds"),
        "interruption_seconds": round(bulletin.interruption.total_seconds()),
        "guests": bulletin.guests,
        "summary": event.summary,
        "description": event.description,
        "updated": bulletin.updated.isoformat(timespec="seconds"),
    }
