"""What a guest was before a change, and whether it is that again: the evidence a revert is judged by."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from zlh_hooks.application.ports import Cluster
from zlh_hooks.domain.guest import GuestConfig, GuestRef
from zlh_hooks.domain.health import Facts

IDENTITY_CHANGES = "SSH host keys and machine-id are those of the new root"


@dataclass(frozen=True, slots=True)
class GuestRecord:
    """A guest at one moment. ``data`` is mount key to volume id; ``facts`` what its probes reported, if it ran."""

    root: str
    root_size: str | None
    fingerprint: str
    data: Mapping[str, str]
    tags: tuple[str, ...]
    running: bool
    uptime_seconds: int
    facts: Facts

    def dump(self) -> dict[str, Any]:
        """JSON values for the ledger."""
        return asdict(self) | {"tags": list(self.tags)}


def parse_record(data: Mapping[str, Any]) -> GuestRecord:
    """The record from the ledger's JSON values."""
    return GuestRecord(**{**data, "tags": tuple(data["tags"])})


def read_record(cluster: Cluster, ref: GuestRef, facts: Facts) -> GuestRecord:
    """Read the guest now; ``facts`` come from the proof that was just made."""
    config = cluster.inventory.read_config(ref)
    power = cluster.inventory.read_power(ref)
    return make_record(config, power.running, power.uptime_seconds, facts)


def make_record(config: GuestConfig, running: bool, uptime_seconds: int, facts: Facts) -> GuestRecord:
    """The record of a config that was just read."""
    return GuestRecord(
        root=config.rootfs.volume,
        root_size=dict(config.rootfs.options).get("size"),
        fingerprint=config.fingerprint(),
        data={mount.key: mount.volume for mount in config.data_mounts},
        tags=config.tags,
        running=running,
        uptime_seconds=uptime_seconds,
        facts=facts,
    )


def is_edited(before: GuestRecord, after: GuestRecord) -> bool:
    """Whether its config, or which data volumes it has, was changed in between."""
    return (before.fingerprint, before.data) != (after.fingerprint, after.data)


def find_difference(before: GuestRecord, after: GuestRecord) -> str | None:
    """The first thing in which a reverted guest is not what it was, as a sentence; None if it is proved."""
    if after.root != before.root:
        return f"its root is {after.root}, it was {before.root}"
    if after.data != before.data:
        return f"its data volumes are {dict(after.data)}, they were {dict(before.data)}"
    if after.fingerprint != before.fingerprint:
        return "its config (volumes aside) is not what it was"
    if before.running and not after.running:
        return "it was running and is not"
    return None
