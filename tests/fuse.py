"""An end that can be put before and after every call of some ports: the points at which a story may be cut off."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Fuse:
    """Counts calls, before and after each; at number ``blow`` it does ``burn``."""

    blow: int
    burn: Callable[[], object]
    count: int = 0

    @property
    def has_blown(self) -> bool:
        return self.count >= self.blow

    def pass_through(self) -> None:
        self.count += 1
        if self.count == self.blow:
            self.burn()

    def wrap(self, thing: Any) -> Any:
        return Fused(thing, self)


@dataclass
class Fused:
    """What behaves like ``thing`` until the fuse has blown."""

    thing: Any
    fuse: Fuse

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*words: Any, **more: Any) -> Any:
            self.fuse.pass_through()
            answer = getattr(self.thing, name)(*words, **more)
            self.fuse.pass_through()
            return answer

        return call
