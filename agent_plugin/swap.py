"""The acts of a swap, one method a step. Each may be done again after a crash at any point of it."""

import hashlib
import hmac
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from agent_plugin.archive import unpack
from agent_plugin.disk import remove_file, swap_link, write_file
from agent_plugin.fault import BadRelease, NotNow
from agent_plugin.health import Health
from agent_plugin.pending import find_net, forget_count, forget_trial
from agent_plugin.place import Place
from agent_plugin.report import read_check, write_status
from agent_plugin.selftest import run_self_test
from agent_plugin.setting import Settings
from agent_plugin.slot import Slots
from agent_plugin.source import CHUNK, Source, part_of, size_of_part
from agent_plugin.state import Before, BlockList, Transaction, save_transaction
from agent_plugin.steps import SWAP, Step
from agent_plugin.story import Event, Story
from agent_plugin.systemd import SOCKET, Systemd
from agent_plugin.trial import Trial
from agent_plugin.wanted import version_of
from agent_plugin.workload import refuse_foreign

LOOK_SECONDS = 0.5
REVERT_BAKE_SECONDS = 2.0
REVERT_SECONDS = 60.0
TAKEN_BACK = "a person took it back"


@dataclass(frozen=True)
class Hands:
    """All that a swap works with. ``source``: None where nobody can bring an archive."""

    place: Place
    systemd: Systemd
    settings: Settings
    source: "Source | None" = None


def remove_archives(place: Place, but: "Path | None" = None) -> None:
    """What was brought and is needed no more; one of them may be."""
    if place.download.is_dir():
        for path in place.download.iterdir():
            if path != but:
                remove_file(path)


class Swap(Story[Transaction]):
    """One swap."""

    course = SWAP

    def __init__(self, hands: Hands, txn: Transaction) -> None:
        self.now = txn
        self.slots = Slots(hands.place)
        self.blocks = BlockList(hands.place.blocked)
        self.hands = hands
        self._place = hands.place
        self._systemd = hands.systemd
        self._health = Health(hands.systemd, hands.settings)
        self._archive = hands.place.download / f"{txn.release}.tar.gz"
        self.acts: Mapping[Step, Callable[[], Event | None]] = {
            Step.PLAN: self._plan,
            Step.DOWNLOAD: self._download,
            Step.VERIFY: self._verify,
            Step.UNPACK: self._unpack,
            Step.SELFTEST: self._self_test,
            Step.FOUND: self._found,
            Step.ARM: self._arm,
            Step.FLIP: self._flip,
            Step.RESTART: self._restart,
            Step.WATCH: self._watch,
            Step.COMMIT: self._commit,
            Step.CLEAN: self._clean,
            Step.REVERT: self._revert,
            Step.DISCARD: self._discard,
            Step.REPORT: self._report,
        }

    def _plan(self) -> None:
        if self.now.origin and not self.now.taken_back:
            self.now.wanted.refuse_way_back(version_of(self.now.origin))
        if self.now.existed:
            if not hmac.compare_digest(self.slots.read_mark(self.now.release).sha256, self.now.wanted.sha256):
                raise BadRelease(f"another archive than {self.now.wanted.sha256} is unpacked as {self.now.release}")
            return
        if self.hands.source is None:
            raise NotNow("it was interrupted before anything was changed, and nobody brings it again: start anew")
        needed = 2 * self.now.wanted.size + self._reserve - size_of_part(self._archive)
        if shutil.disk_usage(self._place.state).free < needed:
            raise NotNow(f"{self._place.state} needs {needed} free bytes: twice the archive and reserve_mb")

    @property
    def _reserve(self) -> int:
        return self.hands.settings.reserve_mb << 20

    def _download(self) -> None:
        if not self.now.existed and self.hands.source is not None:
            self._place.download.mkdir(mode=0o700, exist_ok=True)
            remove_archives(self._place, but=part_of(self._archive))
            self.hands.source.download(self.now.wanted, self._archive)

    def _verify(self) -> None:
        if self.now.existed:
            return
        size, digest = self._archive.stat().st_size, hashlib.sha256()
        if size != self.now.wanted.size:
            raise BadRelease(f"the archive has {size} bytes, not {self.now.wanted.size}")
        with self._archive.open("rb") as file:
            for chunk in iter(lambda: file.read(CHUNK), b""):
                digest.update(chunk)
        if not hmac.compare_digest(digest.hexdigest(), self.now.wanted.sha256):
            raise BadRelease(f"the archive's sha256 is {digest.hexdigest()}, not {self.now.wanted.sha256}")

    def _unpack(self) -> None:
        if self.now.existed:
            return
        self.slots.remove(self.now.release)  # what an interrupted one left
        unpack(self._archive, self.slots.path(self.now.release), self._reserve)
        self.slots.mark_whole(self.now.wanted)

    def _self_test(self) -> "Event | None":
        run_self_test(self.slots.path(self.now.release))
        return None if self.now.origin else Event.DONE_FIRST

    def _found(self) -> None:
        self.slots.link(self._place.current, self.now.release)
        self.note(outcome="installed")

    def _arm(self) -> None:
        """Everything that the way back needs, before anything is touched."""
        if not self.slots.is_whole(self.now.origin):
            raise NotNow(f"there is no way back: {self.slots.path(self.now.origin)} is not a whole release")
        if self.hands.settings.handover == "socket" and not self._systemd.look(SOCKET).active:
            raise NotNow(
                f"{SOCKET} is not active, so that a restart would refuse connections: systemctl start {SOCKET}"
            )
        refuse_foreign(self._systemd.look(), self.hands.settings.helpers)
        forget_trial(self._place)
        self.note(before=self._look_before())
        self.save()
        swap_link(self._place.back, f"{self._place.releases.name}/{self.now.origin}")
        write_file(self._place.attempt(0), b"")
        self._write_pending()
        self._systemd.arm_deadline()

    def _write_pending(self) -> None:
        """What the nets read: the release on trial, the one to go back to, and the start that runs before the trial."""
        lines = (self.now.release, self.now.origin, self.now.before.invocation)
        write_file(self._place.pending, "".join(f"{line}\n" for line in lines).encode())

    def _look_before(self) -> Before:
        version = self._health.read_version()
        look = self._health.look(version, Before())
        answered, reached = self._health.list_answered(), self._health.list_reached()
        return Before(not look.fault, version, look.invocation, self._systemd.read_cursor(), answered, reached)

    def _flip(self) -> None:
        """Noted anew just before: after a boot in between, the agent that runs is a later start of the old release."""
        self._check_trial()
        invocation = self._systemd.look().invocation
        if invocation != self.now.before.invocation:
            self.note(before=replace(self.now.before, invocation=invocation))
            self.save()
            self._write_pending()
        self.slots.link(self._place.current, self.now.release)
        self._check_trial()

    def _check_trial(self) -> None:
        if not self._place.pending.exists():
            raise BadRelease(f"a net went back: {find_net(self._place) or 'the trial is over'}; {self._read_exit()}")

    def _read_exit(self) -> str:
        try:
            return f"the agent ended with {self._place.last_exit.read_text().strip()}"
        except OSError:
            return "how the agent ended is not known"

    def _restart(self) -> None:
        """One restart: none if it was done before an interruption."""
        self._check_trial()
        if self._systemd.look().invocation in ("", self.now.before.invocation):
            self._systemd.restart_agent()

    def _watch(self) -> None:
        settings = self.hands.settings
        trial = Trial(self.now.before.invocation, time.monotonic(), settings.bake_seconds, settings.deadline_seconds)
        while (verdict := self._look_at(trial, self.now.wanted.version, self.now.before)) is None:
            self._check_trial()
            time.sleep(LOOK_SECONDS)
        self._check_trial()
        if verdict:
            self._systemd.refuse_shutdown()  # then what stopped answering is no verdict
            raise BadRelease(verdict)

    def _look_at(self, trial: Trial, version: str, before: Before) -> "str | None":
        return trial.judge(self._health.look(version, before), time.monotonic())

    def _commit(self) -> None:
        """``back`` becomes ``previous``: whoever renames it first decides, this or a net."""
        if not self._is_committed():
            self._check_trial()
            try:
                self.slots.commit()
            except FileNotFoundError as error:
                raise BadRelease(f"a net was faster: {find_net(self._place)}") from error
        self.note(outcome="installed")

    def _is_committed(self) -> bool:
        return (self.slots.find_current(), self.slots.find_previous()) == (self.now.release, self.now.origin)

    def _clean(self) -> None:
        if self.now.origin:
            forget_trial(self._place)
            self._systemd.disarm_deadline()
        self.blocks.lift(self.now.release)
        remove_archives(self._place)
        self.slots.clean()

    def _revert(self) -> None:
        """By the same script as the nets; then the old release must be proved, or this swap is stuck."""
        seen, flipped = self._systemd.look().invocation, self.slots.find_current() == self.now.release
        self._systemd.revert(self._place.revert)
        if self.slots.find_current() != self.now.origin:  # flipped behind a net that had gone back
            self.slots.link(self._place.current, self.now.origin)
            self._systemd.restart_agent()
        self._keep_log()
        self._prove_origin(seen if flipped else "")
        self.note(outcome="reverted")

    def _keep_log(self) -> None:
        try:
            write_file(self._place.failed_log, self._systemd.read_log(self.now.before.cursor).encode())
        except OSError:
            return  # a full disk; the way back is what counts

    def _prove_origin(self, old: str) -> None:
        if not self.now.before.well:
            return  # it was not well before either: there is nothing to compare with
        fault = self._find_fault(old)
        if fault:  # whoever went back may have died between its flip and its restart
            invocation = self._systemd.look().invocation
            self._systemd.restart_agent()
            fault = self._find_fault(invocation)
        if fault:
            raise NotNow(f"{self.now.reason}; back on {self.now.origin}, but it is not well: {fault}")

    def _find_fault(self, old: str) -> str:
        """What keeps the old release from being proved in a start after ``old``; empty if nothing does."""
        trial = Trial(old, time.monotonic(), REVERT_BAKE_SECONDS, REVERT_SECONDS, may_restart=True)
        while (verdict := self._look_at(trial, self.now.before.version, Before())) is None:
            time.sleep(LOOK_SECONDS)
        return verdict

    def _discard(self) -> None:
        """Take away what this swap brought, and nothing else."""
        remove_archives(self._place, but=part_of(self._archive) if self.now.has_no_road else None)
        if not self._place.pending.exists():
            forget_count(self._place)
        if not self.now.existed and self.now.release != self.slots.find_current():
            self.slots.remove(self.now.release)

    def _report(self) -> None:
        if not self.now.outcome:
            self.note(outcome="refused" if self.now.blame else "failed")
        seen = read_check(self._place)
        pin = max(self.now.wanted.pin, seen.pin if seen else 0)
        if self.now.taken_back and self.now.outcome == "installed":
            self.blocks.block(self.now.origin, TAKEN_BACK, pin)
        if self.now.blame:
            self.blocks.block(self.now.release, self.now.reason, pin)
        elif self.now.outcome == "failed" and not self.now.has_no_road:
            self.blocks.count(self.now.release, self.now.reason, pin)  # a road that is broken blocks nothing

    def save(self) -> None:
        save_transaction(self._place.transaction, self.now)

    def tell(self) -> None:
        write_status(self._place, self.now)
