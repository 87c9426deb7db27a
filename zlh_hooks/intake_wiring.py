"""The part of the composition root that takes in what guest hooks have noted; ``wiring`` has all the rest."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from zlh_hooks import wiring
from zlh_hooks.adapters.spool import open_spool
from zlh_hooks.application.inherited_tag import InheritedTags
from zlh_hooks.application.intake import Intake, Taken
from zlh_hooks.application.retag import ChannelPorts
from zlh_hooks.domain.errors import RoadError

SPOOL = Path("/var/spool/zlh-hooks")
"""Where the hook of this node leaves its notes."""
LOCK_WAIT = timedelta(seconds=20)
"""How long to wait for the locks of guests: what is not taken off now is when they are noted again."""


def take_in(site: wiring.Site, spool: Path, say: Callable[[str], None]) -> Taken:
    """Every note that lies there. A cluster that cannot be asked keeps no note from being recorded."""
    with open_spool(spool, site.clock) as opened:
        taken = Intake(opened, site.ledger, say).run()
    if taken.guests:
        try:
            _open_inherited(site, say).take_off(taken.guests)
        except RoadError as error:
            say(f"tags of {len(taken.guests)} guests were not looked at, until these are noted again: {error}")
    return taken


def _open_inherited(site: wiring.Site, say: Callable[[str], None]) -> InheritedTags:
    inventory, editor = site.cluster.inventory, site.cluster.editor
    ports = ChannelPorts(inventory, editor, site.ledger, site.clock, patience=LOCK_WAIT)
    return InheritedTags(ports, site.policy.scratch_vmids, say)
