"""What guests report of their agents, and whether it is they who speak. Keys that are seen first are recorded."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from zlh_hooks.application.agent_ports import AgentReports
from zlh_hooks.application.ports import Inventory, Ledger
from zlh_hooks.domain.agent_report import KEY_ACCEPTED, KEY_SEEN, AgentReport, KeyBook, KeyRefused, KeySight
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.errors import GuestMissing, NotAllowed, RoadError, SettingsError, TargetError
from zlh_hooks.domain.guest import GuestSummary
from zlh_hooks.domain.plain_text import render_line
from zlh_hooks.domain.policy import Policy

READS_AT_ONCE = 8
_KEY = re.compile(r"[0-9a-f]{64}")


class Standing(StrEnum):
    """What a guest's report is worth."""

    KNOWN = "known"  # signed by the guest's key
    FIRST = "first"  # signed by a key that is recorded as the guest's from now on
    REFUSED = "refused"  # signed by a key that is not the guest's: a person must look
    BAD = "bad"  # something answered that is no report for us
    SILENT = "silent"  # nothing answered, or the guest could not be looked up


ALARMS = frozenset({Standing.REFUSED, Standing.BAD})
"""A person must look at these."""


@dataclass(frozen=True, slots=True)
class GuestReport:
    """A guest and what it reports. ``report`` only if it is believed; ``why`` if it is not."""

    guest: GuestSummary
    standing: Standing
    report: AgentReport | None = None
    why: str = ""

    @property
    def needs_a_person(self) -> bool:
        """Whether somebody else speaks for the guest, or the guest was served what nobody believes."""
        check = self.report.check if self.report else None
        return self.standing in ALARMS or (check is not None and check.suspicious)


@dataclass(frozen=True, slots=True)
class _Answer:
    guest: GuestSummary
    root: str = ""
    report: AgentReport | None = None
    standing: Standing = Standing.KNOWN
    why: str = ""


@dataclass(frozen=True, slots=True)
class AgentReportDesk:
    """Asks guests, and takes a person's word for a key."""

    inventory: Inventory
    reports: AgentReports
    open_ledger: Callable[[], Ledger]
    policy: Policy
    author: str

    def list_reports(self, vmids: Sequence[int] = ()) -> tuple[GuestReport, ...]:
        """Of these guests, else of all that run and are of a kind of the policy; in order of their numbers."""
        return self._read(self._choose(vmids))

    def find_reports(self, vmids: Collection[int]) -> Mapping[int, GuestReport]:
        """Of those of these guests that there are, by their numbers."""
        guests = [guest for guest in self.inventory.list_guests() if guest.vmid in vmids and guest.is_container]
        return {row.guest.vmid: row for row in self._read(guests)}

    def _read(self, guests: Sequence[GuestSummary]) -> tuple[GuestReport, ...]:
        with ThreadPoolExecutor(READS_AT_ONCE) as pool:
            answers = tuple(pool.map(self._ask, guests))
        ledger = self.open_ledger()
        book = KeyBook().add(ledger.read(""))
        return tuple(self._judge(answer, book, ledger) for answer in answers)

    def accept_key(self, vmid: int, key: str, reason: str) -> None:
        """From now on this key is the guest's, on the root that it has; also if it was another guest's."""
        if not _KEY.fullmatch(key):
            expected = "64 hexadecimal digits, as zlh-agent-plugin key prints in the guest"
            raise SettingsError("accept-key", "key", repr(key), expected)
        line = render_line(reason)
        if not line:
            raise SettingsError("accept-key", "reason", "nothing", "why the key changed: others will read it")
        (guest,) = self._choose([vmid])
        data = {"key": key, "root": self._read_root(guest), "reason": line, "author": self.author}
        self.open_ledger().append(Draft(Kind.COMMAND, KEY_ACCEPTED, target=vmid, data=data))

    # --- inside

    def _choose(self, vmids: Sequence[int]) -> tuple[GuestSummary, ...]:
        containers = {guest.vmid: guest for guest in self.inventory.list_guests() if guest.is_container}
        missing = [vmid for vmid in vmids if vmid not in containers]
        if missing:
            raise NotAllowed(f"there is no container {', '.join(map(str, missing))}")
        named = [containers[vmid] for vmid in sorted(set(vmids))]
        return tuple(named or (guest for _, guest in sorted(containers.items()) if self._is_ours(guest)))

    def _is_ours(self, guest: GuestSummary) -> bool:
        return guest.running and not guest.template and self.policy.kind_of(guest.vmid, guest.tags) is not None

    def _ask(self, guest: GuestSummary) -> _Answer:
        try:
            root, address = self._read_root(guest), self.inventory.read_address(guest.ref)
            if address is None:
                return _Answer(guest, root, standing=Standing.SILENT, why="it has no address yet")
            report = self.reports.read_report(address)
            if self._read_root(guest) != root:  # nobody knows which of the two roots has spoken
                return _Answer(guest, standing=Standing.SILENT, why="its root was exchanged meanwhile: ask again")
            return _Answer(guest, root, report)
        except (GuestMissing, RoadError) as error:
            return _Answer(guest, standing=Standing.SILENT, why=str(error))
        except TargetError as error:
            return _Answer(guest, standing=Standing.BAD, why=str(error))

    def _read_root(self, guest: GuestSummary) -> str:
        return self.inventory.read_config(guest.ref).rootfs.volume

    def _judge(self, answer: _Answer, book: KeyBook, ledger: Ledger) -> GuestReport:
        guest, report = answer.guest, answer.report
        if report is None:
            return GuestReport(guest, answer.standing, why=answer.why)
        try:
            is_new = book.is_new(guest.vmid, report.key, answer.root)
        except KeyRefused as refused:
            return GuestReport(guest, Standing.REFUSED, why=str(refused))
        if not is_new:
            return GuestReport(guest, Standing.KNOWN, report)
        known = report.key in book.owners
        data = {"key": report.key, "root": answer.root}
        entry = ledger.append(Draft(Kind.EVIDENCE, KEY_SEEN, target=guest.vmid, data=data))
        book.note(KeySight(guest.vmid, report.key, answer.root, entry.at))
        return GuestReport(guest, Standing.KNOWN if known else Standing.FIRST, report)
