"""The acts of a patch, one method a step. Each may be done again after a crash at any point of it."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_plugin.apt_output import Upgrade
from agent_plugin.disk import remove_file, sync_folder, sync_tree
from agent_plugin.fault import BadPatch, NotNow
from agent_plugin.health import Health
from agent_plugin.packages import Packages, free_bytes
from agent_plugin.patch_impact import Findings, Unit, Verdict, decide_impact, is_workload, list_restarted
from agent_plugin.patch_plan import find_unlike, refuse_plan, refuse_workload
from agent_plugin.patch_state import Patch, PatchBefore, find_patch, save_patch
from agent_plugin.patch_steps import PATCH, Step
from agent_plugin.place import Place
from agent_plugin.program import run
from agent_plugin.report import write_status
from agent_plugin.setting import Settings
from agent_plugin.state import Before, find_transaction
from agent_plugin.story import Event, Story
from agent_plugin.systemd import AGENT, Systemd
from agent_plugin.trial import Trial
from agent_plugin.unit import Units
from agent_plugin.wish_book import WishBook
from agent_plugin.workload import find_foreign

LOOK_SECONDS = 0.5
PROBE_SECONDS = 60.0
OLD, NEW = "old", "new"


@dataclass(frozen=True)
class PatchHands:
    """All that a patch works with."""

    place: Place
    settings: Settings
    systemd: Systemd
    units: Units
    packages: Packages


class Patching(Story[Patch]):
    """One patch."""

    course = PATCH

    def __init__(self, hands: PatchHands, patch: Patch) -> None:
        self.now = patch
        self._place, self._settings, self._packages = hands.place, hands.settings, hands.packages
        self._units, self._systemd = hands.units, hands.systemd
        self._health = Health(hands.systemd, hands.settings)
        self._folder = hands.place.packages / patch.txn
        self._book = WishBook(hands.place.wishes)
        self.acts: Mapping[Step, Callable[[], Event | None]] = {
            Step.PLAN: self._plan,
            Step.KEEP: self._keep,
            Step.LOOK: self._look,
            Step.BRING: self._bring,
            Step.RESTART: self._restart,
            Step.PROVE: self._prove,
            Step.COMMIT: self._commit,
            Step.REVERT: self._revert,
            Step.DISCARD: self._discard,
            Step.REPORT: self._report,
        }

    def _plan(self) -> "Event | None":
        if self.now.wanted.is_nothing:
            return self._find_nothing()
        self._repair()
        self._packages.refresh()
        upgrades = self._packages.plan(self.now.wanted)
        refuse_plan(self.now.wanted, upgrades, self._packages.read_installed(), self._packages.is_newer)
        if not upgrades:
            return self._find_nothing()
        workload = self._find_workload(self._units.list_running())
        refuse_workload(upgrades, workload, self._packages.list_owners([unit.file for unit in workload if unit.file]))
        self._refuse_full(upgrades)
        if self.now.live_only and (verdict := self._foresee(upgrades)).is_felt:
            self.note(outcome="waits", impact=verdict.impact.value, waits=verdict.waits)
            return Event.NOTHING
        self.note(upgrades=upgrades)
        return None

    def _foresee(self, upgrades: Sequence[Upgrade]) -> Verdict:
        """What would be felt, as far as that can be known before anything is brought."""
        running = self._units.list_running()
        workload = {unit.name for unit in self._find_workload(running)}
        return decide_impact(Findings(), self._packages.find_users(upgrades), workload, running)

    def _find_nothing(self) -> Event:
        """Nothing is brought; what still waits for a restart is looked at anew."""
        self.note(outcome="nothing", waits=self._judge(Findings()).waits)
        return Event.NOTHING

    def _repair(self) -> None:
        if self._packages.audit():
            self._packages.configure()
        if left := self._packages.audit():
            raise NotNow(f"packages are half installed, and dpkg --configure --pending does not help: {left[:400]}")

    def _find_workload(self, running: Mapping[str, Unit]) -> "list[Unit]":
        agent_too = AGENT in running and any(find_foreign(self._systemd.look(), self._settings.helpers))
        return [unit for unit in running.values() if is_workload(unit, self._settings.workload, agent_too)]

    def _refuse_full(self, upgrades: Sequence[Upgrade]) -> None:
        needed = self._packages.needed(upgrades) + (self._settings.reserve_mb << 20)
        folders = [self._place.root, self._place.root / "usr", self._place.root / "var", self._place.state]
        free = free_bytes(*(folder for folder in folders if folder.is_dir()))
        if free < needed:
            raise NotNow(f"the patch needs {needed} free bytes, reserve_mb among them, and there are {free}")

    def _keep(self) -> None:
        """The way back first, then what is brought: from here on no road is needed."""
        self._place.packages.mkdir(mode=0o755, exist_ok=True)
        if self._folder.exists():
            shutil.rmtree(self._folder)
        self._folder.mkdir(mode=0o755)
        (self._folder / OLD).mkdir(mode=0o700)  # a .deb that is packed anew holds files of settings, with their secrets
        for number, upgrade in enumerate(self.now.upgrades):
            folder = self._folder / OLD / f"{number:04}"
            folder.mkdir()
            self._packages.keep(upgrade, folder)
        self._list_kept()
        (self._folder / NEW).mkdir(mode=0o755)
        self._packages.fetch(self.now.upgrades, self._folder / NEW)
        sync_tree(self._folder)
        sync_folder(self._place.packages)

    def _list_kept(self) -> "tuple[Path, ...]":
        """The .deb of each old version; ``NotNow`` if one is not there whole."""
        found = []
        for number, upgrade in enumerate(self.now.upgrades):
            debs = [path for path in (self._folder / OLD / f"{number:04}").glob("*.deb") if not path.is_symlink()]
            wanted = (upgrade.name.partition(":")[0], upgrade.old)
            if len(debs) != 1 or self._packages.read_deb(debs[0]) != wanted:
                raise NotNow(f"the .deb of {upgrade.before} is not in {self._folder}: there is no way back")
            found.append(debs[0])
        return tuple(found)

    def _look(self) -> None:
        if fault := self._ask_probe():
            raise NotNow(f"the probe fails already before the patch: {fault}")
        self.note(before=self.look_before(), auto=self._packages.list_auto(self.now.names))
        if self.now.wish:
            self._book.begin(self.now.wish, self.now.txn)

    def look_before(self) -> PatchBefore:
        """What the guest is like now."""
        units = self._units.list_running()
        version = self._health.read_version()
        look = self._health.look(version, Before())
        answered, reached = self._health.list_answered(), self._health.list_reached()
        return PatchBefore(
            outdated=self._packages.find_outdated(),
            units=units,
            workload=tuple(unit.name for unit in self._find_workload(units)),
            agent=Before(not look.fault, version, look.invocation, "", answered, reached),
            beside=tuple(map(str, self._packages.list_beside(self.now.names))),
        )

    def _ask_probe(self) -> str:
        """What the probe said; empty if it ended well, or if there is none."""
        if not self.now.probe:
            return ""
        done = run(*self.now.probe, seconds=PROBE_SECONDS)
        return "" if done.is_well else done.words

    def _bring(self) -> None:
        if self._packages.audit():  # an earlier life was killed in the middle
            self._packages.configure()
        self._packages.bring(self.now.upgrades, self._folder / NEW)
        self._packages.mark_auto(self.now.auto)
        self._refuse_unlike({upgrade.name: upgrade.new for upgrade in self.now.upgrades})

    def _refuse_unlike(self, versions: Mapping[str, str]) -> None:
        if unlike := find_unlike(versions, self._packages.read_installed()):
            raise NotNow(f"not whole in the version wanted: {', '.join(unlike)}")

    def _judge(self, before: Findings) -> Verdict:
        running = self._units.list_running()
        workload = {unit.name for unit in self._find_workload(running)} | set(self.now.before.workload)
        return decide_impact(before, self._packages.find_outdated(), workload, running)

    def _restart(self) -> None:
        if not self.now.impact:  # an earlier life may have restarted some: what it saw counts
            verdict = self._judge(self.now.before.outdated)
            self.note(impact=verdict.impact.value, restart=verdict.restart, waits=verdict.waits)
            self.save()
        outdated = self._packages.find_outdated().units
        for name in self.now.restart:
            if name in outdated:  # an earlier life has not come so far
                self._restart_unit(name)

    def _restart_unit(self, name: str) -> None:
        try:
            self._units.restart(name)
        except NotNow as error:
            raise BadPatch(f"{name} does not come up again: {error}") from error

    def _prove(self) -> None:
        if fault := self._find_fault():
            self._systemd.refuse_shutdown()  # then what stopped answering is no verdict
            raise BadPatch(fault)

    def _find_fault(self) -> str:
        """The workload runs, the agent answers as before for ``bake_seconds``, and the probe ends well; or why not."""
        return self._find_lost() or self._find_agent_fault() or self._ask_probe()

    def _find_lost(self) -> str:
        """After a boot in between, units of the workload may still be starting."""
        deadline = time.monotonic() + self._settings.deadline_seconds
        while lost := set(self.now.before.workload) - set(self._units.list_running()):
            if time.monotonic() > deadline:
                return f"{', '.join(sorted(lost))} ran before the patch, and does not run any more"
            time.sleep(LOOK_SECONDS)
        return ""

    def _find_agent_fault(self) -> str:
        before = self.now.before.agent
        if not before.well:
            return ""  # it was not well before either: there is nothing to compare with
        settings = self._settings
        trial = Trial("", time.monotonic(), settings.bake_seconds, settings.deadline_seconds, may_restart=True)
        while (verdict := trial.judge(self._health.look(before.version, before), time.monotonic())) is None:
            time.sleep(LOOK_SECONDS)
        return verdict

    def _commit(self) -> None:
        beside = set(map(str, self._packages.list_beside(self.now.names))) - set(self.now.before.beside)
        left = self._judge(Findings())
        restarted = list_restarted(self.now.before.units, self._units.list_running())
        waits = (*left.waits, *left.restart)  # the second are outdated although they were restarted
        self.note(outcome="installed", beside=tuple(sorted(beside)), restarted=restarted, waits=waits)
        save_patch(self._place.patched, self.now)
        self._remove(self._folder / NEW)
        for folder in self._place.packages.iterdir():  # an earlier patch is not gone back from any more
            if folder.name != self.now.txn:
                self._remove(folder)

    def _revert(self) -> None:
        """Exactly the old packages, whatever state the new ones are in; then all is as it was, or this is stuck."""
        old = {upgrade.name: upgrade.old for upgrade in self.now.upgrades}
        if find_unlike(old, self._packages.read_installed()) or self._packages.audit():
            self._packages.put_back(self._list_kept())
        self._packages.mark_auto(self.now.auto)  # apt changes that even where it brings nothing
        self._refuse_unlike(old)
        for path in set(self._packages.list_beside(self.now.names)) - set(map(Path, self.now.before.beside)):
            remove_file(path)
        verdict = self._judge(self.now.before.outdated)
        for name in verdict.restart:
            self._restart_unit(name)
        self.note(waits=verdict.waits, beside=())
        if fault := self._find_fault():
            raise NotNow(f"{self.now.reason or 'gone back'}; the old packages are back, but not all is well: {fault}")
        self.note(outcome="reverted")

    def _discard(self) -> None:
        """Take away what this patch fetched, and nothing else."""
        self._remove(self._folder)
        proved = find_patch(self._place.patched)
        if self.now.taken_back and proved is not None and proved.txn == self.now.txn:
            remove_file(self._place.patched)

    def _remove(self, folder: Path) -> None:
        if folder.is_dir():
            shutil.rmtree(folder)
            sync_folder(folder.parent)

    def _report(self) -> None:
        if not self.now.outcome:
            self.note(outcome="refused" if self.now.blame else "failed")
        for wish, outcome in self.now.ends.items():
            self._book.end(wish, self.now.txn, outcome, self.now.reason)

    def save(self) -> None:
        save_patch(self._place.patch, self.now)

    def tell(self) -> None:
        write_status(self._place, find_transaction(self._place.transaction), self.now)
