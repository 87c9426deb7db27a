"""Before a rollout: is the API token allowed everything that the work will ask of Proxmox?"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from zlh_hooks.application.ports import Inventory, Rights
from zlh_hooks.domain import right, tag
from zlh_hooks.domain.guest import GuestConfig, GuestSummary
from zlh_hooks.domain.policy import Policy


@dataclass(frozen=True, slots=True)
class Wanted:
    """What policy says of the work: its targets, temporary numbers and networks, and whether HA and backups count."""

    is_target: Callable[[GuestSummary], bool]
    scratch: Sequence[int]
    nets: Sequence[str]
    ignores_ha: bool
    sees_jobs: bool


def want(policy: Policy) -> Wanted:
    """The work that the policy describes."""
    nets = [line.smoke_net0 for line in policy.lines.values() if line.smoke_net0]

    def is_target(guest: GuestSummary) -> bool:
        found = policy.kind_of(guest.vmid, guest.tags)
        return found is not None and found[1].exchange

    ignores_ha, sees_jobs = policy.rollout.ha == "ignore", policy.rollout.interlock.backup_due != "ignore"
    return Wanted(is_target, list(policy.scratch_vmids.numbers()), nets, ignores_ha, sees_jobs)


@dataclass(frozen=True, slots=True)
class Readiness:
    """``missing`` is empty when the work can start."""

    scope: right.Scope
    missing: tuple[right.Right, ...]


def check_ready(inventory: Inventory, rights: Rights, wanted: Wanted) -> Readiness:
    """Read what the work touches, and ask Proxmox for each path what the token may do there."""
    listed = rights.read_rights()
    scope = read_scope(inventory, listed, wanted)
    needed = right.plan_rights(scope)
    held = {path: _read_path(rights, path) for path in {one.path for one in needed}}
    return Readiness(scope, right.check_rights(needed, held))


def _read_path(rights: Rights, path: str) -> frozenset[str]:
    return rights.read_rights(path).get(path, frozenset())


def read_scope(inventory: Inventory, listed: Mapping[str, object], wanted: Wanted) -> right.Scope:
    """Guests, storages, bridges and nodes of the work. ``listed``: the paths on which the token was given rights."""
    guests = [guest for guest in inventory.list_guests() if guest.is_container]
    templates = [guest for guest in guests if guest.template and tag.values_of(tag.LINE, guest.tags)]
    targets = [guest for guest in guests if not guest.template and wanted.is_target(guest)]
    sources = [inventory.read_config(guest.ref) for guest in templates]
    roots = [*sources, *(inventory.read_config(guest.ref) for guest in targets)]
    return right.Scope(
        targets=[guest.vmid for guest in targets],
        templates=[guest.vmid for guest in templates],
        scratch=_choose_numbers(wanted.scratch, listed),
        storages=sorted({config.rootfs.storage for config in roots} - {""}),
        bridges=_list_bridges([*(net for config in sources for net in _nets(config)), *wanted.nets], listed),
        nodes=sorted({guest.ref.node for guest in (*templates, *targets)}),
        ignores_ha=wanted.ignores_ha,
        sees_jobs=wanted.sees_jobs,
    )


def _choose_numbers(scratch: Sequence[int], listed: Mapping[str, object]) -> tuple[int, ...]:
    """The ends of the range, and numbers with rights of their own: all others inherit what the ends do."""
    own = {number for number in scratch if f"/vms/{number}" in listed}
    return tuple(sorted({*scratch[:1], *scratch[-1:], *own}))


def _nets(config: GuestConfig) -> Iterable[str]:
    return (value for key, value in config.values.items() if key.startswith("net") and key[3:].isdecimal())


def _list_bridges(nets: Iterable[str], listed: Mapping[str, object]) -> list[str]:
    """Cloning asks for SDN.Use on each bridge; trunks are not looked at."""
    options = [dict(part.partition("=")[::2] for part in net.split(",")) for net in nets]
    return sorted({right.render_bridge(o["bridge"], o.get("tag"), listed) for o in options if o.get("bridge")})
