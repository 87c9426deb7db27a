"""Packages that guests shall have by the operators' signed word."""

from dataclasses import dataclass

from zlh_hooks.domain.agent_release import Span
from zlh_hooks.domain.errors import SettingsError


@dataclass(frozen=True, slots=True)
class WishOrder:
    """What an operator wishes for a ring of a line: every security fix, or exactly these, or to leave all as it is.

    ``packages``: words such as ``openssl=3.0.15-1``. ``SettingsError`` unless it says one thing.
    """

    line: str
    ring: str
    security: bool = False
    packages: tuple[str, ...] = ()
    nothing: bool = False
    emergency: Span | None = None

    def __post_init__(self) -> None:
        said = [self.security, bool(self.packages), self.nothing].count(True)
        if said != 1:
            expected = "one of --security, --package NAME=VERSION (once for each package) and --none"
            raise SettingsError("wish", "packages", f"{said} of these", expected)


@dataclass(frozen=True, slots=True)
class PatchOrder:
    """What a rollout brings to guests of that line, or of all: every security fix, or exactly these packages.

    ``SettingsError`` unless it says one thing.
    """

    line: str | None = None
    security: bool = False
    packages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.security == bool(self.packages):
            found = "both" if self.security else "neither"
            raise SettingsError("patch", "packages", found, "--security, or --package NAME=VERSION once for each")


@dataclass(frozen=True, slots=True)
class WishRow:
    """A wish for tables; ``id`` is what guests report of it."""

    number: int
    line: str
    ring: str
    packages: str
    emergency: str
    id: str
