"""Acts in threads of their own that end with the process: what hangs or is a bug keeps nobody from the next act."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from datetime import timedelta
from functools import partial
from threading import Thread
from typing import Any, TypeVar

from zlh_hooks.domain.errors import describe_error

T = TypeVar("T")


def begin(act: Callable[[], T]) -> Future[T]:
    """What it gives or raises is in the future. A pool of ``concurrent.futures`` would wait for it at the exit."""
    done: Future[T] = Future()
    Thread(target=partial(_carry_out, act, done), daemon=True).start()
    return done


def find_failure(done: Future[Any], limit: timedelta) -> str:
    """Why it did not work within so long from now, in words that may be told; empty if it did."""
    wait([done], limit.total_seconds())
    if not done.done():
        return describe_end(limit)
    error = done.exception()
    return describe_error(error) if error else ""


def describe_end(limit: timedelta) -> str:
    """Of an act that had so long."""
    return f"no end after {limit.total_seconds():g} s"


def _carry_out(act: Callable[[], T], done: Future[T]) -> None:
    try:
        done.set_result(act())
    except BaseException as error:
        done.set_exception(error)
