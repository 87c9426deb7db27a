"""Which guests name the guest hook, from their configs. Only root on a node may name it there: a token may look."""

from zlh_hooks.application.ports import Inventory
from zlh_hooks.domain import tag
from zlh_hooks.domain.errors import GuestMissing, NotAllowed
from zlh_hooks.domain.guest import GuestSummary
from zlh_hooks.domain.guest_hook import GuestChoice, NamedHook
from zlh_hooks.domain.policy import Policy


def read_hooks(inventory: Inventory, policy: Policy, choice: GuestChoice) -> tuple[NamedHook, ...]:
    """By number: one request for each guest that is chosen; without a choice for those of which the policy speaks.

    Who goes meanwhile is left out. ``NotAllowed`` if a choice takes nobody.
    """
    guests = sorted(inventory.list_guests(), key=lambda guest: guest.vmid)
    wanted = [guest for guest in guests if (_is_ours(guest, policy) if choice.is_empty else choice.takes(guest))]
    if not wanted and not choice.is_empty:
        raise NotAllowed("no guest that the token may see is chosen by that")
    named = (_read(inventory, guest) for guest in wanted)
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
