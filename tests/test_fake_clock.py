"""The clock of the simulated world keeps several threads in step, as real time would."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from tests.clock import START, FakeClock

SECOND = timedelta(seconds=1)


def test_several_that_sleep_at_once_take_as_long_as_one() -> None:
    clock = FakeClock()
    together = threading.Barrier(4)

    def nap() -> None:
        clock.now()
        together.wait()
        for _ in range(100):
            clock.sleep(SECOND)

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(nap) for _ in range(4)]:
            future.result()
    assert clock.now() == START + 100 * SECOND


def test_who_waits_for_a_lock_holds_up_nobody_and_who_holds_it_may_sleep() -> None:
    clock, lock = FakeClock(), threading.Lock()
    ends: list[float] = []

    def nap() -> None:
        clock.now()
        with lock:
            clock.sleep(SECOND)
            ends.append(clock.monotonic())

    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(nap) for _ in range(3)]:
            future.result()
    assert ends == [1.0, 2.0, 3.0]
