"""The datacentre: the product's simulated cluster, with rights, and with whatever a test orders to go wrong."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeVar, cast

from tests.datacentre.event import Events
from tests.datacentre.fault import Call, Faults, parse_call
from zlh_hooks.application.ports import Clock
from zlh_hooks.domain.errors import RoadError, ZlhError
from zlh_hooks.simulation.cluster import SimulatedCluster
from zlh_hooks.simulation.physics import TaskFault
from zlh_hooks.simulation.seam import Request, reading

R = TypeVar("R")


class Datacentre(Events, SimulatedCluster):
    """Give it the clock that the code under test has. ``durations`` of tasks may be changed by tests.

    Writes are refused without quorum, calls without a valid token, and each privilege is asked of ``privileges``.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.faults = Faults(clock)
        self._call = Call(("none",), frozenset(), None, False)

    @reading
    def read_rights(self, path: str | None = None) -> Mapping[str, frozenset[str]]:
        """``privileges`` as tests left them; those above a path hold on it."""
        return dict(self.privileges) if path is None else {path: self._effective(path)}

    def may(self, privilege: str, path: str) -> bool:
        """By ``privileges``; each question is noted."""
        self.faults.needs.append((self._call, privilege))
        return privilege in self._effective(path)

    def _effective(self, path: str) -> frozenset[str]:
        parts = path.split("/")
        above = ["/", *("/".join(parts[:length]) for length in range(2, len(parts) + 1))]
        return frozenset().union(*(self.privileges.get(one, frozenset()) for one in above))

    def fault_of_task(self) -> TaskFault:
        """What was ordered for the task that the present call begins."""
        return self.faults.at_task(self._call)

    def carry_out(self, request: Request, deed: Callable[[], R]) -> R:
        """The call with all that was ordered before and after it, or in its stead."""
        call = parse_call(request)
        fired = self.faults.at(call)
        for act in [order.before for order in fired if order.before]:
            act()
        self.settle()
        late = next((order.late for order in fired if order.late is not None), None)
        if late is not None:
            self.at(late, lambda: self._do_unheard(call, deed))
        answer = None if late is not None else self._do(call, deed)
        for act in [order.after for order in fired if order.after]:
            act()
        return cast(R, answer)

    def _do(self, call: Call, deed: Callable[[], R]) -> R:
        if not self.token_valid and call.names != ("measure",):
            raise RoadError("Proxmox refuses the API token (401 invalid token value)")
        if call.changing and not self.quorate:
            raise RoadError("cluster not ready - no quorum?")
        self._call = call
        answer = deed()
        self.faults.record(call)
        return answer

    def _do_unheard(self, call: Call, deed: Callable[[], R]) -> None:
        with suppress(ZlhError):
            self._do(call, deed)
