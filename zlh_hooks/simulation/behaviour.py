"""How a guest behaves when a given root volume runs: what a template version is, seen from outside."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A property of a root volume, inherited by every copy of it. All times in seconds after the start.

    ``exits_after`` is an init that ends by itself although the start task said OK; ``measurable`` False makes every
    measurement fail (neither healthy nor unhealthy); ``reads_data`` False fails wherever a data volume is mounted;
    ``reports`` is the version it claims, if not its own.
    """

    version: str
    boots: bool = True
    boot_seconds: float = 3
    start_seconds: float = 2
    shutdown_seconds: float = 1
    refuses_shutdown: bool = False
    unhealthy_after: float | None = None
    exits_after: float | None = None
    reports: str | None = None
    state: str = "running"
    measurable: bool = True
    reads_data: bool = True

    @property
    def reported(self) -> str:
        """The version it tells a probe."""
        return self.version if self.reports is None else self.reports


def good(version: str) -> Behaviour:
    """Boots in three seconds and stays healthy."""
    return Behaviour(version)


def cannot_read_data(version: str) -> Behaviour:
    """Healthy on its own, as in a smoke test, and broken as soon as a customer's data is there."""
    return Behaviour(version, reads_data=False)
