"""One line of the launch gate."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """One thing that must be so before the launch.

    ``found`` is the evidence, or what is there instead. What is red says what makes it green: ``act`` is what a person
    does, ``commands`` are then typed as they stand.
    """

    name: str
    is_green: bool
    found: str
    act: str = ""
    commands: tuple[str, ...] = ()
