"""The story of an update: begin a swap, or take up one that was interrupted, and carry it to its end."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from agent_plugin.disk import remove_file, remove_halves
from agent_plugin.fault import FailedHere, NotNow
from agent_plugin.patch_state import find_patch
from agent_plugin.pending import forget_count
from agent_plugin.place import Place
from agent_plugin.slot import Slots
from agent_plugin.state import BlockList, Transaction, begin, find_transaction, load_transaction
from agent_plugin.steps import UNARMED
from agent_plugin.story import Event
from agent_plugin.swap import Hands, Swap, remove_archives
from agent_plugin.wanted import Wanted, version_of


def install(hands: Hands, wanted: Wanted) -> Transaction:
    """Bring a release, after finishing what is open. The swap's ``outcome`` and ``reason`` say how it ended.

    ``NotNow`` if it is blocked here, if it runs already, if a patch is open, or if another plugin is at work.
    """
    with hold(hands.place):
        resumed = _resume(hands, wanted)
        if resumed is not None and resumed.wanted == wanted:
            return resumed
        slots = Slots(hands.place)
        if slots.find_current() == wanted.release and slots.is_whole(wanted.release):
            raise NotNow(f"{wanted.release} runs already")
        refuse_blocked(hands.place, wanted)
        _refuse_open_patch(hands.place)
        return Swap(hands, begin(wanted, slots.find_current(), slots.is_whole(wanted.release))).carry_out()


def judge_trial(hands: Hands) -> "Transaction | None":
    """Carry what is on trial to its end: nothing else may come before. None if nothing was, or if nobody began it."""
    return resume(hands) if is_on_trial(hands.place) else None


def is_on_trial(place: Place) -> bool:
    """Whether a release is on trial, or was when the plugin or the guest died."""
    txn = find_transaction(place.transaction)
    return place.pending.exists() or (txn is not None and txn.is_open and txn.step not in UNARMED)


def forget_archives(place: Place) -> None:
    """What was brought of a release is wanted no more."""
    with hold(place):
        remove_archives(place)


def _refuse_open_patch(place: Place) -> None:
    """Packages must be whole before a release is tried on them."""
    patch = find_patch(place.patch)
    if patch is not None and patch.is_open:
        raise NotNow("a patch of packages was interrupted: zlh-agent-plugin update finishes that first")


def resume(hands: Hands) -> "Transaction | None":
    """Finish what is open; None if nothing was."""
    with hold(hands.place):
        return _resume(hands)


def take_back(hands: Hands) -> Transaction:
    """A person goes back to the previous release; the one that is left is blocked."""
    with hold(hands.place):
        _resume(hands)
        _refuse_open_patch(hands.place)
        slots = Slots(hands.place)
        left, previous = slots.find_current(), slots.find_previous()
        if not left or previous == left or not slots.is_whole(previous):
            raise NotNow(f"{hands.place.previous} names no whole release to go back to")
        slots.read_mark(left).refuse_way_back(version_of(previous))
        return Swap(hands, begin(slots.read_mark(previous), left, existed=True, taken_back=True)).carry_out()


def refuse_blocked(place: Place, wanted: Wanted) -> None:
    """``FailedHere`` says why it is blocked and what lifts that: also a pin that is newer than the one that failed."""
    block = BlockList(place.blocked).find(wanted.release)
    if block.holds and wanted.pin <= block.pin:
        raise FailedHere(f"{wanted.release} is blocked here: {block.reason}. Pin it anew, or install it with --again")


@contextmanager
def hold(place: Place) -> Iterator[None]:
    """Be the only plugin at work; makes the folders. ``NotNow`` if another one is."""
    place.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.releases.mkdir(mode=0o755, parents=True, exist_ok=True)
    Slots(place).check_owner()
    handle = os.open(place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _lock(handle, place.lock)
        remove_halves(place.state, place.home)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise NotNow(f"another plugin is at work: it holds {path}") from error


def _resume(hands: Hands, wanted: "Wanted | None" = None) -> "Transaction | None":
    """The source can bring ``wanted`` only; another swap that was not armed yet is dropped."""
    try:
        txn = load_transaction(hands.place.transaction)
    except ValueError:
        txn = None
        remove_file(hands.place.transaction)
    if txn is not None and txn.is_open:
        if txn.step in UNARMED:
            _refuse_open_patch(hands.place)
            if wanted is not None and txn.wanted.is_same_archive(wanted):
                txn = replace(txn, wanted=wanted)  # pinned anew: what was begun goes on under the new number
        able = hands if txn.wanted == wanted else replace(hands, source=None)
        return Swap(able, txn.after(Event.INTERRUPTED)).carry_out()
    if hands.place.pending.exists():  # on trial, and nobody knows why
        hands.systemd.revert(hands.place.revert)
        forget_count(hands.place)
    return None
