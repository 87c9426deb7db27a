"""Where guests answer that have just started, asked of Proxmox, and whether that is another address than before."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from zlh_hooks.application.ports import Clock, Inventory, NoteRecord
from zlh_hooks.domain.errors import RoadError, TargetError
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.guest_change import draft_address, read_changes
from zlh_hooks.domain.value import VmidRange

POLL = timedelta(seconds=1)
PATIENCE = timedelta(seconds=10)
"""So long a guest may take to get its address; who takes longer is looked at when it starts again."""


@dataclass(frozen=True, slots=True)
class AddressLook:
    """Asks for all of them, and again for those that have no address yet. ``scratch``: numbers of our own guests."""

    inventory: Inventory
    clock: Clock
    scratch: VmidRange
    say: Callable[[str], None]
    patience: timedelta = PATIENCE

    def read_addresses(self, guests: Collection[int]) -> Mapping[GuestRef, str]:
        """Guest to address; without those that have none in time, are no containers or are gone.

        A road that breaks is told, and nobody is asked after that: each would take as long to fail.
        """
        found: dict[GuestRef, str] = {}
        try:
            listed = [
                one for one in self.inventory.list_guests() if one.vmid in guests and one.vmid not in self.scratch
            ]
            self._read_into(found, (one.ref for one in listed if one.is_container and not one.template))
        except RoadError as error:
            left = len(guests) - len(found)
            self.say(f"addresses of {left} guests were not read, until these are noted again: {error}")
        return found

    def _read_into(self, found: dict[GuestRef, str], guests: Iterable[GuestRef]) -> None:
        deadline = self.clock.monotonic() + self.patience.total_seconds()
        waiting = [ref for ref in guests if self._look_at(ref, found)]
        while waiting and self.clock.monotonic() < deadline:
            self.clock.sleep(POLL)
            waiting = [ref for ref in waiting if self._look_at(ref, found)]

    def _look_at(self, guest: GuestRef, found: dict[GuestRef, str]) -> bool:
        """Whether it is to be looked at again."""
        try:
            address = self.inventory.read_address(guest)
        except TargetError:
            return False
        if address is not None:
            found[guest] = address
        return address is None


def record_addresses(record: NoteRecord, found: Mapping[GuestRef, str], say: Callable[[str], None]) -> None:
    """Those that are new; a line for each guest that had another one."""
    for guest, address in found.items():
        last = record.find_last_address(guest.vmid)
        was = last.data["address"] if last else ""
        if address != was:
            for change in read_changes([record.append(draft_address(guest, address, was))]):
                say(str(change))
