"""Several guests at once, within the plan's limits; and all of a way back, though parts of it are held up."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from zlh_hooks.domain.errors import LeaseLost, RoadError, TargetError
from zlh_hooks.domain.plan import PlannedTarget

Act = Callable[[PlannedTarget], None]


@dataclass(slots=True)
class Crew:
    """How many guests one rollout works on at once, in all and on one node."""

    max_parallel: int
    max_parallel_per_node: int
    _slots: dict[str, threading.Semaphore] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def each(self, targets: Sequence[PlannedTarget], act: Act) -> None:
        """Several at once; all that were begun end before the first error is raised."""
        if self.max_parallel == 1 or len(targets) < 2:
            for target in targets:
                act(target)
            return
        with ThreadPoolExecutor(max_workers=self.max_parallel) as pool:
            futures = [pool.submit(act, target) for target in targets]
        for future in futures:
            future.result()

    def attempt_each(self, targets: Sequence[PlannedTarget], act: Act) -> None:
        """On the way back one guest that cannot be reached, or is held up, holds up no other."""
        held_up: list[RoadError | TargetError] = []
        self.each(targets, lambda target: _try(lambda: act(target), held_up))
        if held_up:
            raise held_up[0]

    def attempt(self, *acts: Callable[[], None]) -> None:
        """All of them, though some fail: a road that is broken to one place holds nothing up elsewhere."""
        held_up: list[RoadError | TargetError] = []
        for act in acts:
            _try(act, held_up)
        if held_up:
            raise held_up[0]

    def slot(self, node: str) -> threading.Semaphore:
        """To be held while a guest of that node is at work."""
        with self._guard:
            return self._slots.setdefault(node, threading.Semaphore(self.max_parallel_per_node))


def _try(act: Callable[[], None], held_up: list[RoadError | TargetError]) -> None:
    """Remember what holds it up, for later."""
    try:
        act()
    except LeaseLost:
        raise
    except (RoadError, TargetError) as error:
        held_up.append(error)
