"""Configs of guests as Proxmox stores them, whole and broken, and what the guest hook should make of each."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from zlh_hooks.domain.tag import DOWN, HOLD, render_time

NOW = datetime.now(UTC)
LATER, EARLIER = render_time(NOW + timedelta(days=2)), render_time(NOW - timedelta(days=2))
_KEYS = "arch: amd64\ncores: 2\nhostname: game\nmemory: 2048\nrootfs: local:vm-5001-disk-0,size=8G\n"
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in ":%")
_SNAPSHOT = "\n[before-update]\n" + _KEYS + f"tags: {DOWN}{LATER};zlh-version.1\n"


@dataclass(frozen=True, slots=True)
class Config:
    """``is_ours``: its head has a tag of ours. ``is_down``: by the right clock it must not start now."""

    text: str
    is_ours: bool = False
    is_down: bool = False


def render_description(*lines: str) -> str:
    """As it stands at the head of a config."""
    return "".join(f"#{quote(line, safe=_PLAIN)}\n" for line in lines)


def render_config(*tags: str, description: tuple[str, ...] = (), lock: str = "", snapshots: int = 0) -> str:
    """Description, keys in their order, snapshots: letters are bytes."""
    keys = (f"lock: {lock}\n" if lock else "") + _KEYS + (f"tags: {';'.join(tags)}\n" if tags else "")
    return render_description(*description) + keys + _SNAPSHOT * snapshots


_OURS, _DOWN = "zlh-version.1", DOWN + LATER
CONFIGS = {
    "ordinary": Config(render_config("game")),
    "ours": Config(render_config("game", _OURS, snapshots=1), is_ours=True),
    "held": Config(render_config(HOLD + LATER), is_ours=True),
    "down": Config(render_config("game", _DOWN, _OURS, snapshots=1), is_ours=True, is_down=True),
    "down, expired": Config(render_config(DOWN + EARLIER), is_ours=True),
    "down, malformed": Config(render_config("zlh-down.20991332t2561z"), is_ours=True),
    "down, in a backup": Config(render_config(_DOWN, lock="backup"), is_ours=True),
    "down, of 0.9 MB": Config(render_config(_DOWN, snapshots=5000), is_ours=True, is_down=True),
    "head of 0.9 MB": Config("#" + "x" * 900_000 + "\n" + render_config(_DOWN)),
    "binary": Config("".join(map(chr, range(256))) * 64),
    "half-written": Config(render_config() + f"tags: {_DOWN}"),
    "empty": Config(""),
    "tags of a snapshot only": Config(render_config(snapshots=2)),
}
