"""The seam between the engine and the world: every call of a port method passes here, one at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from threading import RLock
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Request:
    """One call of a port method. ``changing``: it changes the world."""

    name: str
    changing: bool
    arguments: tuple[Any, ...]


class World(Protocol):
    """Whatever has port methods that pass the seam."""

    one_at_a_time: RLock

    def carry_out(self, request: Request, deed: Callable[[], R]) -> R:
        """Do it, or what becomes of it in this world."""


S = TypeVar("S", bound=World)
Method = Callable[Concatenate[S, P], R]


def reading(method: Method[S, P, R]) -> Method[S, P, R]:
    """A port method that changes nothing."""
    return _passing(method, changing=False)


def changing(method: Method[S, P, R]) -> Method[S, P, R]:
    """A port method that changes the world."""
    return _passing(method, changing=True)


def _passing(method: Method[S, P, R], *, changing: bool) -> Method[S, P, R]:
    @wraps(method)
    def call(world: S, *args: P.args, **kwargs: P.kwargs) -> R:
        request = Request(method.__name__.lstrip("_"), changing, args)
        with world.one_at_a_time:
            return world.carry_out(request, lambda: method(world, *args, **kwargs))

    return cast(Method[S, P, R], call)
