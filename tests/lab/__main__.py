"""``python -m tests.lab missing|images|clean|left``: what the lab lacks here, its roots, and what it left."""

import sys
from collections.abc import Callable

from tests.lab.image import build_images
from tests.lab.requirement import list_missing
from tests.lab.sweep import list_leftovers, sweep


def _missing() -> int:
    for sentence in (found := list_missing()):
        print(sentence)
    return 1 if found else 0


def _left() -> int:
    for leftover in (found := list_leftovers()):
        print(leftover.kind, leftover.name)
    return 1 if found else 0


def _clean() -> int:
    sweep()
    return _left()


def _images() -> int:
    build_images()
    return 0


COMMANDS: dict[str, Callable[[], int]] = {"missing": _missing, "images": _images, "clean": _clean, "left": _left}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"usage: python -m tests.lab {'|'.join(COMMANDS)}")
    sys.exit(COMMANDS[sys.argv[1]]())
