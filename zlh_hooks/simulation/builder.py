"""What is put into the world before its story begins."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from zlh_hooks.application.ports import Clock
from zlh_hooks.domain import tag
from zlh_hooks.simulation.behaviour import Behaviour, good
from zlh_hooks.simulation.container import Container
from zlh_hooks.simulation.physics import Simulation
from zlh_hooks.simulation.volume import GIB, VolumeStore, render_size

DATA_PATH = "/data"


class Builder(Simulation):
    """Nodes, storages, templates and guests."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.versions: dict[tuple[str, str], Behaviour] = {}

    def add_node(self, name: str) -> None:
        """A node that is online."""
        self.online[name] = True

    def add_storage(
        self,
        name: str,
        *nodes: str,
        kind: str = "dir",
        free: int = 1000 * GIB,
        shared: bool = False,
        holds_roots: bool = True,
    ) -> None:
        """A storage on these nodes (on all if none is named): one of the same name on each, or one shared by them."""
        reached = nodes or tuple(self.online)
        groups = [reached] if shared else [(node,) for node in reached]
        for group in groups:
            store = VolumeStore(name, kind, free, group, holds_roots=holds_roots)
            self.stores.update({(node, name): store for node in group})

    def add_template(
        self,
        line: str,
        version: str,
        node: str,
        vmid: int,
        behaviour: Behaviour | None = None,
        *,
        channel: str | None = None,
        storage: str | None = None,
        unprivileged: bool = True,
        size: int = GIB,
        tags: Iterable[str] = (),
        options: Mapping[str, str] | None = None,
    ) -> Container:
        """A template of a line, tagged as the registry expects it. The same version on another node is one more."""
        self.versions[line, version] = behaviour or self.versions.get((line, version)) or good(version)
        store = self._store_for(node, storage)
        root = store.allocate(vmid, size, self.now, base=True)
        root.behaviour = self.versions[line, version]
        ours = [tag.LINE + line, tag.VERSION + version, *([tag.CHANNEL + channel] if channel else [])]
        values = _config(f"{line}-{version}".replace(".", "-"), [*ours, *tags], unprivileged)
        values |= {"template": "1", "rootfs": f"{root.volid},size={render_size(size)}", **(options or {})}
        return self._keep(Container(vmid, node, values))

    def add_guest(
        self,
        vmid: int,
        node: str,
        line: str = "game-base",
        version: str = "1",
        *,
        data_paths: Sequence[str] = (DATA_PATH,),
        running: bool = True,
        unprivileged: bool = True,
        storage: str | None = None,
        tags: Iterable[str] = (),
        ha_state: str | None = None,
        pool: str | None = None,
        root_options: str = "",
        root_size: int = GIB,
        options: Mapping[str, str] | None = None,
        uptime_days: int = 30,
    ) -> Container:
        """A customer's guest born from a version of a line, up and healthy for a while if it runs.

        ``options`` are more config values (or others than usual), e.g. ``{"protection": "1"}`` or a bind mount;
        ``root_options`` stand between root volume and size, e.g. ``mountoptions=noatime,``.
        """
        store = self._store_for(node, storage)
        root = store.allocate(vmid, root_size, self.now)
        root.behaviour = self.versions.get((line, version)) or good(version)
        values = _config(f"game-{vmid}", [tag.LINE + line, tag.VERSION + version, *tags], unprivileged)
        values["rootfs"] = f"{root.volid},{root_options}size={render_size(root.size)}"
        for number, path in enumerate(data_paths):
            data = store.allocate(vmid, 8 * GIB, self.now)
            values[f"mp{number}"] = f"{data.volid},mp={path},backup=1,size={render_size(data.size)}"
        container = Container(vmid, node, values | dict(options or {}), pool=pool, ha_state=ha_state, wanted=running)
        if running:
            container.started_at = self.now - timedelta(days=uptime_days)
            container.running_root = root.volid
        return self._keep(container)

    def _store_for(self, node: str, name: str | None) -> VolumeStore:
        if name is not None:
            return self.store(node, name)
        return next(store for (at, _), store in self.stores.items() if at == node and store.holds_roots)

    def _keep(self, container: Container) -> Container:
        if container.vmid in self.containers:
            raise ValueError(f"{container.vmid} exists already")
        self.containers[container.vmid] = container
        return container


def _config(hostname: str, tags: Iterable[str], unprivileged: bool) -> dict[str, str]:
    values = {
        "arch": "amd64",
        "cores": "2",
        "hostname": hostname,
        "memory": "2048",
        "net0": "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth",
        "onboot": "1",
        "ostype": "debian",
        "swap": "512",
        "tags": tag.render_tags(tags),
    }
    return values | ({"unprivileged": "1"} if unprivileged else {})
