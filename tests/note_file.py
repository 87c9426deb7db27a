"""Notes as the guest hook writes them."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any


def draft_note(at: datetime, guest: int, phase: str, **changed: Any) -> tuple[str, str]:
    """Name and text for one phase of one guest on ``pve-1``; ``changed`` replaces keys."""
    note = {"format": 1, "event": "guest", "guest": guest, "phase": phase, "at": f"{at:%Y-%m-%dT%H:%M:%S.%fZ}"}
    note |= {"node": "pve-1", "kind": "lxc", "lock": "", "migrated_from": "", "vetoed": False} | changed
    name = f"{at:%Y%m%dt%H%M%S.%fz}-{guest}-{phase}-4711.json"
    return name, json.dumps(note, separators=(",", ":"))


def write_note(folder: Path, at: datetime, guest: int, phase: str, **changed: Any) -> str:
    """The same in a folder. Returns its name."""
    name, text = draft_note(at, guest, phase, **changed)
    (folder / name).symlink_to(text)
    return name


def read_note(path: Path) -> str:
    """Its text."""
    return str(path.readlink())
