"""A guest made of files that follows wishes from a real server: the plugin's own command, from the question to the packages."""

from pathlib import Path

from agent_plugin.patch_state import Patch, find_patch
from agent_plugin.patch_wanted import PatchWanted
from agent_plugin.setting import Settings
from agent_plugin.wire import Status, Wished, parse_status
from agent_plugin.wish import Wish
from tests.agent.patch_world import FolderGuest
from tests.agent.release import NAME
from tests.agent.repository_bench import RepositoryBench
from tests.agent.swap_world import World, build
from tests.agent.update_server import UpdateServer
from tests.agent.wish_doomed import make_settings, run_command

OLD = build("1.4.2")
SECURITY = PatchWanted(security=True)


def wish(number: int, patches: PatchWanted = SECURITY, ring: str = "all") -> Wish:
    """For everybody, unless it says otherwise."""
    return Wish(number, NAME, ring, patches)


def back_from(brought: Wish, number: int) -> Wish:
    """What that one brought is taken back."""
    return wish(number, PatchWanted(revert=brought.id))


class WishGuest:
    """It runs 1.4.2, which is pinned, and has two packages with fixes; ``faults`` as in ``patch_world``."""

    def __init__(self, root: Path, bench: RepositoryBench, server: UpdateServer) -> None:
        root.mkdir()
        self.root, self.bench, self.url, self.probe = root, bench, server.url, ""
        self.world, self.packages = World(root), FolderGuest(root / "guest.json")
        self.place = self.world.place
        self.world.begin(OLD)
        self.packages.begin()
        self.place.first_root.parent.mkdir(exist_ok=True)
        self.place.first_root.write_bytes(bench.repository.read_root())
        bench.roll_out("1.4.2", OLD.archive)

    @property
    def settings(self) -> Settings:
        return make_settings(self.world.port, self.url, self.probe)

    def check(self) -> int:
        """As the timer does."""
        return run_command(self.root, self.settings, "check")

    def wish(self, *wishes: Wish, **changes: object) -> int:
        """Signed and published in place of all others; then a check."""
        self.bench.wish(*wishes, **changes)
        return self.check()

    def status(self) -> Status:
        return parse_status(self.place.status.read_bytes())

    def told(self) -> Wished:
        """What the guest says of the wish."""
        found = self.status().wish
        assert found is not None
        return found

    def last(self) -> Patch:
        """The last patch."""
        found = find_patch(self.place.patch)
        assert found is not None
        return found

    def versions(self) -> "dict[str, str]":
        """Of the packages that are whole."""
        found = self.packages.read()
        return {name: version for name, version in found["installed"].items() if found["status"][name] == "ii"}
