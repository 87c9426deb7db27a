"""Customers' load on an agent's port: half of the clients make a connection per request, half keep theirs."""

import http.client
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType

PATIENCE_SECONDS = 20.0


@dataclass
class Count:
    """What clients saw. ``lost``: the connection broke before the answer; ``wrong``: an answer that is not 200."""

    total: int = 0
    refused: int = 0
    lost: int = 0
    wrong: int = 0
    slowest: float = 0.0
    faults: "list[str]" = field(default_factory=list)

    @property
    def failed(self) -> int:
        return self.refused + self.lost + self.wrong

    def add(self, other: "Count") -> None:
        for name in ("total", "refused", "lost", "wrong"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.slowest = max(self.slowest, other.slowest)
        self.faults += other.faults


class Load:
    """Asks until the block ends. The thread that begins it must be in the lab's network."""

    def __init__(self, address: str, port: int = 18888, clients: int = 16, path: str = "/health") -> None:
        self._target, self._path = (address, port), path
        self._end = threading.Event()
        self._counts = [Count() for _ in range(clients)]
        self._threads = [
            threading.Thread(target=self._ask, args=(count, number % 2 == 0), daemon=True)
            for number, count in enumerate(self._counts)
        ]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None"
    ) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def read(self) -> Count:
        """So far."""
        told = Count()
        for count in self._counts:
            told.add(count)
        return told

    def _ask(self, count: Count, keep: bool) -> None:
        connection = http.client.HTTPConnection(*self._target, timeout=PATIENCE_SECONDS)
        while not self._end.is_set():
            began = time.monotonic()
            try:
                connection.request("GET", self._path, headers={} if keep else {"Connection": "close"})
                answer = connection.getresponse()
                answer.read()
                count.wrong += answer.status != 200
            except (OSError, http.client.HTTPException) as error:
                count.refused += isinstance(error, ConnectionRefusedError)
                count.lost += not isinstance(error, ConnectionRefusedError)
                count.faults.append(repr(error))
                connection.close()
            count.total += 1
            count.slowest = max(count.slowest, time.monotonic() - began)
        connection.close()
