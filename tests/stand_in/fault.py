"""What goes wrong, and when: faults that strike a changing request or the task behind it."""

from collections.abc import Callable
from dataclasses import dataclass, field

ANY = "*"


@dataclass(slots=True)
class Fault:
    """Strikes the ``nth`` request of a kind (``call`` as in ``StandInPve.counts``, or ANY) for a guest (None: any).

    ``after`` False: before it is executed; True: when it is, instead of its answer. ``act`` is called in that moment,
    e.g. to kill a worker. The answer is ``status`` and ``message``, or after ``delay`` seconds a reset connection.
    """

    call: str = ANY
    vmid: int | None = None
    nth: int = 1
    after: bool = False
    act: Callable[[], None] | None = None
    status: int | None = None
    message: str = "refused by a fault"
    delay: float = 0.0
    seen: int = 0

    def matches(self, call: str, vmid: int) -> bool:
        """Counts a request of this kind; true for the nth."""
        if self.call not in (ANY, call) or self.vmid not in (None, vmid):
            return False
        self.seen += 1
        return self.seen == self.nth


@dataclass(slots=True)
class TaskFault:
    """Ends the next task of a kind (``vzclone``, ``vzreboot``, ``move_volume``...) with ``exit_status``.

    ``after`` True: when its work is done, as ``WARNINGS: 1`` does; False: instead of its work.
    """

    kind: str
    exit_status: str
    after: bool = False


@dataclass(slots=True)
class Faults:
    """The faults still to come; each strikes once."""

    requests: list[Fault] = field(default_factory=list)
    tasks: list[TaskFault] = field(default_factory=list)

    def take_request(self, call: str, vmid: int) -> Fault | None:
        """The fault that strikes this request."""
        struck = [fault for fault in self.requests if fault.matches(call, vmid)]
        for fault in struck:
            self.requests.remove(fault)
        return struck[0] if struck else None

    def take_task(self, kind: str, after: bool) -> TaskFault | None:
        """The fault that strikes a task of this kind now."""
        struck = next((fault for fault in self.tasks if fault.kind == kind and fault.after == after), None)
        if struck:
            self.tasks.remove(struck)
        return struck
