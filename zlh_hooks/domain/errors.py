"""Errors, sorted by what their reader does next.

    ZlhError
    ├── SettingsError          correct the file and run again
    ├── NotAllowed             policy says no; wait or change the policy
    ├── TargetError            this target goes back, the others go on
    │   ├── GuestMissing       the guest was deleted or moved to another node
    │   ├── HeldUp             it goes by itself: wait; it speaks against no version
    │   │   ├── GuestLocked    Proxmox holds a config lock: later means later
    │   │   └── StorageAway    a storage that the guest stands on does not answer
    │   ├── ConfigChanged      somebody else edited the guest since we read it
    │   └── Overtaken          others have said since what agents shall have: that counts
    ├── LedgerBroken           the record was changed or damaged: find out by whom before anything goes on
    └── RoadError              network, API or rights: nothing goes on until it is mended
        ├── RightMissing       the token lacks a privilege
        ├── Unreadable         one guest could not be looked at: wait, or leave it out
        ├── Unanswered         a write was sent and its answer lost: look before repeating
        └── LeaseLost          another worker executes now: stop at once, it goes on

Anything else is a bug and stops the run.
"""

from __future__ import annotations

from datetime import datetime


class ZlhError(Exception):
    """Base of every error this library raises on purpose."""


class SettingsError(ZlhError):
    """A settings or policy file is wrong.

    ``file`` and ``key`` name the place, ``found`` what stands there, ``expected`` what would be right; ``more`` are
    further faults of the same files.
    """

    def __init__(self, file: str, key: str, found: str, expected: str) -> None:
        self.file = file
        self.key = key
        self.found = found
        self.expected = expected
        self.more: tuple[SettingsError, ...] = ()
        super().__init__(file, key, found, expected)

    def __str__(self) -> str:
        line = f"{self.file}: {self.key}: found {self.found}; expected {self.expected}"
        return "\n".join([line, *map(str, self.more)])


class NotAllowed(ZlhError):
    """Policy refuses. ``rule`` names the rule, ``until`` (aware, or None if never) when it would be allowed."""

    def __init__(self, rule: str, until: datetime | None = None) -> None:
        self.rule = rule
        self.until = until
        super().__init__(rule if until is None else f"{rule}; allowed from {_render_end(until)}")


class TargetError(ZlhError):
    """One target cannot be changed, or its change failed. The others go on."""


class GuestMissing(TargetError):
    """The guest does not exist on the node where it was last seen."""


class HeldUp(TargetError):
    """What stands in the way goes by itself, and says nothing about what is brought to the guest."""


class GuestLocked(HeldUp):
    """The guest's config carries a lock, e.g. ``backup``. Never broken by force."""

    def __init__(self, message: str, lock: str) -> None:
        self.lock = lock
        super().__init__(message)


class StorageAway(HeldUp):
    """A storage that the guest stands on is not mounted, or cannot be reached."""


class ConfigChanged(TargetError):
    """The digest sent with a write was not the config's any more."""


class Overtaken(TargetError):
    """Others have changed the desired state of agents since: what a rollout would show counts no more."""


class LedgerBroken(ZlhError):
    """The ledger is not as it was written: nothing may be decided from it."""


class RoadError(ZlhError):
    """The way to a system is broken (network, API, quorum, credentials); says nothing about a target's health."""


class RightMissing(RoadError):
    """HTTP 403: ``missing`` is what Proxmox named, e.g. ``/vms/5001, VM.Config.Disk``."""

    def __init__(self, message: str, missing: str) -> None:
        self.missing = missing
        super().__init__(message)


class Unreadable(RoadError):
    """Proxmox answers, but could not say how one guest is: that speaks neither for nor against the guest."""


class Unanswered(RoadError):
    """A changing request was sent and no answer came: it may or may not have been carried out."""


class LeaseLost(RoadError):
    """This process may not execute any more: another one holds the lease."""


def _render_end(until: datetime) -> str:
    """To the second where it is not a whole minute: a lease that ends in this minute is not over yet."""
    return until.isoformat(timespec="seconds" if until.second or until.microsecond else "minutes")


def describe_error(error: BaseException) -> str:
    """What may be told of it to others: the words of a bug may hold anything, so its kind alone."""
    return str(error) if isinstance(error, ZlhError) else f"an error that nobody foresaw ({type(error).__name__})"
