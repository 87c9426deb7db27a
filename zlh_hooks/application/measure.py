"""Metrics of a site: printed for whoever asks, and kept fresh in a file beside the worker's work."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from zlh_hooks.application.ports import Clock, LeaseHolder
from zlh_hooks.domain.agent_trust import Expiry
from zlh_hooks.domain.entry import Entry
from zlh_hooks.domain.errors import RoadError, SettingsError
from zlh_hooks.domain.metric import Gauge, draw_gauges
from zlh_hooks.domain.policy import Policy

EVERY = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Measures:
    """Reads the record, the worker's lease and the ends of what agents read, and draws gauges from them."""

    read_entries: Callable[[], Sequence[Entry]]
    read_lease: Callable[[], LeaseHolder | None]
    list_expiries: Callable[[], Sequence[Expiry]]
    policy: Policy
    clock: Clock
    draw: Callable[[Sequence[Gauge]], str]
    write: Callable[[Path, str], None]

    def render(self) -> str:
        """As Prometheus reads them."""
        held = self.read_lease()
        until = held.until if held else None
        gauges = draw_gauges(self.read_entries(), until, self.policy, self.clock.now(), self.list_expiries())
        return self.draw(gauges)

    def publish(self, path: Path) -> None:
        """Replace the file, at once and readable by all; ``SettingsError`` if it cannot be written."""
        self.write(path, self.render())


@dataclass(slots=True)
class MeasureThread:
    """Keeps the file fresh from ``with`` on, and writes it once more at the end.

    What fails is tried again in the next round and holds up no rollout; the file grows old, which an alert sees.
    """

    measures: Measures
    path: Path
    every: timedelta = EVERY
    _stop: threading.Event = field(default_factory=threading.Event)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="measure"))
    _work: "Future[None] | None" = None

    def __enter__(self) -> "MeasureThread":
        self._work = self._pool.submit(self._keep)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """What the work has come to is the last that is written. Raises what ended it, if nothing else went wrong."""
        self._stop.set()
        self._pool.shutdown()
        if self._work is not None and kind is None:
            self._work.result()

    def _keep(self) -> None:
        while not self._stop.wait(self.every.total_seconds()):
            self._try()
        self._try()

    def _try(self) -> None:
        with suppress(SettingsError, RoadError):
            self.measures.publish(self.path)


def keep_fresh(measures: Measures, path: Path | None) -> AbstractContextManager[object]:
    """Write it now, which tells whether it can be written, and again while the block lasts; without a path never."""
    if path is None:
        return nullcontext()
    measures.publish(path)
    return MeasureThread(measures, path)
