"""What the operators want of every agent, and what it means for one guest; how it travels is ``desired_wire``.

Host and guest decide with this one function, so that what ``zlh-hooks agent explain`` says is what the guest does. The
host resolves all that a guest cannot know before it signs: specifiers to one version, tags to guest numbers, windows
to instants. Instants are aware UTC, in whole seconds. Python 3.10 or newer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol, TypeVar

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from agent_plugin.opening import Extra, Opening, find_first_start, hash_of
from agent_plugin.wish import Wish
from agent_plugin.words import make_printable

PATH = "desired/state.json"
"""The signed file's name in the repository."""
ANY_MACHINE = "all"
"""The build that runs on every architecture."""


@dataclass(frozen=True)
class Build:
    """A release for one architecture: SHA-256 in hex, size in bytes."""

    sha256: str
    size: int
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True)
class Ring:
    """Guests that get a version together: by number, from first to last, and a share of all others."""

    name: str
    vmids: tuple[tuple[int, int], ...] = ()
    percent: int = 0
    extra: Extra = field(default_factory=dict)

    def find_reason(self, vmid: int) -> str | None:
        """Why the guest is in it; None if it is not."""
        if any(first <= vmid <= last for first, last in self.vmids):
            return "listed"
        return f"within the first {self.percent} %" if place_of(vmid) < self.percent * 100 else None


@dataclass(frozen=True)
class Pin:
    """The version of a ring of a line. ``number`` grows with each pin: a version that failed is tried again under a
    new one only.

    ``asked`` is what the operator typed; ``come_from`` a specifier that the installed version must meet; ``back_to``
    the versions that a guest may go back to from this one; ``also_open`` times beside the windows.
    """

    number: int
    line: str
    ring: str
    version: str
    asked: str
    builds: Mapping[str, Build]
    come_from: str = ""
    back_to: tuple[str, ...] = ()
    downgrade: bool = False
    also_open: tuple[Opening, ...] = ()
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True)
class Block:
    """Versions that nobody may install, by a specifier."""

    versions: str
    reason: str
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True)
class Desired:
    """The whole state. Rings are asked in their order.

    ``last_pin``, ``last_wish``: the highest number that a pin and a wish ever had; 0 where nobody counted yet.
    """

    made: datetime
    jitter: timedelta = timedelta(0)
    windows: tuple[Opening, ...] = ()
    rings: tuple[Ring, ...] = ()
    pins: tuple[Pin, ...] = ()
    blocked: tuple[Block, ...] = ()
    wishes: tuple[Wish, ...] = ()
    last_wish: int = 0
    last_pin: int = 0
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True)
class Guest:
    """Who asks. ``installed`` None: no agent yet. ``machine`` is what the guest runs on, such as ``amd64``."""

    vmid: int
    line: str
    installed: str | None
    machine: str = ANY_MACHINE


class Ruling(str, Enum):
    """What is to be done, or why nothing is."""

    INSTALL = "install"
    CURRENT = "current"
    WAITS = "waits"
    UNPINNED = "unpinned"
    BLOCKED = "blocked"
    TOO_OLD = "too-old"
    NOT_FROM_HERE = "not-from-here"
    DOWNGRADE = "downgrade"
    NO_BUILD = "no-build"
    UNREADABLE = "unreadable-version"


@dataclass(frozen=True)
class Decision:
    """``rule`` is a sentence for people. ``pin`` and ``build`` are set where they were found; ``opens`` while waiting,
    unless no window comes any more.
    """

    ruling: Ruling
    rule: str
    pin: Pin | None = None
    build: Build | None = None
    opens: datetime | None = None


def place_of(vmid: int) -> int:
    """0 to 9999, always the same for a guest: a share that grows keeps whom it had."""
    return hash_of(f"zlh-ring:{vmid}") % 10_000


def decide(state: Desired, guest: Guest, now: datetime) -> Decision:
    """What the state means for the guest at ``now`` (aware)."""
    found = find_pin(state, guest)
    if found is None:
        return Decision(Ruling.UNPINNED, f"no ring that guest {guest.vmid} is in has a pin for line {guest.line}")
    pin, why = found
    said = f"pin {pin.number}: line {pin.line}, ring {pin.ring} ({why}), {pin.asked} is {pin.version}"
    build = pin.builds.get(guest.machine) or pin.builds.get(ANY_MACHINE)
    refusal = _find_refusal(state, pin, build, guest)
    if refusal:
        return Decision(refusal[0], f"{said}; {refusal[1]}", pin, build)
    opens = find_start(state, pin, guest.vmid, now)
    if opens is None or opens > now:
        return Decision(Ruling.WAITS, f"{said}; it may start {_say_when(opens)}", pin, build, opens)
    return Decision(Ruling.INSTALL, f"{said}; a window is open", pin, build)


def _say_when(opens: datetime | None) -> str:
    return f"from {opens:%Y-%m-%d %H:%M:%S} UTC on" if opens else "never: no window is left in this state"


def find_pin(state: Desired, guest: Guest) -> tuple[Pin, str] | None:
    """The pin of the first ring that the guest is in and that has one for its line, and why it is in that ring."""
    return _find_of_ring(state, state.pins, guest.vmid, guest.line)


class _OfRing(Protocol):
    """What a ring of a line has."""

    @property
    def line(self) -> str: ...

    @property
    def ring(self) -> str: ...


T = TypeVar("T", bound=_OfRing)


def _find_of_ring(state: Desired, given: Iterable[T], vmid: int, line: str) -> tuple[T, str] | None:
    places = {(one.line, one.ring): one for one in given}
    for ring in state.rings:
        why, one = ring.find_reason(vmid), places.get((line, ring.name))
        if why and one:
            return one, why
    return None


def _find_refusal(state: Desired, pin: Pin, build: Build | None, guest: Guest) -> tuple[Ruling, str] | None:
    """Why the version is not installed, whatever the time; the order is that of what a person must know first."""
    if guest.installed is not None and not is_version(guest.installed):
        return Ruling.UNREADABLE, f"the installed version {guest.installed!r} is none that can be compared"
    if guest.installed is not None and Version(guest.installed) == Version(pin.version):
        return Ruling.CURRENT, "it is installed"
    block = next((block for block in state.blocked if meets(pin.version, block.versions)), None)
    if block:
        return Ruling.BLOCKED, f"{block.versions} is blocked: {block.reason}"
    if build is None:
        return Ruling.NO_BUILD, f"there is no build for {guest.machine}"
    if guest.installed is None:
        return None
    if Version(guest.installed) > Version(pin.version) and not pin.downgrade:
        return Ruling.DOWNGRADE, f"{guest.installed} is newer, and this pin does not lead back"
    if not meets(guest.installed, pin.come_from):
        return Ruling.TOO_OLD, f"only {pin.come_from} may come to it, and {guest.installed} is installed"
    if pin.back_to and guest.installed not in pin.back_to and not is_led_back(pin, guest.installed):
        ways = ", ".join(pin.back_to)
        return Ruling.NOT_FROM_HERE, f"the way back from it is to {ways} only, and {guest.installed} is installed"
    return None


def is_led_back(pin: Pin, installed: str) -> bool:
    """Whether the pin takes the guest back from a newer version: what may come to a version says nothing of that."""
    return pin.downgrade and Version(installed) > Version(pin.version)


def find_start(state: Desired, pin: Pin, vmid: int, now: datetime) -> datetime | None:
    """The first moment from ``now`` on at which the guest may start; None if no window is left."""
    return find_first_start((*state.windows, *pin.also_open), vmid, pin.version, state.jitter, now)


def is_version(text: str) -> bool:
    """Whether versions can be compared with it (PEP 440)."""
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def meets(version: str, specifier: str) -> bool:
    """Whether the version is one of those; the empty specifier is met by all."""
    return SpecifierSet(specifier).contains(version, prereleases=True)


class WishRuling(str, Enum):
    """What is to be done for a wish, or why nothing is."""

    BRING = "bring"
    BRING_LIVE = "bring-live"
    NOTHING = "none"
    NEWER = "newer-wish"
    UNWISHED = "unwished"


@dataclass(frozen=True)
class WishDecision:
    """``rule`` is a sentence for people; ``wish`` is set where one was found. ``opens``: when a window opens, if none
    is open now and one is left: until then only what nobody who plays would feel is brought.
    """

    ruling: WishRuling
    rule: str
    wish: Wish | None = None
    opens: datetime | None = None


def decide_wish(state: Desired, vmid: int, line: str, now: datetime) -> WishDecision:
    """Which packages the state wishes for the guest at ``now`` (aware); rings are those of pins."""
    found = _find_of_ring(state, state.wishes, vmid, line)
    if found is None:
        return WishDecision(WishRuling.UNWISHED, f"no ring that guest {vmid} is in has a wish for line {line}")
    wish, why = found
    said = f"wish {wish.number}: line {wish.line}, ring {wish.ring} ({why}), {wish.brief}"
    if wish.patches.extra:
        names = make_printable(", ".join(sorted(wish.patches.extra)))
        return WishDecision(WishRuling.NEWER, f"{said}, and what this program does not know: {names}", wish)
    if wish.patches.is_nothing:
        return WishDecision(WishRuling.NOTHING, f"{said}; packages are left as they are", wish)
    if wish.patches.revert:
        return WishDecision(WishRuling.BRING, f"{said}; the way back waits for no window", wish)
    opens = find_first_start((*state.windows, *wish.also_open), vmid, wish.id, state.jitter, now)
    if opens is None or opens > now:
        rule = f"{said}; now only what nobody who plays feels, all else {_say_when(opens)}"
        return WishDecision(WishRuling.BRING_LIVE, rule, wish, opens)
    return WishDecision(WishRuling.BRING, f"{said}; a window is open", wish)


@dataclass(frozen=True)
class Nothing:
    """Nothing to do now. ``rule`` says why; ``opens`` when the guest may start, where a window is waited for.

    ``pin``: the number of the pin that decided, 0 if there is none.
    """

    ruling: Ruling
    rule: str
    opens: datetime | None = None
    pin: int = 0
