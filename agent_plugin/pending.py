"""The marks of a trial that the plugin and the shell nets share."""

from pathlib import Path

from agent_plugin.disk import remove_file
from agent_plugin.place import Place

NETS = ("plugin", "deadline", "on-failure", "pre-start")
MOST_ATTEMPTS = 3
"""The marks that ``net/pre-start`` may leave, from 0."""


def find_net(place: Place) -> str:
    """Which net has gone back in this swap; empty if none has."""
    return next((net for net in NETS if place.reverted(net).exists()), "")


def forget_trial(place: Place) -> None:
    """What an earlier trial left; a release that was taken back is on the block list by then."""
    _remove(place.pending)
    forget_count(place)
    _remove(*map(place.reverted, NETS), place.last_exit, place.failed_log)


def forget_count(place: Place) -> None:
    """Nothing is on trial: neither a way back nor a count of starts is needed."""
    _remove(place.back, *map(place.attempt, range(MOST_ATTEMPTS)))


def _remove(*paths: Path) -> None:
    for path in paths:
        if path.is_symlink() or path.exists():
            remove_file(path)
