"""Which guests name the guest hook, from their configs. Only root on a node may name it there: a token may look."""

from dataclasses import dataclass

from zlh_hooks.application.ports import Inventory
from zlh_hooks.domain import tag
from zlh_hooks.domain.errors import GuestMissing
from zlh_hooks.domain.guest import GuestSummary
from zlh_hooks.domain.guest_hook import is_guest_hook
from zlh_hooks.domain.policy import Policy


@dataclass(frozen=True, slots=True)
class NamedHook:
    """A container or template and the volume that it names as its hookscript; empty if it names none."""

    guest: GuestSummary
    volume: str

    @property
    def is_ours(self) -> bool:
        """Whether that is the guest hook, in whichever storage."""
        return is_guest_hook(self.volume)


def read_hooks(inventory: Inventory, policy: Policy) -> tuple[NamedHook, ...]:
    """By number: one request for each container that has a kind and each template of a line.

    Who goes meanwhile is left out.
    """
    guests = sorted(inventory.list_guests(), key=lambda guest: guest.vmid)
    ours = [guest for guest in guests if guest.is_container and _is_ours(guest, policy)]
    named = (_read(inventory, guest) for guest in ours)
    return tuple(one for one in named if one is not None)


def _is_ours(guest: GuestSummary, policy: Policy) -> bool:
    if guest.template:
        return bool(tag.values_of(tag.LINE, guest.tags))
    return policy.kind_of(guest.vmid, guest.tags) is not None


def _read(inventory: Inventory, guest: GuestSummary) -> NamedHook | None:
    try:
        return NamedHook(guest, inventory.read_config(guest.ref).values.get("hookscript", ""))
    except GuestMissing:
        return None
