"""The part of the composition root that takes in what guest hooks have noted; ``wiring`` has all the rest."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from zlh_hooks import wiring
from zlh_hooks.adapters.file import held_folder
from zlh_hooks.adapters.note_record import SqlNoteRecord
from zlh_hooks.adapters.note_stream import NoteStream
from zlh_hooks.adapters.spool import PATIENCE, open_spool
from zlh_hooks.application.address_look import AddressLook, record_addresses
from zlh_hooks.application.change_notice import ChangeNotice
from zlh_hooks.application.inherited_tag import InheritedTags
from zlh_hooks.application.intake import Intake, Taken
from zlh_hooks.application.ports import Spool
from zlh_hooks.application.retag import ChannelPorts
from zlh_hooks.domain.errors import RoadError, SettingsError
from zlh_hooks.notice_wiring import make_operator, open_channels

SPOOL = Path("/var/spool/zlh-hooks")
"""Where the hook of this node leaves its notes."""
LOCK_WAIT = timedelta(seconds=20)
"""How long to wait for the locks of guests: what is not taken off now is when they are noted again."""


def take_in(site: wiring.Site, spool: Path, say: Callable[[str], None]) -> Taken:
    """Every note that lies there, and what follows. ``Taken.left`` also has why the operator could not be told.

    A cluster that cannot be asked keeps no note from being recorded.
    """
    with open_spool(spool, site.clock) as opened:
        taken = _record(site, opened, say)
    return replace(taken, left=(*taken.left, *_follow_up(site, taken, say)))


def receive(site: wiring.Site, node: str, say: Callable[[str], None]) -> Taken:
    """Every note that another node sends to standard input; answers go to standard output."""
    whole = Taken(0, frozenset())
    try:
        for batch in NoteStream(sys.stdin.fileno(), sys.stdout.fileno(), site.clock).list_batches():
            taken = _record(site, batch, say, node)
            whole = Taken(whole.notes + taken.notes, whole.guests | taken.guests, (), whole.started | taken.started)
    finally:
        if whole.notes:
            _follow_up_for_sender(site, whole, say)
    return whole


def _follow_up_for_sender(site: wiring.Site, taken: Taken, say: Callable[[str], None]) -> None:
    """Who sent notes can mend nothing here, and they are recorded."""
    try:
        _follow_up(site, taken, say)
    except SettingsError as error:
        say(f"the operator could not be told: {error}")


@contextmanager
def _recording(site: wiring.Site) -> Iterator[SqlNoteRecord]:
    """By one intake at a time: what it has read of the ledger must still be so when it records."""
    record, folder = SqlNoteRecord.open(site.ledger), site.settings.ledger.path.parent
    with held_folder(folder, PATIENCE, site.clock, f"another intake records in {folder}; notes are kept until then"):
        yield record


def _record(site: wiring.Site, spool: Spool, say: Callable[[str], None], node: str = "") -> Taken:
    with _recording(site) as record:
        return Intake(spool, record, say, node).run()


def _follow_up(site: wiring.Site, taken: Taken, say: Callable[[str], None]) -> tuple[RoadError, ...]:
    """What may take its time, while no other intake waits; why the operator could not be told."""
    _look_at_tags(site, taken.guests, say)
    _look_at_addresses(site, taken.started, say)
    return _open_notice(site, say).tell()


def _look_at_tags(site: wiring.Site, guests: frozenset[int], say: Callable[[str], None]) -> None:
    if not guests:
        return
    try:
        _open_inherited(site, say).take_off(guests)
    except RoadError as error:
        say(f"tags of {len(guests)} guests were not looked at, until these are noted again: {error}")


def _look_at_addresses(site: wiring.Site, guests: frozenset[int], say: Callable[[str], None]) -> None:
    if not guests:
        return
    look = AddressLook(site.cluster.inventory, site.clock, site.policy.scratch_vmids, say)
    found = look.read_addresses(guests)
    with _recording(site) as record:
        record_addresses(record, found, say)


def _open_notice(site: wiring.Site, say: Callable[[str], None]) -> ChangeNotice:
    settings, record = site.settings, SqlNoteRecord.open(site.ledger)
    operator, controller = make_operator(settings), settings.worker.name
    scratch = site.policy.scratch_vmids
    return ChangeNotice(record, lambda: open_channels(settings), operator, controller, scratch, site.clock, say)


def _open_inherited(site: wiring.Site, say: Callable[[str], None]) -> InheritedTags:
    inventory, editor = site.cluster.inventory, site.cluster.editor
    ports = ChannelPorts(inventory, editor, site.ledger, site.clock, patience=LOCK_WAIT)
    return InheritedTags(ports, site.policy.scratch_vmids, say)
