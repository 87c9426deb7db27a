"""Carrying a swap or a patch to its end, step by step: written down before each act, told, led back where one fails.

Whoever dies in between is followed by one who goes on from what is written down.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from agent_plugin.fault import AtFault, BadInput, NotNow
from agent_plugin.words import hide_secrets, make_printable

LONGEST = 28
"""So many steps at most, as in Mender: a story that is interrupted again and again goes back instead."""
EXTRA = 12
"""So many more are left for going back and reporting."""
LONGEST_REASON = 500


class Event(str, Enum):
    """How a step ended. ``INTERRUPTED``: the plugin died in it.

    ``DONE_FIRST``: done, and there is no release yet; ``NOTHING``: there is nothing to bring.
    """

    DONE = "done"
    DONE_FIRST = "done_first"
    NOTHING = "nothing"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


S = TypeVar("S", bound=Enum)


@dataclass(frozen=True)
class Course(Generic[S]):
    """Which event leads from which step to which: ``table``; nothing else decides a step.

    ``untouched``: steps whose end only takes away what was brought; ``touched``: from here on there is only one way out
    besides success, ``back``. ``decides``: a failure in these is the reason of the end.
    """

    table: Mapping[tuple[S, Event], S]
    untouched: tuple[S, ...]
    touched: tuple[S, ...]
    decides: tuple[S, ...]
    back: S

    def advance(self, step: S, event: Event) -> S:
        """The step that follows."""
        return self.table[step, event]

    def may_go_on(self, step: S, transitions: int) -> bool:
        """Whether a story that has come so far may still do this step."""
        return transitions <= (LONGEST if step in (*self.untouched, *self.touched) else LONGEST + EXTRA)

    def render_diagram(self) -> str:
        """The table as a Mermaid state diagram, without interruptions that begin the same step again."""
        lines = [
            f"    {step.value} --> {after.value}: {event.value}"
            for (step, event), after in self.table.items()
            if after is not step
        ]
        return "\n".join(["stateDiagram-v2", *lines])


def plan_forward(*steps: S) -> "Mapping[tuple[S, Event], S]":
    """Each leads to the next when it is done."""
    return {(before, Event.DONE): after for before, after in pairwise(steps)}


class Stand(Protocol):
    """Where a story stands: what is written down of it."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def step(self) -> Any:
        """What is done now."""

    @property
    def transitions(self) -> int:
        """How many steps were done."""

    @property
    def is_open(self) -> bool:
        """Whether something is left to do."""

    @property
    def outcome(self) -> str:
        """How it ended; ``failed``: with nothing changed."""

    def after(self: "T", event: Event) -> "T":
        """The same story one step on. It has fields ``reason`` and ``blame``, too."""


T = TypeVar("T", bound=Stand)


def moves(ended: "Stand | None") -> bool:
    """Whether something in the guest may have changed by it; one check moves one thing, so that its time suffices."""
    return ended is not None and ended.outcome != "failed"


class Story(ABC, Generic[T]):
    """One swap or patch; ``now`` is where it stands. Each act may be done again after a crash at any point of it."""

    course: "ClassVar[Course[Any]]"
    now: T
    acts: "Mapping[Any, Callable[[], Event | None]]"

    @abstractmethod
    def save(self) -> None:
        """Write down where it stands."""

    @abstractmethod
    def tell(self) -> None:
        """Write the status document."""

    def carry_out(self) -> T:
        """Do step after step until the end."""
        while self.now.is_open:
            event = self._do_step()
            self.now = self.now.after(event)
        self._write()
        return self.now

    def _do_step(self) -> Event:
        step = self.now.step
        try:
            self._write()
            if not self.course.may_go_on(step, self.now.transitions):
                raise NotNow(f"given up after {self.now.transitions} steps, in {step.value}")
            return self.acts[step]() or Event.DONE
        except AtFault as error:
            self._blame(str(error), blame=True)
        except (NotNow, BadInput, OSError) as error:  # a program may print what no person was allowed to write
            self._blame(str(error), blame=False)
        return Event.FAILED

    def _blame(self, words: str, blame: bool) -> None:
        """The first failure is the reason; a way back that fails as well makes the story stuck."""
        step, said = self.now.step, make_printable(hide_secrets(words))[:LONGEST_REASON]
        reason = f"{step.value}: {said}"
        if step in self.course.decides:
            self.note(reason=reason, blame=blame)
        elif step is self.course.back:
            self.note(outcome="stuck", reason=reason)

    def note(self, **changes: object) -> None:
        """Remember it; the next step writes it down."""
        self.now = replace(self.now, **changes)

    def _write(self) -> None:
        """On the way back and after the decision, a full disk must not stop what needs no space.

        What is open is opened first and closed last: whoever is killed in between has a successor who tells the rest.
        """
        try:
            for write in (self.save, self.tell) if self.now.is_open else (self.tell, self.save):
                write()
        except OSError:
            if self.now.step in self.course.decides:
                raise
