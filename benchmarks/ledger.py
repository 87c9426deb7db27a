"""How fast the ledger records and reads on this disk. ``python benchmarks/ledger.py [--directory DIR]``.

Every append is on disk when it returns, so the figures are mostly those of the disk's fsync.
"""

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from zlh_hooks.adapters.clock import SystemClock
from zlh_hooks.adapters.ledger import SqlLedger
from zlh_hooks.domain.audit import find_break
from zlh_hooks.domain.entry import Draft, Kind

ENTRIES = 10_000
THREADS = 8
DRAFT = Draft(Kind.DONE, "move_volume", "20261123-game-base", 5001, {"upid": "UPID:" + "x" * 60, "took_seconds": 1.5})


def time_appends(ledger: SqlLedger, count: int) -> list[float]:
    """Seconds of each append."""
    took = []
    for _ in range(count):
        began = time.perf_counter()
        ledger.append(DRAFT)
        took.append(time.perf_counter() - began)
    return took


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, help="on the disk to measure; default: the temporary directory")
    wanted = parser.parse_args().directory
    with (
        tempfile.TemporaryDirectory(dir=wanted) as directory,
        closing(SqlLedger.open(Path(directory) / "ledger.db", SystemClock())) as ledger,
    ):
        measure(ledger)


def measure(ledger: SqlLedger) -> None:
    """One thread, several threads, then reading it all."""
    alone = time_appends(ledger, ENTRIES // 2)
    slow = statistics.quantiles(alone, n=100)[98]
    print(f"appends by one thread    {len(alone) / sum(alone):8.0f} per second, 99th percentile {slow * 1000:.2f} ms")
    began = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda _: ledger.append(DRAFT), range(ENTRIES - len(alone))))
    print(f"appends by {THREADS} threads     {(ENTRIES - len(alone)) / (time.perf_counter() - began):8.0f} per second")
    began = time.perf_counter()
    entries = ledger.read()
    print(f"read {len(entries)} entries     {(time.perf_counter() - began) * 1000:8.0f} ms")
    began = time.perf_counter()
    broken = find_break(entries)
    print(f"verify {len(entries)} entries   {(time.perf_counter() - began) * 1000:8.0f} ms, broken: {broken}")


if __name__ == "__main__":
    main()
