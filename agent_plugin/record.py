"""What the plugin remembers over its own death: files of JSON, replaced whole, believed whole or not at all."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from agent_plugin.disk import write_file
from agent_plugin.fault import BadInput

Kept = TypeVar("Kept")


def load_record(path: Path, parse: "Callable[[dict[str, Any]], Kept]") -> "Kept | None":
    """What ``parse`` makes of the file; None if there is none. ``ValueError`` if it holds something else."""
    try:
        found = json.loads(path.read_bytes())
        if not isinstance(found, dict):
            raise TypeError("it is no table")
        return parse(found)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, BadInput) as error:
        raise ValueError(f"{path} does not hold what is kept there: {error!r}") from error


def find_record(path: Path, parse: "Callable[[dict[str, Any]], Kept]") -> "Kept | None":
    """The same, for telling of it: a file that is damaged or cannot be read tells nothing."""
    try:
        return load_record(path, parse)
    except (ValueError, OSError):
        return None


def save_record(path: Path, values: "Mapping[str, Any]") -> None:
    """On disk when this returns; ``OSError`` leaves what was there."""
    write_file(path, json.dumps(values, indent=1).encode())
