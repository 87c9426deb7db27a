"""The seam between the engine and the world: every call of a port method passes here."""

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from tests.datacentre.fault import Call
from tests.datacentre.simulation import Simulation
from zlh_hooks.application.ports import CloneOrder
from zlh_hooks.domain.errors import RoadError, ZlhError
from zlh_hooks.domain.guest import GuestConfig, GuestRef

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=Simulation)
Method = Callable[Concatenate[S, P], R]


def reading(method: Method[S, P, R]) -> Method[S, P, R]:
    """A port method that changes nothing."""
    return _passing(method, changing=False)


def changing(method: Method[S, P, R]) -> Method[S, P, R]:
    """A port method that changes the world: refused without quorum, counted when carried out."""
    return _passing(method, changing=True)


def _passing(method: Method[S, P, R], *, changing: bool) -> Method[S, P, R]:
    @wraps(method)
    def call(world: S, *args: P.args, **kwargs: P.kwargs) -> R:
        with world.one_at_a_time:
            return _carry_out(
                world, _call(method.__name__.lstrip("_"), changing, args), lambda: method(world, *args, **kwargs)
            )

    return cast(Method[S, P, R], call)


def _carry_out(world: Simulation, call: Call, deed: Callable[[], R]) -> R:
    fired = world.faults.at(call)
    for act in [order.before for order in fired if order.before]:
        act()
    world.settle()
    late = next((order.late for order in fired if order.late is not None), None)
    if late is not None:
        world.at(late, lambda: _do_unheard(world, call, deed))
    answer = None if late is not None else _do(world, call, deed)
    for act in [order.after for order in fired if order.after]:
        act()
    return cast(R, answer)


def _do(world: Simulation, call: Call, deed: Callable[[], R]) -> R:
    if not world.token_valid and call.names != ("measure",):
        raise RoadError("Proxmox refuses the API token (401 invalid token value)")
    if call.changing and not world.quorate:
        raise RoadError("cluster not ready - no quorum?")
    world.call = call
    answer = deed()
    world.faults.record(call)
    return answer


def _do_unheard(world: Simulation, call: Call, deed: Callable[[], R]) -> None:
    with suppress(ZlhError):
        _do(world, call, deed)


def _call(name: str, changing: bool, args: tuple[Any, ...]) -> Call:
    names = (name, "exchange") if name == "write_config" and "rootfs" in args[1] else (name,)
    vmids = [vmid for argument in args for vmid in _vmids(argument)]
    counted = next(iter(vmids[::-1] if name == "move_volume" else vmids), None)
    return Call(names, frozenset(vmids), counted, changing, args)


def _vmids(argument: object) -> tuple[int, ...]:
    if isinstance(argument, GuestRef):
        return (argument.vmid,)
    if isinstance(argument, GuestConfig):
        return (argument.ref.vmid,)
    if isinstance(argument, CloneOrder):
        return (argument.new_vmid,)
    return (argument,) if isinstance(argument, int) else ()
