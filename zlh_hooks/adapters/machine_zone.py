"""The machine's own time zone, by its IANA name."""

from pathlib import Path
from zoneinfo import ZoneInfo


def read_time_zone(etc: Path = Path("/etc")) -> str:
    """What ``/etc/localtime`` points to, else what ``/etc/timezone`` says, else UTC."""
    candidates = (_follow(etc / "localtime"), _read(etc / "timezone"))
    return next((name for name in candidates if name and _is_zone(name)), "UTC")


def _follow(link: Path) -> str:
    try:
        return str(link.readlink()).rpartition("zoneinfo/")[2]
    except OSError:
        return ""


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return False
    return True
