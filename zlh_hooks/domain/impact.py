"""What a customer feels of a change, and what follows from it: at any time, in a window, or not at all."""

from enum import StrEnum
from typing import Literal

LiveMode = Literal["auto", "enforce", "off"]
"""``auto``: live where possible, else in a window; ``enforce``: only live; ``off``: in a window even if live."""


class Impact(StrEnum):
    """From nothing to everything; compared by how much is felt, not by name."""

    LIVE = "live"
    RELOAD = "reload"
    RESTART = "restart"
    GUEST_RESTART = "guest-restart"
    HOST_REBOOT = "host-reboot"

    @property
    def rank(self) -> int:
        """0 for what nobody feels, then upwards."""
        return list(Impact).index(self)

    def __lt__(self, other: str) -> bool:
        return self.rank < Impact(other).rank

    def __le__(self, other: str) -> bool:
        return self.rank <= Impact(other).rank

    def __gt__(self, other: str) -> bool:
        return self.rank > Impact(other).rank

    def __ge__(self, other: str) -> bool:
        return self.rank >= Impact(other).rank


class Course(StrEnum):
    """When a change of some impact may start."""

    ANY_TIME = "any-time"
    IN_WINDOW = "in-window"
    NEVER = "never"


def choose_course(impact: Impact, mode: LiveMode) -> Course:
    """When it may start. What may start at any time needs no window and no notice; all else needs both."""
    if impact is Impact.LIVE:
        return Course.IN_WINDOW if mode == "off" else Course.ANY_TIME
    return Course.NEVER if mode == "enforce" else Course.IN_WINDOW
