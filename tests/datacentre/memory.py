"""How each guest was before us, and what its customer was told is stored: what the world is judged by in the end."""

from dataclasses import dataclass
from typing import Any

from zlh_hooks.application.ports import Clock
from zlh_hooks.domain import tag
from zlh_hooks.simulation.builder import Builder
from zlh_hooks.simulation.container import Container
from zlh_hooks.simulation.volume import StoredVolume


@dataclass(slots=True)
class Baseline:
    """A customer's guest as it was before us; changed only by what happens to it from outside."""

    fingerprint: str
    foreign_tags: tuple[str, ...]
    node: str
    ha_state: str | None


class Memory(Builder):
    """Remembers whatever is put into the world."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.baselines: dict[int, Baseline] = {}
        self.acknowledged: dict[int, list[str]] = {}

    def add_guest(self, vmid: int, *args: Any, **options: Any) -> Container:
        """A customer's guest, whose records are counted from now on."""
        self.acknowledged[vmid] = []
        return super().add_guest(vmid, *args, **options)

    def add_vm(self, vmid: int, node: str) -> Container:
        """A virtual machine: listed, and nothing else."""
        return self._keep(Container(vmid, node, {"name": f"vm-{vmid}"}, is_container=False))

    def write_record(self, vmid: int, record: str) -> bool:
        """The game stores a record; True if the client was told so, which only a running guest can do."""
        container = self.containers.get(vmid)
        volume = self.data_volume(container) if container and container.running else None
        if volume is None:
            return False
        volume.records.append(record)
        self.acknowledged[vmid].append(record)
        return True

    def data_volume(self, container: Container) -> StoredVolume | None:
        """Where the customer's data lies: the first mount point, else the root."""
        mounts = [mount for mount in container.config.data_mounts if mount.is_volume]
        return self.volume(container.node, mounts[0].volume if mounts else container.config.rootfs.volume)

    def remember(self, container: Container) -> None:
        """Take the guest as it is now for what it has to be in the end."""
        foreign = tuple(one for one in container.config.tags if not tag.is_ours(one))
        config = container.config
        self.baselines[container.vmid] = Baseline(config.fingerprint(), foreign, container.node, container.ha_state)

    def _keep(self, container: Container) -> Container:
        self.remember(super()._keep(container))
        return container
