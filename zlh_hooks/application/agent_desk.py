"""Where people say what guests should have: releases, pins, blocks, packages, and what that means for one guest.

Whatever is said becomes a draft. It counts when the right people have signed it and it was published.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from zlh_hooks.application.agent_ports import AgentPublisher, AgentRepository, AgentStates
from zlh_hooks.application.agent_report_desk import GuestReport
from zlh_hooks.application.desk import describe_due, find_due, list_progress
from zlh_hooks.application.ports import Clock, Ledger
from zlh_hooks.domain.agent_release import (
    FAILED_HERE,
    MACHINES,
    Explanation,
    GuestFacts,
    Members,
    PinOrder,
    PinRow,
    Span,
    Surroundings,
    check_asked,
    check_specifier,
    check_version,
    choose_version,
    explain_left_behind,
    find_machine,
    join_spans,
    list_builds,
    list_ways_back,
    version_of,
)
from zlh_hooks.domain.agent_release import Release as AgentRelease
from zlh_hooks.domain.agent_rules import RingRule
from zlh_hooks.domain.agent_trust import Expiry, Publication, Standing, ThresholdGap, TrustRole, list_expiries
from zlh_hooks.domain.agent_wish import WishOrder, WishRow
from zlh_hooks.domain.agent_word import Word
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.errors import NotAllowed, RoadError, SettingsError, ZlhError
from zlh_hooks.domain.guest import GuestSummary
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.progress import Progress
from zlh_hooks.domain.window import list_starts
from zlh_hooks.domain.window_rule import Component

_OF_SERIES = (TrustRole.TARGETS, TrustRole.DESIRED)
"""Documents whose change would leave a rollout's series behind."""


@dataclass(frozen=True, slots=True)
class AgentDesk:
    """Takes orders. ``list_guests`` asks Proxmox, and only where tags or one guest's line must be known;
    ``find_report`` asks a guest what it has; ``tell`` gets what whoever gives an order should know beside its answer.
    ``refuse_archive``: ``NotAllowed`` for a build that guests would refuse.
    """

    repository: AgentRepository
    publisher: AgentPublisher
    states: AgentStates
    list_guests: Callable[[], tuple[GuestSummary, ...]]
    open_ledger: Callable[[], Ledger]
    clock: Clock
    policy: Policy
    author: str
    find_report: Callable[[int], GuestReport | None] = lambda _vmid: None
    tell: Callable[[str], None] = lambda _text: None
    refuse_archive: Callable[[bytes], None] = lambda _data: None

    # --- orders

    def release(self, version: str, machine: str, data: bytes, come_from: str = "", back_to: str = "") -> AgentRelease:
        """List a build; ``NotAllowed`` if guests would refuse it, or the version has other bytes: they never change."""
        if machine not in MACHINES:
            raise SettingsError("release", "machine", repr(machine), f"one of {', '.join(MACHINES)}")
        wanted = check_specifier(come_from, "from"), check_specifier(back_to, "back-to")
        digest = hashlib.sha256(data).hexdigest()
        release = AgentRelease(check_version(version), machine, digest, len(data), *wanted)
        known = {known.path: known for known in self.repository.list_releases()}.get(release.path)
        if known is not None and known != release:
            raise NotAllowed(f"{known.version} for {machine} is released, and a version never changes: use a new one")
        self.refuse_archive(data)
        self.repository.add_release(release, data, self.clock.now())
        self._record("release", version=release.version, machine=machine, sha256=digest, size=len(data))
        return release

    def pin(self, order: PinOrder) -> str:
        """Give a ring of a line a version; which one that is. ``NotAllowed`` names lines, rings or releases."""
        self._check_place(order.line, order.ring)
        asked, come_from = check_asked(order.asked, "version"), check_specifier(order.come_from, "from")
        back_to, releases = check_specifier(order.back_to, "back-to"), self.repository.list_releases()
        state = self.repository.read_state()
        version = choose_version(releases, asked, (block for block, _ in self.states.list_blocked(state)))
        whole = PinOrder(order.line, order.ring, asked, come_from, back_to, order.downgrade, order.emergency)
        ways_back = list_ways_back(releases, version, back_to)
        builds = list_builds(releases, version)
        self._tell_left_behind(state, whole, builds)
        self._write(self.states.pin(state, whole, builds, ways_back, self._look_or_remember(state)))
        self._record("pin", line=order.line, ring=order.ring, asked=asked, version=version, downgrade=order.downgrade)
        return version

    def _tell_left_behind(self, state: bytes | None, order: PinOrder, builds: Sequence[AgentRelease]) -> None:
        """Of the versions that the line's guests are pinned to now."""
        for version in sorted({row.version for row in self.states.list_pins(state) if row.line == order.line}):
            why = explain_left_behind(version, order, builds)
            if why:
                self.tell(f"guests that have {version} stay with it: {why}")

    def unpin(self, line: str, ring: str) -> None:
        """The ring follows no version of its own any more."""
        state = self.repository.read_state()
        self._write(self.states.unpin(state, line, ring, self._look_or_remember(state)))
        self._record("unpin", line=line, ring=ring)

    def wish(self, order: WishOrder) -> WishRow:
        """Give a ring of a line packages; what guests will call that. ``NotAllowed`` names lines or rings."""
        self._check_place(order.line, order.ring)
        before = self.repository.read_state()
        state = self.states.wish(before, order, self._look_or_remember(before))
        self._write(state)
        place = order.line, order.ring
        row = next(row for row in self.states.list_wishes(state) if (row.line, row.ring) == place)
        self._record("wish", line=row.line, ring=row.ring, packages=row.packages, number=row.number)
        return row

    def unwish(self, line: str, ring: str) -> None:
        """Nobody brings the ring's packages any more; what is there stays."""
        state = self.repository.read_state()
        self._write(self.states.unwish(state, line, ring, self._look_or_remember(state)))
        self._record("unwish", line=line, ring=ring)

    def block(self, versions: str, reason: str) -> None:
        """Nobody installs these versions any more. Who has one keeps it until a pin leads elsewhere."""
        if not versions or not reason.strip():
            found = "no reason" if versions else "no version"
            raise SettingsError("block", "versions and reason", found, "what is blocked, and why: guests report it")
        wanted = check_specifier(versions, "versions")
        state = self.repository.read_state()
        self._write(self.states.block(state, wanted, reason.strip(), self._look_or_remember(state)))
        self._record("block", versions=wanted, reason=reason.strip())

    def unblock(self, versions: str) -> None:
        """They may be installed again."""
        wanted = check_specifier(versions, "versions")
        state = self.repository.read_state()
        self._write(self.states.unblock(state, wanted, self._look_or_remember(state)))
        self._record("unblock", versions=wanted)

    def refresh(self) -> None:
        """The same pins, with the rings and windows of the present policy and the present tags."""
        self._write(self.states.refresh(self.repository.read_state(), self.look_around()))
        self._record("refresh")

    def publish(self) -> Publication:
        """Show guests what is signed; what was written, and which drafts wait. Under a rollout its series' wait too."""
        running = self._find_rollout()
        held = dict.fromkeys(_OF_SERIES, describe_due(running)) if running else {}
        self._record("publish")
        done = self.publisher.publish(self.clock.now(), held)
        data = {"files": [*done.written], "waiting": {one.role: one.why for one in done.waiting}}
        self.open_ledger().append(Draft(Kind.NOTE, "agent published", data=data))
        return done

    # --- looking

    def explain(self, vmid: int, line: str | None, installed: str | None, machine: str | None) -> Explanation:
        """Which rule decides for the guest now, by the drafts and by what guests see.

        Its line is looked up unless it is said, and what it has is asked of itself.
        """
        facts = self._gather_facts(vmid, line or self._find_line(vmid), installed, machine)
        drafted, live = (self._explain(facts, published=published) for published in (False, True))
        return drafted.beside(live)

    def _explain(self, facts: GuestFacts, *, published: bool) -> Explanation:
        state = self.repository.read_state(published=published)
        releases = self.repository.list_releases(published=published)
        return self.states.explain(state, facts, releases, self.clock.now())

    def _gather_facts(self, vmid: int, line: str, installed: str | None, machine: str | None) -> GuestFacts:
        if installed is not None:
            return GuestFacts(vmid, line, installed, machine, "as it was said")
        try:
            row = self.find_report(vmid)
        except ZlhError as error:
            return GuestFacts(vmid, line, None, machine, f"taken for one without a release: {error}")
        report = row.report if row else None
        if report is None:
            why = row.why if row else "nothing runs there"
            return GuestFacts(vmid, line, None, machine, f"taken for one without a release: {why}")
        builds = self.repository.list_releases()
        machine = machine or find_machine(builds, report.current)
        check = report.check
        failed = (check.pin, check.said) if check and check.outcome == FAILED_HERE else (0, "")
        said = f"by its report of {report.at:%Y-%m-%d %H:%M}"
        return GuestFacts(vmid, line, version_of(report.current) or None, machine, said, *failed)

    def read_word(self, *, published: bool = False) -> Word:
        """What people have said, drafts included; or what guests see of it."""
        state = self.repository.read_state(published=published)
        return Word(
            self.repository.list_releases(published=published),
            self.states.list_pins(state),
            self.states.list_wishes(state),
            self.states.list_blocked(state),
            self.states.list_members(state),
            self.repository.read_thresholds(published=published),
        )

    def list_pins(self) -> tuple[PinRow, ...]:
        """Every pin of the desired state, drafts included."""
        return self.states.list_pins(self.repository.read_state())

    def list_standings(self) -> tuple[Standing, ...]:
        """How each document stands."""
        return self.repository.list_standings()

    def list_expiries(self) -> list[Expiry]:
        """When each published document ends, the nearest first; for tables, checks and metrics."""
        rules = self.policy.agents
        return list_expiries(self.repository.list_standings(), rules.role_rules(), rules.warn_percent, self.clock.now())

    def list_threshold_gaps(self) -> tuple[ThresholdGap, ...]:
        """Where guests want another number of signatures than the policy says."""
        return self.repository.list_threshold_gaps()

    def read_root(self) -> str:
        """The root document that guests carry, as text."""
        return self.repository.read_root().decode()

    # --- inside

    def _write(self, state: bytes) -> None:
        self._refuse_under_rollout()
        self.repository.write_state(state, self.clock.now())

    def _refuse_under_rollout(self) -> None:
        """What a rollout shows, and its way back, were signed for the state that it began with."""
        running = self._find_rollout()
        if running is not None:
            way = f"wait for its end, or end it: zlh-hooks rollout revert {running.plan.id}, or abort"
            raise NotAllowed(f"{describe_due(running)}: {way}")

    def _find_rollout(self) -> Progress | None:
        """The one whose states were signed for what is published now."""
        ledger = self.open_ledger()
        running = find_due(ledger, list_progress(ledger))
        return running if running is not None and running.plan.signed is not None else None

    def _record(self, verb: str, **data: object) -> None:
        self.open_ledger().append(Draft(Kind.COMMAND, f"agent {verb}", data={"author": self.author, **data}))

    def _check_place(self, line: str, ring: str) -> None:
        rings = [known.name for known in self.policy.agents.rings]
        if line not in self.policy.lines:
            raise NotAllowed(f"the policy has no line {line}; it has {', '.join(self.policy.lines) or 'none'}")
        if ring not in rings:
            raise NotAllowed(f"the policy has no ring {ring}; it has {', '.join(rings)}")

    def look_around(self) -> Surroundings:
        """Rings and windows as they are now; tags are asked of Proxmox only if a ring needs them."""
        rings = self.policy.agents.rings
        guests = self.list_guests() if any(ring.tags for ring in rings) else ()
        return self._surround([_gather(ring, guests) for ring in rings])

    def _look_or_remember(self, state: bytes | None) -> Surroundings:
        """While Proxmox is away, a ring's tags are on whom they were: taking a version back must not wait for it.

        ``RoadError`` if the state does not know such a ring.
        """
        try:
            return self.look_around()
        except RoadError as error:
            known, rings = {one.name: one for one in self.states.list_members(state)}, self.policy.agents.rings
            if any(ring.tags and ring.name not in known for ring in rings):
                raise
            self.tell(f"{error}: rings by tags keep their members of before; when it answers: zlh-hooks agent refresh")
            return self._surround([_recall(ring, known) for ring in rings])

    def _surround(self, members: Sequence[Members]) -> Surroundings:
        jitter = int(self.policy.agents.jitter.total_seconds())
        return Surroundings(tuple(members), self.list_windows(), jitter, self.clock.now().replace(microsecond=0))

    def list_windows(self, *, security: bool = False) -> tuple[Span, ...]:
        """For as long as the state counts, with time left for the way back; of a fix that closes a hole, or others."""
        rule, now = self.policy.components.get(Component.AGENT), self.clock.now().replace(microsecond=0)
        needs, until = rule.time_limit if rule else timedelta(0), now + self.policy.agents.desired_life
        spans = list_starts(self.policy, Component.AGENT, now, until, needs, security=security)
        return tuple(Span(name, start, last) for name, start, last in spans)

    def _find_line(self, vmid: int) -> str:
        guest = next((guest for guest in self.list_guests() if guest.vmid == vmid), None)
        if guest is None:
            raise NotAllowed(f"there is no guest {vmid}; name its line with --line to see what would decide")
        kind = self.policy.kind_of(vmid, guest.tags)
        if kind is None:
            raise NotAllowed(f"guest {vmid} is of no kind that the policy knows; name its line with --line")
        return kind[1].line


def _gather(ring: RingRule, guests: tuple[GuestSummary, ...]) -> Members:
    tagged = [guest.vmid for guest in guests if set(ring.tags) & set(guest.tags) and not guest.template]
    spans = [(numbers.first, numbers.last) for numbers in ring.vmids]
    return Members(ring.name, join_spans(tagged, spans), ring.percent)


def _recall(ring: RingRule, known: Mapping[str, Members]) -> Members:
    spans = [(numbers.first, numbers.last) for numbers in ring.vmids]
    if ring.tags:
        spans += known[ring.name].vmids
    return Members(ring.name, join_spans((), spans), ring.percent)
