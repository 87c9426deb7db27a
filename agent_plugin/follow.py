"""The story of a check: what do the signed documents want of this guest, and bringing it.

Nobody stays resident: a timer runs it.
"""

import os
import socket
import time
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from agent_plugin import update
from agent_plugin.desired import ANY_MACHINE, Guest, Nothing, Ruling, WishDecision
from agent_plugin.disk import remove_file
from agent_plugin.fault import BadInput, FailedHere, NotNow
from agent_plugin.place import Place
from agent_plugin.refusal import Refusal, Refused
from agent_plugin.report import read_check, write_check, write_status
from agent_plugin.road import Limits
from agent_plugin.setting import FROM_HOSTNAME, LEAST_VMID, Settings
from agent_plugin.slot import Slots
from agent_plugin.source import part_of, size_of_part
from agent_plugin.state import Transaction, find_transaction
from agent_plugin.story import moves
from agent_plugin.swap import Hands
from agent_plugin.trust import Origin, Trust
from agent_plugin.wanted import Wanted, version_of
from agent_plugin.wire import Check

DOWNLOAD_SECONDS, ATTEMPTS = 600, 20
"""For one release in one check. What is left of the service's time is the trial's, and its way back's."""
FAILED_HERE = "failed-here"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass
class TrustSource:
    """Brings the bytes that both delegations signed; ``refused`` says why it could not."""

    trust: Trust
    refused: "Refused | None" = None

    def download(self, wanted: Wanted, to: Path) -> None:
        """``NotNow`` with the refusal's name: the release is not to blame for its road.

        Tried again while each attempt brings more of it, within reason. What came stays for the next check, unless the
        disk cannot take it.
        """
        until, had = time.monotonic() + DOWNLOAD_SECONDS, -1
        for _ in range(ATTEMPTS):
            try:
                self.trust.download(wanted, to)
                self.refused = None
                return
            except Refused as refused:
                self.refused, has = refused, size_of_part(to)
                if refused.is_suspicious or has <= had or time.monotonic() > until:
                    break
                had = has
        if self.refused is not None and self.refused.refusal is Refusal.DISK:
            remove_file(part_of(to))
        raise NotNow(str(self.refused)) from self.refused


@dataclass(frozen=True)
class Checked:
    """How a check ended for the agent; ``wish``: what is to be followed now of the packages, None if nothing is."""

    agent: "Check | Transaction"
    wish: "WishDecision | None" = None


def check(hands: Hands) -> Checked:
    """With nothing to do or a refusal, or with a swap. ``BadInput`` for settings; else as an install.

    What is on trial was judged before (``update.judge_trial``). Packages are left alone where what was asked is not
    believed, and by a check that has moved the agent: the next one finds both at rest.
    """
    place, settings = hands.place, hands.settings
    trust = open_trust(place, settings)
    place.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    seen = read_check(place)
    try:
        guest, now = read_guest(place, settings), datetime.now(timezone.utc)
        found = trust.check(guest, now)
    except Refused as refused:
        return Checked(_tell(place, _describe(refused, seen.pin if seen else 0)))
    if isinstance(found, Nothing):
        done: Check | Transaction = _rest(hands, found)
    else:
        done = _bring(hands, TrustSource(trust), found)
    has_moved = isinstance(done, Transaction) and moves(done)
    return Checked(done, None if has_moved else trust.decide_wish(guest, now))


def _rest(hands: Hands, found: Nothing) -> Check:
    update.resume(hands)  # what is open is wanted no more
    if found.ruling is not Ruling.WAITS:
        update.forget_archives(hands.place)
    opens = found.opens.isoformat(timespec="seconds") if found.opens else ""
    return _tell(hands.place, Check(_now(), found.ruling.value, found.rule, opens, pin=found.pin))


def _bring(hands: Hands, source: TrustSource, wanted: Wanted) -> "Check | Transaction":
    write_check(hands.place, Check(_now(), "install", wanted.rule, pin=wanted.pin))
    try:
        done = update.install(replace(hands, source=source), wanted)
    except FailedHere as error:
        return _tell(hands.place, Check(_now(), FAILED_HERE, str(error), pin=wanted.pin))
    if source.refused is not None:
        _tell(hands.place, _describe(source.refused, wanted.pin))
    return done


def _describe(refused: Refused, pin: int) -> Check:
    return Check(_now(), refused.refusal.value, str(refused), suspicious=refused.is_suspicious, pin=pin)


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
        origin = Origin(settings.url, place.first_root.read_bytes(), read_built(), ca_file)
        return Trust(place.trust, origin, Limits(download_seconds=DOWNLOAD_SECONDS))
    except ValueError as error:
        raise BadInput(f"{place.settings}: [source] url: {error}") from error
    except OSError as error:
        file = error.filename or ca_file
        raise BadInput(f"{file}: {error.strerror}; what zlh-hooks agent root prints is wanted") from error


def read_built(folder: Path = Path(__file__).parent) -> datetime:
    """When this plugin was made: the newest date that its package gave its files. A clock before that is wrong."""
    newest = max(path.stat().st_mtime for path in folder.glob("*.py"))
    return datetime.fromtimestamp(newest, timezone.utc)


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
    if not digits or int(digits) < LEAST_VMID:
        raise BadInput(f"[source] vmid: no number at the end of this host's name, {hostname!r}; vmid = 5001 is wanted")
    return int(digits)
