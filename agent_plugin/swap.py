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
from agent_plugin.steps import Event, Step
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


class Swap:
    """One swap; ``txn`` is where it stands."""

    def __init__(self, hands: Hands, txn: Transaction) -> None:
        self.txn = txn
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
        if self.txn.origin and not self.txn.taken_back:
            self.txn.wanted.refuse_way_back(version_of(self.txn.origin))
        if self.txn.existed:
            if not hmac.compare_digest(self.slots.read_mark(self.txn.release).sha256, self.txn.wanted.sha256):
                raise BadRelease(f"another archive than {self.txn.wanted.sha256} is unpacked as {self.txn.release}")
            return
        if self.hands.source is None:
            raise NotNow("it was interrupted before anything was changed, and nobody brings it again: start anew")
        needed = 2 * self.txn.wanted.size + self._reserve - size_of_part(self._archive)
        if shutil.disk_usage(self._place.state).free < needed:
            raise NotNow(f"{self._place.state} needs {needed} free bytes: twice the archive and reserve_mb")

    @property
    def _reserve(self) -> int:
        return self.hands.settings.reserve_mb << 20

    def _download(self) -> None:
        if not self.txn.existed and self.hands.source is not None:
            self._place.download.mkdir(mode=0o700, exist_ok=True)
            remove_archives(self._place, but=part_of(self._archive))
            self.hands.source.download(self.txn.wanted, self._archive)

    def _verify(self) -> None:
        if self.txn.existed:
            return
        size, digest = self._archive.stat().st_size, hashlib.sha256()
        if size != self.txn.wanted.size:
            raise BadRelease(f"the archive has {size} bytes, not {self.txn.wanted.size}")
        with self._archive.open("rb") as file:
            for chunk in iter(lambda: file.read(CHUNK), b""):
                digest.update(chunk)
        if not hmac.compare_digest(digest.hexdigest(), self.txn.wanted.sha256):
            raise BadRelease(f"the archive's sha256 is {digest.hexdigest()}, not {self.txn.wanted.sha256}")

    def _unpack(self) -> None:
        if self.txn.existed:
            return
        self.slots.remove(self.txn.release)  # what an interrupted one left
        unpack(self._archive, self.slots.path(self.txn.release), self._reserve)
        self.slots.mark_whole(self.txn.wanted)

    def _self_test(self) -> "Event | None":
        run_self_test(self.slots.path(self.txn.release))
        return None if self.txn.origin else Event.DONE_FIRST

    def _found(self) -> None:
        self.slots.link(self._place.current, self.txn.release)
        self._decide("installed")

    def _arm(self) -> None:
        """Everything that the way back needs, before anything is touched."""
        if not self.slots.is_whole(self.txn.origin):
            raise NotNow(f"there is no way back: {self.slots.path(self.txn.origin)} is not a whole release")
        if self.hands.settings.handover == "socket" and not self._systemd.look(SOCKET).active:
            raise NotNow(
                f"{SOCKET} is not active, so that a restart would refuse connections: systemctl start {SOCKET}"
            )
        refuse_foreign(self._systemd.look(), self.hands.settings.helpers)
        forget_trial(self._place)
        self._note(before=self._look_before())
        swap_link(self._place.back, f"{self._place.releases.name}/{self.txn.origin}")
        write_file(self._place.attempt(0), b"")
        self._write_pending()
        self._systemd.arm_deadline()

    def _write_pending(self) -> None:
        """What the nets read: the release on trial, the one to go back to, and the start that runs before the trial."""
        lines = (self.txn.release, self.txn.origin, self.txn.before.invocation)
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
        if invocation != self.txn.before.invocation:
            self._note(before=replace(self.txn.before, invocation=invocation))
            self._write_pending()
        self.slots.link(self._place.current, self.txn.release)
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
        if self._systemd.look().invocation in ("", self.txn.before.invocation):
            self._systemd.restart_agent()

    def _watch(self) -> None:
        settings = self.hands.settings
        trial = Trial(self.txn.before.invocation, time.monotonic(), settings.bake_seconds, settings.deadline_seconds)
        while (verdict := self._look_at(trial, self.txn.wanted.version, self.txn.before)) is None:
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
        self._decide("installed")

    def _is_committed(self) -> bool:
        return (self.slots.find_current(), self.slots.find_previous()) == (self.txn.release, self.txn.origin)

    def _clean(self) -> None:
        if self.txn.origin:
            forget_trial(self._place)
            self._systemd.disarm_deadline()
        self.blocks.lift(self.txn.release)
        remove_archives(self._place)
        self.slots.clean()

    def _revert(self) -> None:
        """By the same script as the nets; then the old release must be proved, or this swap is stuck."""
        seen, flipped = self._systemd.look().invocation, self.slots.find_current() == self.txn.release
        self._systemd.revert(self._place.revert)
        if self.slots.find_current() != self.txn.origin:  # flipped behind a net that had gone back
            self.slots.link(self._place.current, self.txn.origin)
            self._systemd.restart_agent()
        self._keep_log()
        self._prove_origin(seen if flipped else "")
        self._decide("reverted")

    def _keep_log(self) -> None:
        try:
            write_file(self._place.failed_log, self._systemd.read_log(self.txn.before.cursor).encode())
        except OSError:
            return  # a full disk; the way back is what counts

    def _prove_origin(self, old: str) -> None:
        if not self.txn.before.well:
            return  # it was not well before either: there is nothing to compare with
        fault = self._find_fault(old)
        if fault:  # whoever went back may have died between its flip and its restart
            invocation = self._systemd.look().invocation
            self._systemd.restart_agent()
            fault = self._find_fault(invocation)
        if fault:
            raise NotNow(f"{self.txn.reason}; back on {self.txn.origin}, but it is not well: {fault}")

    def _find_fault(self, old: str) -> str:
        """What keeps the old release from being proved in a start after ``old``; empty if nothing does."""
        trial = Trial(old, time.monotonic(), REVERT_BAKE_SECONDS, REVERT_SECONDS, may_restart=True)
        while (verdict := self._look_at(trial, self.txn.before.version, Before())) is None:
            time.sleep(LOOK_SECONDS)
        return verdict

    def _discard(self) -> None:
        """Take away what this swap brought, and nothing else."""
        remove_archives(self._place, but=part_of(self._archive) if self.txn.has_no_road else None)
        if not self._place.pending.exists():
            forget_count(self._place)
        if not self.txn.existed and self.txn.release != self.slots.find_current():
            self.slots.remove(self.txn.release)

    def _report(self) -> None:
        if not self.txn.outcome:
            self._decide("refused" if self.txn.blame else "failed")
        seen = read_check(self._place)
        pin = max(self.txn.wanted.pin, seen.pin if seen else 0)
        if self.txn.taken_back and self.txn.outcome == "installed":
            self.blocks.block(self.txn.origin, TAKEN_BACK, pin)
        if self.txn.blame:
            self.blocks.block(self.txn.release, self.txn.reason, pin)
        elif self.txn.outcome == "failed" and not self.txn.has_no_road:
            self.blocks.count(self.txn.release, self.txn.reason, pin)  # a road that is broken blocks nothing

    def _decide(self, outcome: str) -> None:
        self.txn = replace(self.txn, outcome=outcome)

    def _note(self, before: Before) -> None:
        self.txn = replace(self.txn, before=before)
        self.save()

    def save(self) -> None:
        """Write down where it stands, before the act."""
        save_transaction(self._place.transaction, self.txn)

    def tell(self) -> None:
        """Write the status document."""
        write_status(self._place, self.txn)
