"""Rules of the public feed: two files that agree, whole at every moment, and without a customer in them."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from tests.adapters.calendar_bench import STAMP, check_lines, make_event
from zlh_hooks.adapters.feed import StatusFiles
from zlh_hooks.domain.errors import RoadError
from zlh_hooks.domain.notice import Bulletin

LATER = STAMP + timedelta(hours=1)


def make_bulletin(number: int, state: str = "scheduled") -> Bulletin:
    event = make_event(number, sequence=2, cancelled=state == "cancelled", summary="Wartung")
    return Bulletin(state, event, "template", "guest-restart", timedelta(seconds=90), 12, STAMP)


def test_the_status_says_all_that_everybody_may_know(tmp_path: Path) -> None:
    StatusFiles(tmp_path).write_bulletins([make_bulletin(1)], LATER)
    text = (tmp_path / "status.json").read_text(encoding="utf-8")
    assert json.loads(text) == {
        "schema": 1,
        "generated_at": "2026-11-23T05:05:06+00:00",
        "bulletins": [
            {
                "id": "r7-1@zlh-hooks",
                "sequence": 2,
                "state": "scheduled",
                "component": "template",
                "impact": "guest-restart",
                "start": "2026-12-01T03:00:00+00:00",
                "end": "2026-12-01T05:00:00+00:00",
                "interruption_seconds": 90,
                "guests": 12,
                "summary": "Wartung",
                "description": "About 1m of interruption.",
                "updated": "2026-11-23T04:05:06+00:00",
            }
        ],
    }


def test_status_and_calendar_show_the_same_in_order_of_time(tmp_path: Path) -> None:
    states = {3: "scheduled", 1: "completed", 2: "cancelled"}
    StatusFiles(tmp_path).write_bulletins([make_bulletin(*one) for one in states.items()], LATER)
    listed = json.loads((tmp_path / "status.json").read_text())["bulletins"]
    assert [(one["id"], one["state"]) for one in listed] == [
        *(("r7-1@zlh-hooks", "completed"), ("r7-2@zlh-hooks", "cancelled"), ("r7-3@zlh-hooks", "scheduled")),
    ]
    lines = check_lines((tmp_path / "maintenance.ics").read_bytes())
    assert [line.removeprefix("UID:") for line in lines if line.startswith("UID:")] == [one["id"] for one in listed]
    assert [line for line in lines if line.startswith("STATUS:")] == [
        *("STATUS:CONFIRMED", "STATUS:CANCELLED", "STATUS:CONFIRMED"),
    ]


def test_the_calendar_says_where_it_is_read_if_that_is_known(tmp_path: Path) -> None:
    StatusFiles(tmp_path, "https://status.example/").write_bulletins([make_bulletin(1)], LATER)
    assert "URL:https://status.example/" in check_lines((tmp_path / "maintenance.ics").read_bytes())


def test_without_bulletins_both_files_say_so(tmp_path: Path) -> None:
    StatusFiles(tmp_path).write_bulletins([], LATER)
    assert json.loads((tmp_path / "status.json").read_text())["bulletins"] == []
    assert "METHOD:PUBLISH" in check_lines((tmp_path / "maintenance.ics").read_bytes())


def test_only_the_two_files_are_there_and_all_may_read_them(tmp_path: Path) -> None:
    for _ in range(2):
        StatusFiles(tmp_path).write_bulletins([make_bulletin(1)], LATER)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "status.json": 0o644,
        "maintenance.ics": 0o644,
    }


def test_a_feed_that_cannot_be_written_is_a_broken_road(tmp_path: Path) -> None:
    with pytest.raises(RoadError, match=r"cannot write the feed in .*nowhere: No such file"):
        StatusFiles(tmp_path / "nowhere").write_bulletins([], LATER)
