"""What is seen of one point from outside, measurement by measurement, and the changes that are recorded. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Sight(StrEnum):
    """What one measurement says of a point. ``unseen``: nothing, because the fault may be on our side."""

    UP = "up"
    DOWN = "down"
    UNSEEN = "unseen"


class Turn(StrEnum):
    """What is recorded of a point."""

    OUTAGE_BEGAN = "outage.began"
    OUTAGE_ENDED = "outage.ended"
    UNSEEN_BEGAN = "unseen.began"
    UNSEEN_ENDED = "unseen.ended"


@dataclass(frozen=True, slots=True)
class Change:
    """``at``: since when it is so, aware; an outage's is that of the first failed measurement."""

    point: str
    turn: Turn
    at: datetime


@dataclass(slots=True)
class PointSight:
    """One point. ``needed_failures`` in a row are an outage; what could not be seen neither counts nor excuses."""

    point: str
    needed_failures: int
    is_down: bool = False
    is_unseen: bool = False
    _failures: int = 0
    _first_failed: datetime | None = None

    def see(self, sight: Sight, at: datetime) -> tuple[Change, ...]:
        """Take in the next measurement."""
        return (*self._see_clearly(sight, at), *self._see_state(sight, at))

    def _see_clearly(self, sight: Sight, at: datetime) -> Iterator[Change]:
        is_unseen = sight is Sight.UNSEEN
        if is_unseen != self.is_unseen:
            self.is_unseen = is_unseen
            yield Change(self.point, Turn.UNSEEN_BEGAN if is_unseen else Turn.UNSEEN_ENDED, at)

    def _see_state(self, sight: Sight, at: datetime) -> Iterator[Change]:
        if sight is Sight.UP:
            self._failures, self._first_failed = 0, None
            if self.is_down:
                self.is_down = False
                yield Change(self.point, Turn.OUTAGE_ENDED, at)
        elif sight is Sight.DOWN:
            self._failures += 1
            self._first_failed = self._first_failed or at
            if not self.is_down and self._failures >= self.needed_failures:
                self.is_down = True
                yield Change(self.point, Turn.OUTAGE_BEGAN, self._first_failed)

    def lose(self, since: datetime) -> tuple[Change, ...]:
        """Nothing was measured since then: until the next measurement nobody knows."""
        if self.is_unseen:
            return ()
        self.is_unseen = True
        return (Change(self.point, Turn.UNSEEN_BEGAN, since),)
