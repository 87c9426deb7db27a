"""What is told of a swap: the status document, and the last words of a release that failed."""

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from agent_plugin.disk import write_file
from agent_plugin.patch_state import Patch, find_patch
from agent_plugin.pending import find_net
from agent_plugin.place import Place
from agent_plugin.record import find_record, save_record
from agent_plugin.slot import Slots
from agent_plugin.state import BlockList, Transaction
from agent_plugin.wire import Check, Failure, Patched, Status, flatten, parse_part, render_status

LOG_IN_DOCUMENT = 4096
REASON_IN_DOCUMENT = 200
BLOCKS_IN_DOCUMENT = 20
PACKAGES_IN_DOCUMENT = 100


def build_status(place: Place, transaction: "Transaction | None", patch: "Patch | None" = None) -> Status:
    """The document of this moment; without ``patch`` the last one that was written down is told."""
    slots = Slots(place)
    held = [(name, block) for name, block in BlockList(place.blocked).read().items() if block.holds]
    blocked = {name: block.reason[:REASON_IN_DOCUMENT] for name, block in held[-BLOCKS_IN_DOCUMENT:]}
    told = Status(
        written=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        current=slots.find_current(),
        previous=slots.find_previous(),
        on_trial=bool(slots.read_pending()),
        blocked=blocked,
        check=read_check(place),
        patch=_tell_patch(patch or find_patch(place.patch)),
    )
    return told if transaction is None else _add_swap(told, place, transaction)


def _add_swap(told: Status, place: Place, swap: Transaction) -> Status:
    failure = None
    if swap.blame:
        log = _read(place.failed_log)[-LOG_IN_DOCUMENT:]
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
    short = replace(check, said=check.said[:REASON_IN_DOCUMENT])
    save_record(place.checked, flatten(short))


def _tell_patch(patch: "Patch | None") -> "Patched | None":
    """The last patch, short enough for a document."""
    if patch is None:
        return None
    shown = patch.upgrades[:PACKAGES_IN_DOCUMENT]
    return Patched(
        txn=patch.txn,
        step=patch.step.value,
        outcome=patch.outcome,
        reason=patch.reason,
        impact=patch.impact,
        packages={one.name: one.new for one in shown},
        previous={one.name: one.old for one in shown},
        restarted=patch.restarted[:PACKAGES_IN_DOCUMENT],
        waits=patch.waits[:PACKAGES_IN_DOCUMENT],
        beside=patch.beside[:PACKAGES_IN_DOCUMENT],
    )


def write_status(place: Place, transaction: "Transaction | None", patch: "Patch | None" = None) -> None:
    """Replace the document; readable by root alone, because an agent's log may hold secrets."""
    write_file(place.status, render_status(build_status(place, transaction, patch)).encode())


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
