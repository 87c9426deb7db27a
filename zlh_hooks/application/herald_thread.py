"""Lets the herald work beside the rollouts: a mail server that takes its time holds up no restart."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

from zlh_hooks.application.herald import Herald
from zlh_hooks.domain.errors import LeaseLost

PAUSE = timedelta(seconds=1)


@dataclass(slots=True)
class HeraldThread:
    """A herald that is asked once a second from ``with`` on. An error that ends it is raised by whoever asks next."""

    herald: Herald
    _owes: bool = True
    _stop: threading.Event = field(default_factory=threading.Event)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="herald"))
    _work: "Future[None] | None" = None

    def __enter__(self) -> "HeraldThread":
        self._work = self._pool.submit(self._tend)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown()

    def check(self) -> None:
        """Raise what ended it, if anything did: nobody would be told any more, and the gate would wait for ever."""
        if self._work is not None and self._work.done():
            self._work.result()

    def is_quiet(self) -> bool:
        """Whether all that the ledger holds was told, or given up."""
        self.check()
        return self.herald.has_read_all() and not self._owes

    def _tend(self) -> None:
        while not self._stop.is_set():
            try:
                self._owes = self.herald.tend()
            except LeaseLost:
                return  # the rollouts find out by themselves
            self._stop.wait(PAUSE.total_seconds())
