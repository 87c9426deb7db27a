"""Writing our tags to several templates: read, change only ours, write with the digest, come back to what is locked."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from zlh_hooks.application.journal import is_gone
from zlh_hooks.application.ports import Clock, GuestEditor, Inventory, Ledger, PromotionHook
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.errors import ConfigChanged, GuestLocked, NotAllowed, TargetError, Unanswered, ZlhError
from zlh_hooks.domain.guest import GuestConfig, GuestRef, GuestSummary
from zlh_hooks.domain.line import CANARY, STABLE
from zlh_hooks.domain.tag import CHANNEL, LINE, REVOKED, VERSION, render_tags

STABLE_TAG = CHANNEL + STABLE
CANARY_TAG = CHANNEL + CANARY
POLL = timedelta(seconds=1)
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ChannelPorts:
    """What these stories ask of the world. ``patience``: how long in all to wait for locks, e.g. a running clone's.

    ``templates`` are there for all that is known: if the listing leaves one out, it was deleted, or may not be seen.
    """

    inventory: Inventory
    editor: GuestEditor
    ledger: Ledger
    clock: Clock
    hooks: Sequence[PromotionHook] = ()
    patience: timedelta = timedelta(minutes=2)
    templates: Sequence[GuestRef] = ()

    def list_guests(self) -> tuple[GuestSummary, ...]:
        """The cluster's listing. Proxmox leaves out, unsaid, what the token may not see: ``RightMissing`` says it."""
        guests = self.inventory.list_guests()
        for ref in set(self.templates) - {guest.ref for guest in guests}:
            is_gone(lambda ref=ref: self.inventory.read_config(ref))  # type: ignore[misc]
        return guests


@dataclass(frozen=True, slots=True)
class Written(Generic[Result]):
    """What became of writes to several guests."""

    done: Mapping[GuestRef, Result]
    failed: Mapping[GuestRef, ZlhError]

    def raise_first(self) -> None:
        """Raise the first failure, if any."""
        for error in self.failed.values():
            raise error


def write_all(ports: ChannelPorts, refs: Iterable[GuestRef], write: Callable[[GuestRef], Result]) -> Written[Result]:
    """Call ``write`` for each guest; come back to those that are locked or were changed meanwhile.

    ``write`` must read before it writes: after a lost answer it is called again. One guest that fails, or stays locked
    beyond the patience, does not keep the others from being written.
    """
    deadline = ports.clock.monotonic() + ports.patience.total_seconds()
    done: dict[GuestRef, Result] = {}
    failed: dict[GuestRef, ZlhError] = {}
    waiting = list(refs)
    while waiting:
        later: dict[GuestRef, ZlhError] = {}
        for ref in waiting:
            try:
                done[ref] = write(ref)
            except (GuestLocked, ConfigChanged, Unanswered) as error:
                later[ref] = error
            except TargetError as error:
                failed[ref] = error
        if later and ports.clock.monotonic() >= deadline:
            return Written(done, failed | later)
        if later:
            ports.clock.sleep(POLL)
        waiting = list(later)
    return Written(done, failed)


@dataclass(frozen=True, slots=True)
class Retag:
    """A change of tags on templates of a line (and version)."""

    line: str
    version: str | None = None
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()

    def write_all(self, ports: ChannelPorts, refs: Iterable[GuestRef]) -> Written[frozenset[str]]:
        """Change every template; the results are the tags found before."""
        return write_all(ports, refs, lambda ref: self._write(ports, ref))

    def _write(self, ports: ChannelPorts, ref: GuestRef) -> frozenset[str]:
        config = ports.inventory.read_config(ref)
        found = frozenset(config.tags)
        self._check(config, found)
        wanted = (found - set(self.drop)) | set(self.add)
        if wanted != found:
            ports.editor.write_config(ref, {"tags": render_tags(wanted)}, config.digest)
        return found

    def _check(self, config: GuestConfig, tags: frozenset[str]) -> None:
        """The listing is seconds old: the number may be another guest's by now, the version revoked."""
        claimed = LINE + self.line in tags and (self.version is None or VERSION + self.version in tags)
        if not config.flag("template") or not claimed:
            name = " ".join(filter(None, (self.line, self.version)))
            raise TargetError(f"guest {config.ref} is no template of {name} any more; run it again")
        if REVOKED in tags and {STABLE_TAG, CANARY_TAG} & set(self.add):
            raise NotAllowed(f"{self.line} {self.version} was revoked meanwhile (template {config.ref})")


@contextmanager
def recorded(ports: ChannelPorts, name: str, data: Mapping[str, Any], rollout: str = "") -> Iterator[None]:
    """Intent before, done or failed after. The rollout is only named: these stories are repeated whole, not resumed."""
    data = {**data, "rollout": rollout} if rollout else data
    ports.ledger.append(Draft(Kind.INTENT, name, data=dict(data)))
    try:
        yield
    except ZlhError as error:
        ports.ledger.append(Draft(Kind.FAILED, name, data={**data, "reason": str(error)}))
        raise
    ports.ledger.append(Draft(Kind.DONE, name, data=dict(data)))
