"""Which privileges the work needs on which ACL paths, and what of it is missing. Pure; names are those of PVE 9.

Sources: the permission checks of pve-container 6.1.10 (``API2/LXC*.pm``, ``check_ct_modify_config_perm``), pve-storage
9.1.7 (``check_volume_access``) and pve-manager 9.2.11 (``API2/Tasks.pm``). Three are easily missed: ``unusedN`` and a
resize (its parameter ``disk``) fall under VM.Config.Options, and a storage lists a guest's volumes only to those with
VM.Config.Disk on that guest.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_TARGET = ("VM.Audit", "VM.Config.Disk", "VM.Config.Options", "VM.PowerMgmt")
_TEMPLATE = ("VM.Allocate", "VM.Audit", "VM.Clone", "VM.Config.Disk", "VM.Config.Options")
_SCRATCH = (*_TEMPLATE, "VM.Config.Network", "VM.PowerMgmt")
_STORAGE = ("Datastore.AllocateSpace", "Datastore.Audit")
_BRIDGE = ("SDN.Use",)
_NODE = ("Sys.Audit",)
_HA = ("Sys.Audit", "Sys.Console")
_JOBS = ("Sys.Audit",)

GUEST_PRIVILEGES = tuple(sorted({*_TARGET, *_SCRATCH, *_STORAGE, *_BRIDGE, *_NODE}))
"""What the guests role holds."""
NODE_PRIVILEGES = ("Sys.Audit", "Sys.Console", "Sys.Modify", "Sys.PowerMgmt")
"""What the role for patching nodes holds: package lists, maintenance, reboot."""
GUEST_ROLE, NODE_ROLE, JOB_ROLE = "ZlhGuests", "ZlhNodes", "ZlhJobs"


@dataclass(frozen=True, slots=True)
class Scope:
    """What work will touch. ``bridges`` are ACL paths below ``/sdn/zones``, see :func:`render_bridge`.

    ``sees_jobs``: policy heeds backup jobs that are due, which are the whole cluster's.
    """

    targets: Sequence[int]
    templates: Sequence[int]
    scratch: Sequence[int]
    storages: Sequence[str]
    bridges: Sequence[str]
    nodes: Sequence[str]
    ignores_ha: bool
    sees_jobs: bool


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One privilege on one ACL path."""

    path: str
    privilege: str


def render_bridge(bridge: str, tag: str | None, listed: Iterable[str]) -> str:
    """The ACL path of a bridge (with its VLAN tag, if any).

    A bridge is in zone ``localnetwork``; a name that ``listed`` paths show in another zone is a virtual network there.
    """
    named = (path for path in listed if path.startswith("/sdn/zones/") and path.split("/")[4:5] == [bridge])
    zone = next((path.split("/")[3] for path in named), "localnetwork")
    return f"/sdn/zones/{zone}/{bridge}" + (f"/{tag}" if tag else "")


def plan_rights(scope: Scope) -> tuple[Right, ...]:
    """Everything the work needs, each once, by path."""
    guests = ((scope.targets, _TARGET), (scope.templates, _TEMPLATE), (scope.scratch, _SCRATCH))
    needed: list[tuple[str, tuple[str, ...]]] = [
        (f"/vms/{vmid}", privileges) for vmids, privileges in guests for vmid in vmids
    ]
    needed += [(f"/storage/{storage}", _STORAGE) for storage in scope.storages]
    needed += [(bridge, _BRIDGE) for bridge in scope.bridges]
    needed += [(f"/nodes/{node}", _NODE) for node in scope.nodes]
    needed += [("/", _HA)] if scope.ignores_ha else []
    needed += [("/", _JOBS)] if scope.sees_jobs else []
    if not (scope.targets and scope.templates):  # guests that may not be seen are not listed
        needed.append(("/vms", ("VM.Audit",)))
    return tuple(sorted({Right(path, privilege) for path, privileges in needed for privilege in privileges}))


def check_rights(needed: Iterable[Right], held: Mapping[str, frozenset[str]]) -> tuple[Right, ...]:
    """Those of ``needed`` that ``held`` lacks; ``held`` names what holds on exactly each path."""
    return tuple(right for right in needed if right.privilege not in held.get(right.path, frozenset()))


def render_roles(user: str, token_name: str, scope: Scope) -> tuple[str, ...]:
    """Commands for a node's root shell: define the roles, give all but that for nodes to the user and to its token.

    To see backup jobs takes a right on the root, and there it shall not reach further.
    """
    ignores_ha, needs_jobs = scope.ignores_ha, scope.sees_jobs and not scope.ignores_ha
    guest_privileges = sorted({*GUEST_PRIVILEGES, *(_HA if ignores_ha else ())})
    below = ["/vms", *(f"/storage/{name}" for name in scope.storages), "/sdn/zones", "/nodes"]
    given = [(path, GUEST_ROLE) for path in (["/"] if ignores_ha else below)]
    given += [("/", f"{JOB_ROLE} --propagate 0")] if needs_jobs else []
    job_role = (f"pveum role add {JOB_ROLE} --privs '{' '.join(_JOBS)}'",) if needs_jobs else ()
    return (
        f"pveum role add {GUEST_ROLE} --privs '{' '.join(guest_privileges)}'",
        f"pveum role add {NODE_ROLE} --privs '{' '.join(NODE_PRIVILEGES)}'",
        *job_role,
        *(
            f"pveum acl modify {path} --roles {role} --users '{user}' --tokens '{user}!{token_name}'"
            for path, role in given
        ),
    )
