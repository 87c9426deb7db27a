"""The guest hook as guests name it, and the commands by which root on a node changes that. Pure."""

from collections.abc import Iterable
from itertools import groupby

_OURS = ":snippets/zlh-guest-hook"


def is_guest_hook(volume: str) -> bool:
    """Whether what a guest names as its hookscript is the guest hook, in whichever storage."""
    return volume.endswith(_OURS)


def render_vmids(wanted: Iterable[int]) -> str:
    """``--vmid 5001-5003 --vmid 5007``: a range spans no other number, for a guest may have it that we cannot see."""
    runs = groupby(enumerate(sorted(wanted)), lambda place: place[1] - place[0])
    ends = [(run[0][1], run[-1][1]) for run in (list(places) for _, places in runs)]
    return " ".join(f"--vmid {first}" if first == last else f"--vmid {first}-{last}" for first, last in ends)
