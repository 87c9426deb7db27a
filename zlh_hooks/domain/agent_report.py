"""What guests report of their agents, and whose key signs: first sight is believed, a change is not.

A key belongs to one guest and to the root volume that it was seen on: a root that was exchanged brings a key of its
own, and Proxmox, not the guest, says that it was exchanged. All else that changes a key is looked at by a person.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.errors import TargetError

KEY_SEEN = "agent.key-seen"
KEY_ACCEPTED = "agent.key-accepted"
MOST_KEPT, LONGEST_KEPT = 50, 120
"""Entries and letters of a guest's words that the ledger takes."""


@dataclass(frozen=True, slots=True)
class AgentCheck:
    """How a guest's last check for its pin ended: a ruling's or a refusal's name, and what decided.

    ``pin``: the number of the newest pin that it knew, 0 if there was none.
    ``suspicious``: what it was served is an attack or a mistake, and a person must look at it.
    """

    outcome: str
    said: str
    suspicious: bool
    pin: int = 0


@dataclass(frozen=True, slots=True)
class AgentPatch:
    """A guest's last patch of packages, whoever began it. ``outcome`` counts when it has ended; ``waits``: what still
    runs old files; ``txn``: its name, another one each time. ``packages``: name to the version that it brings,
    ``previous`` to the one before, ``restarted`` units that were restarted for it: as many as the report has room for.
    """

    step: str
    outcome: str
    impact: str
    reason: str
    waits: tuple[str, ...]
    txn: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    previous: Mapping[str, str] = field(default_factory=dict)
    restarted: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether it is under way, or was interrupted: until it has ended the guest calls its wish failed."""
        return self.step != "END"

    @property
    def is_good(self) -> bool:
        """Whether all that was wanted is there."""
        return self.outcome in ("installed", "nothing")

    def summarize(self) -> dict[str, object]:
        """What the ledger keeps: no more than so much, for the guest's root decides what it says."""
        texts = {name: getattr(self, name)[:LONGEST_KEPT] for name in ("txn", "step", "outcome", "impact", "reason")}
        tables = {name: _cut_table(getattr(self, name)) for name in ("packages", "previous")}
        lists = {
            name: [text[:LONGEST_KEPT] for text in getattr(self, name)[:MOST_KEPT]] for name in ("restarted", "waits")
        }
        return texts | tables | lists


@dataclass(frozen=True, slots=True)
class AgentWish:
    """The packages that a guest was wished, as it found it signed. ``state``: empty if it was not tried yet; ``done``,
    ``failed``, ``again`` or ``waits``; ``reason`` says why; ``tries``: how often it ended with nothing changed.
    ``id``: of the wish, another one each time that the same is wished. ``txn``: the patch that was for it, and
    ``outcome`` how the guest remembers its end; empty if it does not say.
    """

    number: int
    words: str
    said: str
    state: str
    reason: str
    tries: int
    id: str = ""
    txn: str = ""
    outcome: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether a person may want to know why it is not there: once may be a road that was away."""
        return self.state == "failed" or (self.state == "again" and self.tries > 1)


@dataclass(frozen=True, slots=True)
class AgentReport:
    """A report whose signature is right. ``key``: the SHA-256 of the public key, in hex; times are aware.

    ``at``: when the guest signed, ``written``: when its document was written, both by the guest's clock. Releases are
    ``<version>-<sha8>``, empty where there is none; ``failed`` is the release that failed last, ``failure`` says why.
    ``swap``: the last one's name, another one each time; ``blocked``: releases that are not tried there again.
    ``check`` and ``patch``: None if there never was one; ``wish``: None if packages are not wished.
    ``takes_back``: its plugin takes back what a wish brought when a later wish says so.
    """

    key: str
    at: datetime
    written: datetime
    current: str
    previous: str
    on_trial: bool
    wanted: str
    step: str
    outcome: str
    reason: str
    failed: str
    failure: str
    check: AgentCheck | None = None
    patch: AgentPatch | None = None
    wish: AgentWish | None = None
    swap: str = ""
    blocked: frozenset[str] = frozenset()
    takes_back: bool = False

    @property
    def wished_patch(self) -> AgentPatch | None:
        """The last patch if it was for the wish; None if somebody else has begun one since, or nobody knows."""
        is_own = self.patch is not None and self.wish is not None and self.patch.txn == self.wish.txn != ""
        return self.patch if is_own else None

    @property
    def wish_outcome(self) -> str:
        """How the patch for the wish ended, also where a full disk took no word of that; empty if nobody knows."""
        patch = self.wished_patch
        if patch is not None and not patch.is_open:
            return patch.outcome
        return self.wish.outcome if self.wish is not None else ""

    def list_wrong(self) -> tuple[str, ...]:
        """What a person may want to know of, in the guest's words."""
        swap = self.reason or (f"{self.failed}: {self.failure}" if self.failed else "")
        check = f"{self.check.outcome}: {self.check.said}" if self.check and self.check.suspicious else ""
        patch = f"patch: {self.patch.reason}" if self.patch and self.patch.reason and not self.patch.is_good else ""
        wish = f"wish {self.wish.number}: {self.wish.reason}" if self.wish and self.wish.is_wrong else ""
        return tuple(filter(None, (swap, check, patch, wish)))


def _cut_table(table: Mapping[str, str]) -> dict[str, str]:
    return {key[:LONGEST_KEPT]: text[:LONGEST_KEPT] for key, text in islice(table.items(), MOST_KEPT)}


def explain_unfit_for_patches(report: AgentReport) -> str | None:
    """Why a guest can have no part in a rollout of packages now; None if it can."""
    if not report.takes_back:
        return "its plugin knows no way back by signed word: bring a newer zlh-agent-plugin"
    if report.on_trial:
        return f"{report.current} is on trial there"
    if report.patch is not None and report.patch.is_open:
        return "a patch is under way there"
    if report.patch is not None and report.patch.outcome == "stuck":
        return "its last patch is stuck: zlh-agent-plugin patch revert there mends it"
    return None


@dataclass(frozen=True, slots=True)
class KeySight:
    """A guest signed with this key while its root was on this volume."""

    vmid: int
    key: str
    root: str
    at: datetime


class KeyRefused(TargetError):
    """The signature is right, and the key is not the guest's: what it says is not believed."""


@dataclass(slots=True)
class KeyBook:
    """Whose key is whose, from a ledger; ``add`` takes in its entries in their order."""

    latest: dict[int, KeySight] = field(default_factory=dict)
    owners: dict[str, int] = field(default_factory=dict)

    def add(self, entries: Iterable[Entry]) -> "KeyBook":
        """Take in more; entries of other things are passed over."""
        for entry in entries:
            if (entry.kind, entry.name) in ((Kind.EVIDENCE, KEY_SEEN), (Kind.COMMAND, KEY_ACCEPTED)):
                data = entry.data
                self.note(KeySight(int(entry.target or 0), str(data["key"]), str(data["root"]), entry.at))
        return self

    def note(self, sight: KeySight) -> None:
        """From now on the key is this guest's."""
        self.latest[sight.vmid] = sight
        self.owners[sight.key] = sight.vmid

    def is_new(self, vmid: int, key: str, root: str) -> bool:
        """Whether this sight must be recorded; ``KeyRefused`` says why the key does not count and what to do."""
        owner, known = self.owners.get(key), self.latest.get(vmid)
        if owner is not None and owner != vmid:
            raise KeyRefused(
                f"guest {vmid} signs with the key of guest {owner}: one is a copy of the other. In the copy, empty"
                f" /etc/machine-id and restart it: it makes a key of its own. If guest {owner} was restored as {vmid}:"
                f" {_accept(vmid, key)}"
            )
        if known is not None and known.root == root and known.key != key:
            raise KeyRefused(
                f"guest {vmid} signs with another key than on {known.at:%Y-%m-%d} ({known.key[:12]}), and its root is"
                f" the same. Compare with what `zlh-agent-plugin key` prints in the guest; if it is right:"
                f" {_accept(vmid, key)}"
            )
        return known is None or (known.key, known.root) != (key, root)


def _accept(vmid: int, key: str) -> str:
    return f"zlh-hooks agent accept-key {vmid} {key} --reason '...'"
