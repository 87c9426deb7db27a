"""After a revocation: the guests that carry the version, what can be done for each, and exchanges not to let happen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from zlh_hooks.application.pending_root import PendingState, take_back
from zlh_hooks.application.ports import Inventory, Ledger
from zlh_hooks.application.retag import ChannelPorts, recorded, write_all
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import GuestMissing
from zlh_hooks.domain.guest import GuestConfig, GuestRef, GuestSummary
from zlh_hooks.domain.line import TemplateVersion, list_born, parse_line
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.precheck import find_data_in_root
from zlh_hooks.domain.steps import TargetEvent


@dataclass(frozen=True, slots=True)
class Care:
    """What policy says of a guest: why it is not ours to exchange, why its data forbids it (or None), and its line."""

    out_of_scope: Callable[[GuestSummary], str | None]
    data_in_root: Callable[[GuestConfig], str | None]
    line_of: Callable[[GuestSummary], str | None] = parse_line


def care_of(policy: Policy, line: str) -> Care:
    """The policy as far as it concerns guests of the line."""

    def out_of_scope(guest: GuestSummary) -> str | None:
        kind = policy.kind_of(guest.vmid, guest.tags)
        if kind is None:
            return "policy knows no kind of guest for it"
        return None if kind[1].exchange else f"policy does not exchange roots of {kind[0]} guests"

    data_paths = policy.lines[line].data_paths if line in policy.lines else ()
    return Care(out_of_scope, lambda config: find_data_in_root(config, data_paths), partial(find_line, policy))


def find_line(policy: Policy, guest: GuestSummary) -> str | None:
    """The line a guest inherited from its template; of one that was made before there were tags, its kind's."""
    kind = policy.kind_of(guest.vmid, guest.tags)
    return parse_line(guest) or (kind[1].line if kind else None)


class Remedy(StrEnum):
    """What can be done for a guest that carries a revoked version."""

    ROLL = "roll"
    LIVE_PATCH = "live patch only"
    OWNER = "its owner must act"


@dataclass(frozen=True, slots=True)
class Affected:
    """A guest that carries a revoked version. ``detail`` is the version to roll to, or why it cannot be rolled."""

    ref: GuestRef
    name: str
    remedy: Remedy
    detail: str


@dataclass(frozen=True, slots=True)
class Cancellation:
    """What became of one pending exchange. ``state`` None: not done, ``reason`` says why."""

    vmid: int
    state: PendingState | None
    reason: str = ""


def list_affected(
    inventory: Inventory, revoked: TemplateVersion, stable: str | None, care: Care
) -> tuple[Affected, ...]:
    """Every guest that carries the version, by VMID, with what can be done for it."""
    born = list_born(inventory.list_guests(), care.line_of, revoked)
    return tuple(found for guest in born if (found := _find_remedy(inventory, guest, stable, care)))


def list_staged(ledger: Ledger, line: str, version: str) -> Mapping[int, str]:
    """VMID to the root volume that a rollout of the version brought to the guest, as far as it is the latest there.

    Volume names are used again: what an older rollout staged may be another rollout's volume today.
    """
    releases: dict[str, tuple[str, str]] = {}
    latest: dict[int, tuple[str, str]] = {}
    for entry in ledger.read():
        if entry.kind is Kind.PLAN:
            release = entry.data["release"]
            releases[entry.rollout] = (release["line"], release["version"])
        if entry.kind is Kind.EVENT and entry.name == TargetEvent.STAGED and entry.target is not None:
            latest[entry.target] = (entry.rollout, entry.data["volume"])
    return {vmid: volume for vmid, (rollout, volume) in latest.items() if releases.get(rollout) == (line, version)}


def cancel_pending(ports: ChannelPorts, volumes: Mapping[int, str]) -> tuple[Cancellation, ...]:
    """Take back the exchanges that still wait for a restart, by VMID.

    ``volumes`` names the new root of each guest; a pending root of any other name is somebody else's and left alone.
    """
    refs = {guest.ref for guest in ports.inventory.list_guests() if guest.vmid in volumes and guest.is_container}
    gone = tuple(Cancellation(vmid, None, "no such container") for vmid in volumes.keys() - {ref.vmid for ref in refs})
    with recorded(ports, "cancel_pending", {"volumes": {str(vmid): volume for vmid, volume in volumes.items()}}):
        written = write_all(
            ports, sorted(refs), lambda ref: take_back(ports.inventory, ports.editor, ref, volumes[ref.vmid])
        )
    done = (Cancellation(ref.vmid, state) for ref, state in written.done.items())
    failed = (Cancellation(ref.vmid, None, str(error)) for ref, error in written.failed.items())
    return tuple(sorted((*gone, *done, *failed), key=lambda cancellation: cancellation.vmid))


def _find_remedy(inventory: Inventory, guest: GuestSummary, stable: str | None, care: Care) -> Affected | None:
    refusal = care.out_of_scope(guest)
    if refusal:
        return Affected(guest.ref, guest.name, Remedy.OWNER, refusal)
    if not guest.is_container:
        return Affected(guest.ref, guest.name, Remedy.OWNER, "it is a virtual machine")
    try:
        in_root = care.data_in_root(inventory.read_config(guest.ref))
    except GuestMissing:
        return None
    if in_root or stable is None:
        return Affected(guest.ref, guest.name, Remedy.LIVE_PATCH, in_root or "no stable version to roll to")
    return Affected(guest.ref, guest.name, Remedy.ROLL, stable)
