"""One controller per cluster: the lock is a tag on a template, written with its config's digest.

``zlh-lease.<until>.<holder>`` stands on the template with the lowest number among those of any line. A digest makes the
write a compare-and-swap; clones inherit the tag but are no templates, so theirs does not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from zlh_hooks.application.ports import Clock, Cluster
from zlh_hooks.domain import tag
from zlh_hooks.domain.errors import ConfigChanged, GuestLocked, NotAllowed
from zlh_hooks.domain.guest import GuestRef, GuestSummary

POLL = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Claim:
    """Who controls the cluster, until when; ``place`` is the template that carries the tag."""

    holder: str
    until: datetime
    place: GuestRef
    tag: str


def find_claims(guests: Sequence[GuestSummary]) -> tuple[Claim, ...]:
    """Every claim on templates of the cluster, expired ones too."""
    claims = []
    for guest in guests:
        for value in tag.values_of(tag.LEASE, guest.tags) if guest.template else ():
            stamp, _, holder = value.partition(".")
            until = tag.parse_time(stamp)
            claims += [Claim(holder, until, guest.ref, tag.LEASE + value)] if until and holder else []
    return tuple(claims)


@dataclass(slots=True)
class ControllerLock:
    """The claim of this controller, named ``holder`` (``[a-z0-9_.+-]+``)."""

    cluster: Cluster
    clock: Clock
    holder: str
    length: timedelta = timedelta(minutes=10)
    patience: timedelta = timedelta(minutes=2)

    def take(self) -> None:
        """Take or extend the claim; ``NotAllowed`` names another holder and until when."""
        place = self._find_place()
        if place is not None:
            self._write(place, self.clock.now() + self.length)

    def release(self) -> None:
        """Take our claim off."""
        for claim in find_claims(self.cluster.inventory.list_guests()):
            if claim.holder == self.holder:
                self._write(claim.place, None)

    def _find_place(self) -> GuestRef | None:
        guests = self.cluster.inventory.list_guests()
        self._refuse_if_held(find_claims(guests))
        places = [g.ref for g in guests if g.template and g.is_container and tag.values_of(tag.LINE, g.tags)]
        return min(places, default=None)

    def _refuse_if_held(self, claims: Sequence[Claim]) -> None:
        other = next((c for c in claims if c.holder != self.holder and c.until > self.clock.now()), None)
        if other is not None:
            raise NotAllowed(
                f"the cluster is controlled by {other.holder} (tag on template {other.place})", other.until
            )

    def _write(self, place: GuestRef, until: datetime | None) -> None:
        """A template that is being cloned is locked; a claim lasts long enough to wait for that."""
        deadline = self.clock.monotonic() + self.patience.total_seconds()
        while not self._try_write(place, until):
            if self.clock.monotonic() >= deadline:
                raise GuestLocked(
                    f"template {place} stayed locked: the controller's claim could not be written", "disk"
                )
            self.clock.sleep(POLL)

    def _try_write(self, place: GuestRef, until: datetime | None) -> bool:
        config = self.cluster.inventory.read_config(place)
        summary = GuestSummary(place, "", False, True, config.tags)
        if until is not None:
            self._refuse_if_held(find_claims([summary]))
        value = None if until is None else f"{tag.render_time(until)}.{self.holder}"
        tags = tag.render_tags(tag.replace(config.tags, tag.LEASE, value))
        if tags == tag.render_tags(config.tags):
            return True
        try:
            self.cluster.editor.write_config(place, {"tags": tags}, config.digest)
        except (ConfigChanged, GuestLocked):
            return False
        return True


def render_holder(host: str, ledger: str) -> str:
    """A name for this controller that is a valid end of a tag: host and the first digits of what its ledger is."""
    safe = "".join(char if char.isalnum() or char in "_+-" else "-" for char in host.lower())
    return f"{safe}-{ledger}"
