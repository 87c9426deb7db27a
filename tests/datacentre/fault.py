"""Fault points: what a test has ordered to go wrong, at which call; and the count of what was really done."""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from zlh_hooks.application.ports import Clock, CloneOrder
from zlh_hooks.domain.errors import TargetError, Unanswered
from zlh_hooks.domain.guest import GuestConfig, GuestRef
from zlh_hooks.simulation.physics import TaskFault
from zlh_hooks.simulation.seam import Request

Action = Callable[[], object]


class Crash(BaseException):
    """The process under test dies here. No code under test may catch it, and nothing it does afterwards counts."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a port method. ``vmids`` are all guests involved, ``counted`` the one it is counted for.

    A ``write_config`` that sets ``rootfs`` also answers to the name ``exchange``.
    """

    names: tuple[str, ...]
    vmids: frozenset[int]
    counted: int | None
    changing: bool
    arguments: tuple[object, ...] = ()


def parse_call(request: Request) -> Call:
    """Which guests the call is about."""
    name, args = request.name, request.arguments
    names = (name, "exchange") if name == "write_config" and "rootfs" in args[1] else (name,)
    vmids = [vmid for argument in args for vmid in _vmids(argument)]
    counted = next(iter(vmids[::-1] if name == "move_volume" else vmids), None)
    return Call(names, frozenset(vmids), counted, request.changing, args)


def _vmids(argument: object) -> tuple[int, ...]:
    if isinstance(argument, GuestRef):
        return (argument.vmid,)
    if isinstance(argument, GuestConfig):
        return (argument.ref.vmid,)
    if isinstance(argument, CloneOrder):
        return (argument.new_vmid,)
    return (argument,) if isinstance(argument, int) else ()


@dataclass(slots=True)
class Fault:
    """Fires at the matching calls ``nth`` to ``nth + times - 1``, counted from when it was ordered."""

    method: str | None
    vmid: int | None
    nth: int
    times: int
    before: Action | None = None
    after: Action | None = None
    late: timedelta | None = None
    seen: int = 0

    def fires(self, call: Call) -> bool:
        """Count the call if it matches, and say whether it is one of those meant. No method means any change."""
        named = call.changing if self.method is None else self.method in call.names
        if not named or (self.vmid is not None and self.vmid not in call.vmids):
            return False
        self.seen += 1
        return 0 <= self.seen - self.nth < self.times


def _raising(error: BaseException) -> Action:
    def act() -> None:
        raise error

    return act


@dataclass(slots=True)
class Faults:
    """Orders take ``nth`` (from 1), ``times`` and optionally ``vmid``; ``method`` None means any changing call.

    ``executed`` counts changing calls that were carried out, per (method, VMID): a clone for its source, a moved
    volume for the guest that receives it. ``log`` holds every call in order, refused ones included; ``needs`` each
    privilege that a call asked for.
    """

    clock: Clock
    executed: Counter[tuple[str, int | None]] = field(default_factory=Counter)
    log: list[Call] = field(default_factory=list)
    needs: list[tuple[Call, str]] = field(default_factory=list)
    dead: bool = False
    _orders: list[Fault] = field(default_factory=list)
    _tasks: list[tuple[Fault, TaskFault]] = field(default_factory=list)

    def die_before(self, method: str | None, nth: int = 1, vmid: int | None = None) -> None:
        """The process dies, the request was never sent."""
        self._order(method, nth, 1, vmid, before=self._dying(f"before {method or 'change'} {nth}"))

    def die_after(self, method: str | None, nth: int = 1, vmid: int | None = None) -> None:
        """The request is carried out, and the process dies before it reads the answer."""
        self._order(method, nth, 1, vmid, after=self._dying(f"after {method or 'change'} {nth}"))

    def refuse(
        self, method: str | None, error: Exception, nth: int = 1, times: int = 1, vmid: int | None = None
    ) -> None:
        """The call is answered with this error and not carried out."""
        self._order(method, nth, times, vmid, before=_raising(error))

    def lose_answer(self, method: str | None, nth: int = 1, times: int = 1, vmid: int | None = None) -> None:
        """Carried out, and the answer is lost."""
        self._order(method, nth, times, vmid, after=_raising(Unanswered("connection reset after the request")))

    def reset_before(self, method: str | None, nth: int = 1, times: int = 1, vmid: int | None = None) -> None:
        """Not carried out, which the caller cannot know."""
        self._order(method, nth, times, vmid, before=_raising(Unanswered("connection reset during the request")))

    def arrive_late(
        self, method: str | None, length: timedelta, nth: int = 1, vmid: int | None = None, *, dying: bool = False
    ) -> None:
        """The caller gets no answer (or dies at once), and the request is carried out so much later."""
        lost = _raising(Unanswered("connection reset while the request was on its way"))
        end = self._dying(f"sending {method or 'change'} {nth}") if dying else lost
        self._orders.append(Fault(method, vmid, nth, 1, after=end, late=length))

    def slow(
        self, method: str | None, length: timedelta, nth: int = 1, times: int = 1, vmid: int | None = None
    ) -> None:
        """Time passes before the call is carried out."""
        self._order(method, nth, times, vmid, before=lambda: self.clock.sleep(length))

    def meanwhile(self, method: str | None, event: Action, nth: int = 1, vmid: int | None = None) -> None:
        """Something happens in the world just before the call is carried out."""
        self._order(method, nth, 1, vmid, before=event)

    def afterwards(self, method: str | None, event: Action, nth: int = 1, vmid: int | None = None) -> None:
        """Something happens in the world between the deed and its answer."""
        self._order(method, nth, 1, vmid, after=event)

    def always(self, method: str | None, event: Action, *, after: bool = True) -> None:
        """Something happens at each of these calls."""
        self._order(method, 1, sys.maxsize, None, None if after else event, event if after else None)

    def fail_task(
        self,
        method: str | None,
        error: str | TargetError,
        nth: int = 1,
        times: int = 1,
        vmid: int | None = None,
        part: int = 1,
    ) -> None:
        """The call's task ends with this error and without its effect, or with that of the parts before ``part``."""
        failing = TargetError(error) if isinstance(error, str) else error
        self._tasks.append((Fault(method, vmid, nth, times), TaskFault(failing, part)))

    def warn_task(self, method: str | None, nth: int = 1, times: int = 1, vmid: int | None = None) -> None:
        """The call's task does its work and ends ``WARNINGS: 1``."""
        self._tasks.append((Fault(method, vmid, nth, times), TaskFault(ending="WARNINGS: 1")))

    def slow_task(self, method: str, longer: timedelta, nth: int = 1, times: int = 1, vmid: int | None = None) -> None:
        """The call's task takes that much longer."""
        self._tasks.append((Fault(method, vmid, nth, times), TaskFault(longer=longer)))

    def restart(self) -> None:
        """After a Crash: the next process may call. Until then every call of the dead one dies, clean-up included."""
        self.dead = False

    def clear(self) -> None:
        """Forget all orders; counts stay."""
        self._orders.clear()
        self._tasks.clear()

    def at(self, call: Call) -> tuple[Fault, ...]:
        """Log the call and say which orders it meets; the caller runs their ``before`` and ``after``."""
        self.refuse_the_dead()
        self.log.append(call)
        return tuple(order for order in self._orders if order.fires(call))

    def refuse_the_dead(self) -> None:
        """Crash again if the process has died."""
        if self.dead:
            raise Crash("a dead process calls nobody; a test starts the next one with restart()")

    def at_task(self, call: Call) -> TaskFault:
        """What was ordered for the task that this call starts."""
        found = [fault for order, fault in self._tasks if order.fires(call)]
        failing = next((fault for fault in found if fault.error), TaskFault())
        ending = next((fault.ending for fault in found if fault.ending != "OK"), "OK")
        return TaskFault(failing.error, failing.part, ending, sum((fault.longer for fault in found), timedelta(0)))

    def calls(self, name: str) -> int:
        """How often the method was called, refused calls included."""
        return sum(name in call.names for call in self.log)

    def record(self, call: Call) -> None:
        """Count a changing call that was carried out."""
        if call.changing:
            self.executed.update((name, call.counted) for name in call.names)

    def _dying(self, where: str) -> Action:
        def act() -> None:
            self.dead = True
            raise Crash(where)

        return act

    def _order(
        self,
        method: str | None,
        nth: int,
        times: int,
        vmid: int | None,
        before: Action | None = None,
        after: Action | None = None,
    ) -> None:
        self._orders.append(Fault(method, vmid, nth, times, before, after))
