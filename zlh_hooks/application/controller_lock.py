"""One controller per cluster: the lock is a tag on a template, written with its config's digest.

``zlh-lease.<until>.<holder>`` stands on the template with the lowest number among those of any line. A digest makes the
write a compare-and-swap; clones inherit the tag but are no templates, so theirs does not count.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from zlh_hooks.application.ports import Clock, Cluster
from zlh_hooks.domain import tag
from zlh_hooks.domain.errors import ConfigChanged, GuestLocked, NotAllowed
from zlh_hooks.domain.guest import GuestConfig, GuestRef, GuestSummary

POLL = timedelta(seconds=1)
MARGIN = timedelta(minutes=1)
"""A claim that ends sooner is not relied on: what is sent now is answered, or given up, within that."""

Result = TypeVar("Result")


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

    def take(self) -> datetime:
        """Take or extend the claim and say until when it stands; ``NotAllowed`` names another holder and until when.

        While its template is cloned nothing can be written there: our own claim is kept as it is, with ``MARGIN`` left.
        """
        place = self._find_place()
        if place is None:
            return self.clock.now() + self.length
        return self._write_in_time(place, self._extend)

    def release(self) -> None:
        """Take our claim off."""
        for claim in find_claims(self.cluster.inventory.list_guests()):
            if claim.holder == self.holder:
                self._write_in_time(claim.place, self._drop)

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

    def _write_in_time(self, place: GuestRef, write: Callable[[GuestRef], Result]) -> Result:
        """A template that is being cloned is locked; a claim lasts long enough to wait for that."""
        deadline = self.clock.monotonic() + self.patience.total_seconds()
        while True:
            try:
                return write(place)
            except (ConfigChanged, GuestLocked) as error:
                if self.clock.monotonic() >= deadline:
                    text = f"template {place} stayed locked: the controller's claim could not be written"
                    raise GuestLocked(text, "disk") from error
            self.clock.sleep(POLL)

    def _extend(self, place: GuestRef) -> datetime:
        config, claims = self._read(place)
        self._refuse_if_held(claims)
        until = (self.clock.now() + self.length).replace(second=0, microsecond=0)  # as its tag says it
        try:
            self._write(config, tag.replace(config.tags, tag.LEASE, f"{tag.render_time(until)}.{self.holder}"))
        except GuestLocked:
            kept = max((claim.until for claim in claims if claim.holder == self.holder), default=self.clock.now())
            if kept - self.clock.now() < MARGIN:
                raise
            return kept
        return until

    def _drop(self, place: GuestRef) -> None:
        """The listing is seconds old: by now it may be another's, who took it over."""
        config, claims = self._read(place)
        ours = {claim.tag for claim in claims if claim.holder == self.holder}
        self._write(config, set(config.tags) - ours)

    def _read(self, place: GuestRef) -> tuple[GuestConfig, Sequence[Claim]]:
        config = self.cluster.inventory.read_config(place)
        return config, find_claims([GuestSummary(place, "", False, True, config.tags)])

    def _write(self, config: GuestConfig, tags: Iterable[str]) -> None:
        rendered = tag.render_tags(tags)
        if rendered != tag.render_tags(config.tags):
            self.cluster.editor.write_config(config.ref, {"tags": rendered}, config.digest)


def render_holder(host: str, ledger: str) -> str:
    """A name for this controller that is a valid end of a tag: host and the first digits of what its ledger is."""
    safe = "".join(char if char.isalnum() or char in "_+-" else "-" for char in host.lower())
    return f"{safe}-{ledger}"
