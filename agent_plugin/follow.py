"""The story of a check: what do the signed documents want of this guest, and bringing it.

Nobody stays resident: a timer runs it. A swap on trial is judged first, whatever the server says.
"""

import os
import socket
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from agent_plugin import BUILT, update
from agent_plugin.desired import ANY_MACHINE, Guest, Nothing
from agent_plugin.fault import BadInput, NotNow
from agent_plugin.place import Place
from agent_plugin.refusal import Refused
from agent_plugin.report import write_check, write_status
from agent_plugin.setting import FROM_HOSTNAME, Settings
from agent_plugin.slot import Slots
from agent_plugin.state import Transaction, find_transaction
from agent_plugin.swap import Hands
from agent_plugin.trust import Origin, Trust
from agent_plugin.wanted import Wanted, version_of
from agent_plugin.wire import Check

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class TrustSource:
    """Brings the bytes that both delegations signed."""

    trust: Trust

    def download(self, wanted: Wanted, to: Path) -> None:
        """``NotNow`` with the refusal's name: the release is not to blame for its road.

        Tried again for as long as each attempt brings more of it.
        """
        had = -1
        while True:
            try:
                return self.trust.download(wanted, to)
            except Refused as refused:
                has = self.trust.size_of_part(to)
                if refused.is_suspicious or has <= had:
                    raise NotNow(str(refused)) from refused
                had = has


def check(hands: Hands) -> "Check | Transaction":
    """How it ended: with nothing to do or a refusal, or with a swap. ``BadInput`` for settings; else as an install."""
    place, settings = hands.place, hands.settings
    trust = open_trust(place, settings)
    place.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    if place.pending.exists():
        update.resume(hands)
    try:
        found = trust.check(read_guest(place, settings), datetime.now(timezone.utc))
    except Refused as refused:
        return _tell(place, Check(_now(), refused.refusal.value, str(refused), suspicious=refused.is_suspicious))
    if isinstance(found, Nothing):
        update.resume(hands)  # what is open is wanted no more
        opens = found.opens.isoformat(timespec="seconds") if found.opens else ""
        return _tell(place, Check(_now(), found.ruling.value, found.rule, opens))
    write_check(place, Check(_now(), "install", found.rule))
    return update.install(replace(hands, source=TrustSource(trust)), found)


def _tell(place: Place, told: Check) -> Check:
    with update.hold(place):  # or an old view of another plugin's swap might stay
        write_check(place, told)
        write_status(place, find_transaction(place.transaction))
    return told


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def open_trust(place: Place, settings: Settings) -> Trust:
    """What this guest believes; ``BadInput`` without a root document, or with an address that is none."""
    ca_file = Path(settings.ca_file) if settings.ca_file else None
    try:
        return Trust(place.trust, Origin(settings.url, place.first_root.read_bytes(), BUILT, ca_file))
    except ValueError as error:
        raise BadInput(f"{place.settings}: [source] url: {error}") from error
    except OSError as error:
        file = error.filename or ca_file
        raise BadInput(f"{file}: {error.strerror}; what zlh-hooks agent root prints is wanted") from error


def read_guest(place: Place, settings: Settings) -> Guest:
    """Who asks, as this machine is now."""
    current = Slots(place).find_current()
    machine = os.uname().machine
    return Guest(
        find_vmid(settings.vmid, socket.gethostname()),
        settings.line,
        version_of(current) if current else None,
        _MACHINES.get(machine, ANY_MACHINE),
    )


def find_vmid(wanted: str, hostname: str) -> int:
    """The guest's number in Proxmox: as it was set, or the number at the end of the host's name."""
    if wanted != FROM_HOSTNAME:
        return int(wanted)
    name = hostname.partition(".")[0]
    digits = name[len(name.rstrip("0123456789")) :]
    if not digits:
        raise BadInput(f"[source] vmid: no number at the end of this host's name, {hostname!r}; vmid = 5001 is wanted")
    return int(digits)
