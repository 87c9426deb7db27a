"""Events for tests, and what RFC 5545 says of every line."""

from datetime import UTC, datetime, timedelta

from zlh_hooks.domain.notice import CalendarEvent

START = datetime(2026, 12, 1, 3, tzinfo=UTC)
STAMP = datetime(2026, 11, 23, 4, 5, 6, 789, tzinfo=UTC)


def make_event(number: int = 1, sequence: int = 0, cancelled: bool = False, **texts: str) -> CalendarEvent:
    words = {"summary": "Maintenance: game-base 2026.11.1", "description": "About 1m of interruption.", **texts}
    return CalendarEvent(
        uid=f"r7-{number}@zlh-hooks",
        sequence=sequence,
        start=START + timedelta(days=number - 1),
        end=START + timedelta(days=number - 1, hours=2),
        stamp=STAMP,
        cancelled=cancelled,
        **words,
    )


def check_lines(document: bytes) -> list[str]:
    """The unfolded lines; every line ends with CRLF, has at most 75 octets, and is UTF-8 by itself."""
    lines = document.split(b"\r\n")
    assert lines.pop() == b""
    assert not any(b"\r" in line or b"\n" in line for line in lines)
    assert max(map(len, lines)) <= 75
    assert all(line.decode("utf-8") for line in lines)
    return document.decode("utf-8").replace("\r\n ", "").split("\r\n")[:-1]
