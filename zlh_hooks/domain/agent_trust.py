"""Who answers for what agents install: purposes of keys, roles of the repository, and how they stand.

The repository is one of The Update Framework (TUF 1.0): ``root`` says whose keys count, ``targets`` delegates to
``releases`` (which bytes are good) and to ``desired`` (who gets which of them), ``snapshot`` and ``timestamp`` say
what is the newest of all. An agent installs only what ``releases`` and ``desired`` agree on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Purpose(StrEnum):
    """What a key may sign."""

    ROOT = "root"
    RELEASE = "release"
    OPERATOR = "operator"
    ONLINE = "online"


class TrustRole(StrEnum):
    """A signed document of the repository."""

    ROOT = "root"
    TARGETS = "targets"
    RELEASES = "releases"
    DESIRED = "desired"
    SNAPSHOT = "snapshot"
    TIMESTAMP = "timestamp"


PURPOSE_OF: Mapping[TrustRole, Purpose] = {
    TrustRole.ROOT: Purpose.ROOT,
    TrustRole.TARGETS: Purpose.ROOT,
    TrustRole.RELEASES: Purpose.RELEASE,
    TrustRole.DESIRED: Purpose.OPERATOR,
    TrustRole.SNAPSHOT: Purpose.ONLINE,
    TrustRole.TIMESTAMP: Purpose.ONLINE,
}
SIGNED_BY_PEOPLE = (TrustRole.ROOT, TrustRole.TARGETS, TrustRole.RELEASES, TrustRole.DESIRED)
_OF_ROOT = (TrustRole.ROOT, TrustRole.TARGETS)
PERSON = (Purpose.ROOT, Purpose.RELEASE, Purpose.OPERATOR)
"""The keys that a person has."""


@dataclass(frozen=True, slots=True)
class RoleRule:
    """How many signatures a document needs, and how long they count."""

    threshold: int
    life: timedelta


RoleRules = Mapping[TrustRole, RoleRule]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a document stands. ``missing``: signatures that it still needs; ``may_sign``: holders who have not.

    ``is_draft``: it is not published yet. Of the root both its own rule and that of the root before it count.
    """

    role: TrustRole
    version: int
    expires: datetime
    is_draft: bool
    signed_by: tuple[str, ...]
    may_sign: tuple[str, ...]
    missing: int

    @property
    def is_signed(self) -> bool:
        """Whether it has all signatures that it needs."""
        return self.missing == 0


@dataclass(frozen=True, slots=True)
class ThresholdGap:
    """Readers want another number of signatures of a role, ``published``, than the policy says: ``wanted``."""

    role: TrustRole
    published: int
    wanted: int
    keys: int

    @property
    def remedy(self) -> str:
        """What lets the policy count."""
        if self.wanted > self.keys:
            return f"{self.keys} keys count: zlh-hooks agent keys add-person, or another threshold in the policy"
        roles = [TrustRole.ROOT, TrustRole.TARGETS] if self.role in _OF_ROOT else [TrustRole.TARGETS, self.role]
        return f"zlh-hooks agent keys renew {' '.join(roles)}, then sign and publish"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A draft that was not published, and what it waits for, for people."""

    role: TrustRole
    version: int
    why: str


@dataclass(frozen=True, slots=True)
class Publication:
    """What readers see since: paths below the public folder, in their order; and what they do not see yet."""

    written: tuple[str, ...]
    waiting: tuple[Waiting, ...]


@dataclass(frozen=True, slots=True)
class Expiry:
    """When a published document ends, and whether a person must act: ``warns`` from ``renew_by`` on, long before;
    ``over`` when it has.
    """

    role: TrustRole
    version: int
    expires: datetime
    renew_by: datetime
    warns: bool
    over: bool

    @property
    def remedy(self) -> str:
        """What renews it."""
        if self.role in (TrustRole.SNAPSHOT, TrustRole.TIMESTAMP):
            return "zlh-hooks agent publish"
        return f"zlh-hooks agent keys renew {self.role}, then sign and publish"


def list_expiries(standings: Iterable[Standing], rules: RoleRules, warn_percent: int, now: datetime) -> list[Expiry]:
    """Every published document's end, the nearest first. It warns when less than ``warn_percent`` of a life is left."""
    expiries = (
        _find_expiry(one, rules[one.role].life * warn_percent / 100, now) for one in standings if not one.is_draft
    )
    return sorted(expiries, key=lambda expiry: expiry.expires)


def _find_expiry(one: Standing, notice: timedelta, now: datetime) -> Expiry:
    renew_by = one.expires - notice
    return Expiry(one.role, one.version, one.expires, renew_by, renew_by < now, one.expires <= now)
