"""What is told of a swap: the status document, and the last words of a release that failed."""

from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from agent_plugin.disk import remove_file, write_file
from agent_plugin.fault import BadInput
from agent_plugin.patch_state import Patch, find_patch
from agent_plugin.pending import find_net
from agent_plugin.place import Place
from agent_plugin.record import find_record, save_record
from agent_plugin.slot import Slots
from agent_plugin.state import BlockList, Transaction
from agent_plugin.wire import (
    MOST_BYTES,
    REVERTS_WISHES,
    Check,
    Failure,
    Patched,
    Status,
    Wished,
    flatten,
    parse_part,
    render_status,
)
from agent_plugin.wish_book import WishBook

LONGEST_TEXT = 200


@dataclass(frozen=True)
class Room:
    """How much is told: entries of a patch's lists, blocked releases, and letters of a failed release's log."""

    entries: int
    blocks: int
    log: int


NO_ROOM = Room(0, 0, 0)
ROOMS = (Room(100, 20, 4096), Room(20, 20, 1024), Room(5, 5, 256), NO_ROOM)
"""Less and less, until it fits: a letter may need twelve bytes of the document."""


def build_status(place: Place, transaction: "Transaction | None", patch: "Patch | None" = None) -> Status:
    """The document of this moment; without ``patch`` the last one that was written down is told.

    As much is told as a document can hold: what outgrows it would silence the guest.
    """
    told = patch or find_patch(place.patch)
    documents = (_build(place, transaction, told, room) for room in ROOMS)
    return next((one for one in documents if len(render_status(one)) <= MOST_BYTES), _build(place, None, None, NO_ROOM))


def _build(place: Place, transaction: "Transaction | None", patch: "Patch | None", room: Room) -> Status:
    slots = Slots(place)
    blocks = [(name, block) for name, block in BlockList(place.blocked).read().items() if block.holds]
    told = Status(
        written=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        current=slots.find_current(),
        previous=slots.find_previous(),
        on_trial=bool(slots.read_pending()),
        blocked={name: block.reason[:LONGEST_TEXT] for name, block in blocks[max(0, len(blocks) - room.blocks) :]},
        check=read_check(place),
        patch=_tell_patch(patch, room) if patch else None,
        wish=find_wished(place),
        abilities=(REVERTS_WISHES,),
    )
    return _add_swap(told, place, transaction, room) if transaction else told


def _add_swap(told: Status, place: Place, swap: Transaction, room: Room) -> Status:
    failure = None
    if swap.blame:
        log = _read(place.failed_log)[-room.log :] if room.log else ""
        failure = Failure(swap.release, swap.reason, find_net(place), _read(place.last_exit).strip(), log)
    return replace(
        told,
        txn=swap.txn,
        wanted=swap.release,
        step=swap.step.value,
        outcome=swap.outcome,
        reason=swap.reason,
        failure=failure,
    )


def read_check(place: Place) -> "Check | None":
    """How the last check ended; None if there was none, or if that file is damaged."""
    return find_record(place.checked, lambda found: parse_part("check", found, Check))


def write_check(place: Place, check: Check) -> None:
    """Keep it for the documents to come."""
    short = replace(check, said=check.said[:LONGEST_TEXT])
    save_record(place.checked, flatten(short))


def find_wished(place: Place) -> "Wished | None":
    """The wish that the last check found, and what became of it here; None if there was none."""
    wished = find_record(place.wished, lambda found: parse_part("wish", found, Wished))
    if wished is None:
        return None
    try:
        tried = WishBook(place.wishes).find(wished.id)
    except (BadInput, OSError) as error:
        return replace(wished, state="failed", reason=str(error)[:LONGEST_TEXT])
    if tried is None:
        return wished
    reason, ended = tried.told[:LONGEST_TEXT], tried.outcome
    return replace(wished, state=tried.state, reason=reason, tries=tried.tries, txn=tried.txn, outcome=ended)


def write_wished(place: Place, wished: "Wished | None") -> None:
    """Keep it for the documents to come; None: there is none any more."""
    if wished is not None:
        save_record(place.wished, flatten(wished))
    elif place.wished.exists():
        remove_file(place.wished)


def _tell_patch(patch: Patch, room: Room) -> Patched:
    shown = patch.upgrades[: room.entries]
    return Patched(
        txn=patch.txn,
        step=patch.step.value,
        outcome=patch.outcome,
        reason=patch.reason,
        impact=patch.impact,
        packages={one.name: one.new for one in shown},
        previous={one.name: one.old for one in shown},
        restarted=_shorten(patch.restarted, room),
        waits=_shorten(patch.waits, room),
        beside=_shorten(patch.beside, room),
    )


def _shorten(texts: "tuple[str, ...]", room: Room) -> "tuple[str, ...]":
    return tuple(text[:LONGEST_TEXT] for text in texts[: room.entries])


def write_status(place: Place, transaction: "Transaction | None", patch: "Patch | None" = None) -> None:
    """Replace the document; readable by root alone, because an agent's log may hold secrets."""
    write_file(place.status, render_status(build_status(place, transaction, patch)).encode())


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
