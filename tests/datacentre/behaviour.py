"""Guests that behave in ways that only tests need."""

from dataclasses import replace

from zlh_hooks.simulation.behaviour import Behaviour, good


def never_boots(version: str) -> Behaviour:
    """The start task fails."""
    return Behaviour(version, boots=False)


def turns_unhealthy(version: str, after: float = 8) -> Behaviour:
    """Boots, passes its first probes and fails them from then on."""
    return Behaviour(version, unhealthy_after=after)


def boots_slowly(version: str, seconds: float = 120) -> Behaviour:
    """Healthy, but late; the start task itself waits as long as ext4's multi-mount protection does."""
    return Behaviour(version, boot_seconds=seconds, start_seconds=min(seconds, 91))


def refuses_shutdown(version: str) -> Behaviour:
    """Healthy, and deaf to an orderly shutdown."""
    return Behaviour(version, refuses_shutdown=True)


def exits_soon(version: str, after: float = 1) -> Behaviour:
    """The start task says OK, then the guest is gone."""
    return Behaviour(version, exits_after=after)


def claims(version: str, reports: str) -> Behaviour:
    """Healthy, and says that it is another version."""
    return replace(good(version), reports=reports)


def changes_state(version: str, state: str = "idle") -> Behaviour:
    """Healthy, but its agent is in another state than before."""
    return replace(good(version), state=state)


def cannot_be_measured(version: str) -> Behaviour:
    """Every measurement fails."""
    return replace(good(version), measurable=False)
