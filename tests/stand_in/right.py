"""Privileges as pve-access-control computes them: the nearest ACL on the way down replaces those above it, and a
privsep token holds what both it and its user hold (``PVE::RPCEnvironment``, ``PVE::AccessControl::roles``)."""

import re
from typing import Any

from fakepve.lxc import split_props
from fakepve.server import FakePve

ROOT = "root@pam"


def _prefixes(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part]
    return ["/", *("/" + "/".join(parts[: length + 1]) for length in range(len(parts)))]


class RightsApi(FakePve):
    """Who may do what. ``grant(who, path)`` without privileges is NoAccess there."""

    def allowed(self, user: str, path: str, priv: str) -> bool:
        if self.acl is None or user == ROOT:
            return True
        return priv in self._rights(user, path)

    def _rights(self, user: str, path: str) -> set[str]:
        owner, token, _ = user.partition("!")
        held = self._granted(user, path)
        return held & self._granted(owner, path) if token and owner != ROOT else held

    def _granted(self, principal: str, path: str) -> set[str]:
        grants = (self.acl or {}).get(principal, [])
        held: set[str] = set()
        for prefix in _prefixes(path):
            here = [privileges for where, privileges in grants if where == prefix]
            held = set().union(*here) if here else held
        return held | self._granted_by_pool(grants, path)

    def _granted_by_pool(self, grants: list[tuple[str, set[str]]], path: str) -> set[str]:
        if not path.startswith("/vms/"):
            return set()
        pools = {f"/pool/{name}" for name, vmids in self.pools.items() if int(path.split("/")[2]) in vmids}
        return set().union(*(privileges for where, privileges in grants if where in pools))

    def revoke(self, priv: str, who: str | None = None) -> None:
        """Take a privilege away everywhere, from one principal or from all."""
        for principal, grants in (self.acl or {}).items():
            if who in (None, principal):
                self.acl[principal] = [(path, privileges - {priv}) for path, privileges in grants]

    def drop_acl(self, path: str) -> None:
        """Forget the ACLs of a path, as destroying a guest does."""
        for principal, grants in (self.acl or {}).items():
            self.acl[principal] = [grant for grant in grants if grant[0] != path]

    async def _permissions(self, v: dict[str, Any], user: str) -> dict[str, dict[str, int]]:
        who = v.get("userid") or user
        if v.get("path"):
            return {v["path"]: dict.fromkeys(sorted(self._rights(who, v["path"])), 1)}
        paths = {"/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"}
        paths |= {path for grants in (self.acl or {}).values() for path, _ in grants}
        found = {path: self._rights(who, path) for path in sorted(paths)}
        return {path: dict.fromkeys(sorted(held), 1) for path, held in found.items() if held}

    def _check_modify_perm(
        self,
        user: str,
        vmid: int,
        pool: str | None,
        old: Any,
        new: dict[str, Any],
        deletes: list[str],
        unprivileged: Any,
    ) -> None:
        """``unusedN`` is not among the keys that need VM.Config.Disk: it falls under VM.Config.Options."""
        unused = [key for key in [*new, *deletes] if re.fullmatch(r"unused\d+", key)]
        if unused and user != ROOT:
            self._vm_perm(user, vmid, pool, "VM.Config.Options")
        kept = {key: value for key, value in new.items() if key not in unused}
        super()._check_modify_perm(
            user, vmid, pool, old, kept, [key for key in deletes if key not in unused], unprivileged
        )

    def _check_bridge(self, user: str, net: str) -> None:
        props = split_props(net)[1]
        if "bridge" in props:
            tag = f"/{props['tag']}" if "tag" in props else ""
            self.require(user, f"/sdn/zones/localnetwork/{props['bridge']}{tag}", "SDN.Use")
