"""Before the launch: what is found at this site, judged point by point; and what people say of their own acts."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from zlh_hooks.application.ports import Clock, CustomerDirectory, Ledger, NoticeChannel, Timekeeper
from zlh_hooks.application.ready import Readiness
from zlh_hooks.domain.attestation import (
    ATTESTED,
    describe,
    digest_policy,
    drop_confirmed,
    list_keys,
    may_attest,
    read_attestations,
)
from zlh_hooks.domain.audit import find_break
from zlh_hooks.domain.dead_man_point import DeadManReach
from zlh_hooks.domain.deferral_debt import Overdue
from zlh_hooks.domain.deferral_link import LinkMaker
from zlh_hooks.domain.entry import Draft, Entry, Kind
from zlh_hooks.domain.errors import LedgerBroken, NotAllowed, ZlhError
from zlh_hooks.domain.guest_hook import NamedHook
from zlh_hooks.domain.handbook import Page
from zlh_hooks.domain.hook_point import HookReach
from zlh_hooks.domain.launch import RENDERED, Facts, Reach, judge_launch, list_printed
from zlh_hooks.domain.notice import Customer
from zlh_hooks.domain.point import Point
from zlh_hooks.domain.policy import Policy


@dataclass(frozen=True, slots=True)
class Survey:
    """Where facts are found. Each is asked by itself, so that one that fails hides no other."""

    read_entries: Callable[[], tuple[Entry, ...]]
    open_directory: Callable[[], CustomerDirectory | None]
    open_channels: Callable[[], Sequence[NoticeChannel]]
    open_links: Callable[[], LinkMaker | None]
    operator: Customer
    has_feed: bool
    list_debts: Callable[[], Sequence[str]]
    list_overdue: Callable[[], Sequence[Overdue]]
    find_dead_man: Callable[[], DeadManReach | None]
    ask_rights: Callable[[], Readiness]
    read_hooks: Callable[[], Sequence[NamedHook]]
    is_there: Callable[[Path], bool]
    clock: Clock
    keeper: Timekeeper


def list_points(policy: Policy, survey: Survey) -> tuple[Point, ...]:
    """Every point of the gate as it stands now."""
    return judge_launch(policy, find_facts(survey))


def find_facts(survey: Survey) -> Facts:
    """What cannot be found is a fact too, with its reason. ``LedgerBroken``: from such a record nothing is evidence."""
    entries = survey.read_entries()
    found = find_break(entries)
    if found is not None:
        raise LedgerBroken(f"the ledger is no evidence: {found}")
    rights, trouble = _ask_rights(survey.ask_rights)
    return Facts(
        now=survey.clock.now(),
        entries=entries,
        reach=_find_reach(survey),
        rights=rights,
        rights_trouble=trouble,
        synchronised=survey.keeper.read_synchronised(),
        debts=tuple(survey.list_debts()),
        overdue=tuple(survey.list_overdue()),
        dead_man=survey.find_dead_man(),
        hooks=_read_hooks(survey.read_hooks),
        lost=frozenset(path for path in _list_paths(entries) if not survey.is_there(Path(path))),
    )


def _list_paths(entries: Sequence[Entry]) -> set[str]:
    return {str(entry.data["path"]) for entry in list_printed(entries)}


def _ask_rights(ask: Callable[[], Readiness]) -> tuple[tuple[str, ...] | None, str]:
    try:
        missing = ask().missing
    except ZlhError as error:
        return None, str(error)
    return tuple(f"{right.path} {right.privilege}" for right in missing), ""


def _read_hooks(read: Callable[[], Sequence[NamedHook]]) -> HookReach:
    try:
        return HookReach(read())
    except ZlhError as error:
        return HookReach(trouble=str(error))


def _find_reach(survey: Survey) -> Reach:
    customers, directory = _count_customers(survey.open_directory)
    channels, trouble = _open_channels(survey.open_channels)
    ways = ((channel.name, channel.find_address(survey.operator)) for channel in channels)
    operator = {name: address for name, address in ways if address is not None}
    names = tuple(channel.name for channel in channels)
    has_links, links = _open_links(survey.open_links)
    return Reach(customers, directory, names, trouble, operator, survey.has_feed, has_links, links)


def _count_customers(open_directory: Callable[[], CustomerDirectory | None]) -> tuple[int | None, str]:
    try:
        directory = open_directory()
        return (None if directory is None else len(directory.list_customers())), ""
    except ZlhError as error:
        return None, str(error)


def _open_channels(open_channels: Callable[[], Sequence[NoticeChannel]]) -> tuple[Sequence[NoticeChannel], str]:
    try:
        return open_channels(), ""
    except ZlhError as error:
        return (), str(error)


def _open_links(open_links: Callable[[], LinkMaker | None]) -> tuple[bool, str]:
    try:
        return open_links() is not None, ""
    except ZlhError as error:
        return False, str(error)


@dataclass(frozen=True, slots=True)
class LaunchDesk:
    """Takes a person's word, and notes what was printed. ``author`` is recorded with each."""

    ledger: Ledger
    policy: Policy
    author: str

    def attest(self, key: str, note: str = "") -> None:
        """Record that it is so; ``NotAllowed`` names what can be attested."""
        if not may_attest(self.policy, key):
            known = list_keys(self.policy)
            close = get_close_matches(key, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise NotAllowed(f"{key} cannot be attested under this policy; what can be: {', '.join(known)}{hint}")
        data = {"key": key, "note": note, "author": self.author, **describe(self.policy, key)}
        self.ledger.append(Draft(Kind.COMMAND, ATTESTED, data=data))

    def confirmed(self) -> Policy:
        """The policy as pages show it: what somebody confirmed is not to be confirmed any more."""
        return drop_confirmed(self.policy, read_attestations(self.ledger.read()))

    def note_rendered(self, pages: Iterable[tuple[Page, Path]]) -> None:
        """Record which page lies where, and of which policy it is."""
        digest = digest_policy(self.confirmed())
        for page, path in pages:
            data = {"page": page, "path": str(path.absolute()), "digest": digest, "author": self.author}
            self.ledger.append(Draft(Kind.EVIDENCE, RENDERED, data=data))
