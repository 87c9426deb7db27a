"""Whether a plan of apt's may be carried out in a guest where somebody plays: pure."""

from collections.abc import Callable, Collection, Mapping, Sequence

from agent_plugin.apt_output import HELD, INSTALLED, Installed, Upgrade
from agent_plugin.fault import NotNow
from agent_plugin.patch_impact import Unit
from agent_plugin.patch_wanted import PatchWanted


def refuse_plan(
    wanted: PatchWanted,
    upgrades: Sequence[Upgrade],
    installed: Mapping[str, Installed],
    is_newer: "Callable[[str, str], bool]",
) -> None:
    """``NotNow`` says which package is in the way: a patch neither adds, removes nor lowers any."""
    planned = {upgrade.name: upgrade.new for upgrade in upgrades}
    for package in wanted.packages:
        there = installed.get(package.name)
        if there is None or there.status not in INSTALLED:
            raise NotNow(f"{package.name} is not installed: only packages that are there are patched")
        if planned.get(package.name, there.version) != package.version:
            raise NotNow(f"{package} cannot be brought: {there.version} is installed, and apt would not change that")
    for upgrade in upgrades:
        there = installed.get(upgrade.name)
        if there is not None and there.status == HELD:
            raise NotNow(
                f"{upgrade.name} is held at {there.version}, and {upgrade.new} is there: apt-mark unhold frees it"
            )
        if not upgrade.old:
            raise NotNow(f"{upgrade.name} would be added: install it first, in a window, by hand or by a new template")
        if not is_newer(upgrade.new, upgrade.old):
            raise NotNow(f"{upgrade.new} is not newer than {upgrade.old} of {upgrade.name}: patch revert goes back")


def refuse_workload(upgrades: Sequence[Upgrade], workload: Collection[Unit], owners: Mapping[str, str]) -> None:
    """``NotNow`` if a package brings a unit of the workload: its own script would restart that."""
    names = {upgrade.name.partition(":")[0] for upgrade in upgrades}
    for unit in workload:
        owner = owners.get(unit.file, "").partition(":")[0]
        if owner in names:
            raise NotNow(
                f"{owner} would restart {unit.name}, which is workload here, by its own script: it waits for a window,"
                f" in which {unit.name} is stopped before the patch"
            )


def find_unlike(versions: Mapping[str, str], installed: Mapping[str, Installed]) -> "tuple[str, ...]":
    """Packages that are not whole in the version that they shall have."""
    return tuple(name for name, version in versions.items() if not _is_whole(installed.get(name), version))


def _is_whole(there: "Installed | None", version: str) -> bool:
    return there is not None and there.status in INSTALLED and there.version == version
