"""The part of the composition root that takes in what guest hooks have noted; ``wiring`` has all the rest."""

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from zlh_hooks import wiring
from zlh_hooks.adapters.file import held_folder
from zlh_hooks.adapters.note_record import SqlNoteRecord
from zlh_hooks.adapters.note_stream import NoteStream
from zlh_hooks.adapters.spool import PATIENCE, open_spool
from zlh_hooks.application.inherited_tag import InheritedTags
from zlh_hooks.application.intake import Intake, Taken
from zlh_hooks.application.ports import Spool
from zlh_hooks.application.retag import ChannelPorts
from zlh_hooks.domain.errors import RoadError

SPOOL = Path("/var/spool/zlh-hooks")
"""Where the hook of this node leaves its notes."""
LOCK_WAIT = timedelta(seconds=20)
"""How long to wait for the locks of guests: what is not taken off now is when they are noted again."""


def take_in(site: wiring.Site, spool: Path, say: Callable[[str], None]) -> Taken:
    """Every note that lies there. A cluster that cannot be asked keeps no note from being recorded."""
    with open_spool(spool, site.clock) as opened:
        taken = _record(site, opened, say)
    _look_at_tags(site, taken.guests, say)
    return taken


def receive(site: wiring.Site, node: str, say: Callable[[str], None]) -> Taken:
    """Every note that another node sends to standard input; answers go to standard output."""
    notes, guests = 0, set[int]()
    try:
        for batch in NoteStream(sys.stdin.fileno(), sys.stdout.fileno(), site.clock).list_batches():
            taken = _record(site, batch, say, node)
            notes += taken.notes
            guests |= taken.guests
    finally:
        _look_at_tags(site, frozenset(guests), say)
    return Taken(notes, frozenset(guests))


def _record(site: wiring.Site, spool: Spool, say: Callable[[str], None], node: str = "") -> Taken:
    """By one intake at a time: what it has read of the ledger must still be so when it records."""
    record, folder = SqlNoteRecord.open(site.ledger), site.settings.ledger.path.parent
    with held_folder(folder, PATIENCE, site.clock, f"another intake records in {folder}; notes are kept until then"):
        return Intake(spool, record, say, node).run()


def _look_at_tags(site: wiring.Site, guests: frozenset[int], say: Callable[[str], None]) -> None:
    if not guests:
        return
    try:
        _open_inherited(site, say).take_off(guests)
    except RoadError as error:
        say(f"tags of {len(guests)} guests were not looked at, until these are noted again: {error}")


def _open_inherited(site: wiring.Site, say: Callable[[str], None]) -> InheritedTags:
    inventory, editor = site.cluster.inventory, site.cluster.editor
    ports = ChannelPorts(inventory, editor, site.ledger, site.clock, patience=LOCK_WAIT)
    return InheritedTags(ports, site.policy.scratch_vmids, say)
