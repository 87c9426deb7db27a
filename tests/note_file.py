"""Files as the guest hook writes them."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any


def write_note(folder: Path, at: datetime, guest: int, phase: str, **changed: Any) -> str:
    """One phase of one guest on ``pve-1``; ``changed`` replaces keys. Returns the file's name."""
    note = {"format": 1, "event": "guest", "guest": guest, "phase": phase, "at": f"{at:%Y-%m-%dT%H:%M:%S.%fZ}"}
    note |= {"node": "pve-1", "kind": "lxc", "lock": "", "migrated_from": "", "vetoed": False} | changed
    name = f"{at:%Y%m%dt%H%M%S.%fz}-{guest}-{phase}-4711.json"
    (folder / name).write_text(json.dumps(note, separators=(",", ":")) + "\n")
    return name
