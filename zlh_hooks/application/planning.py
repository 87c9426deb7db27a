"""From the cluster's list and the policy to a plan. Reads only: a plan can be shown at any time."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from zlh_hooks.application.ports import Clock, Inventory
from zlh_hooks.domain import tag
from zlh_hooks.domain.emergency import Emergency
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.guest import GuestSummary
from zlh_hooks.domain.hold import Claim, find_hold
from zlh_hooks.domain.line import TemplateVersion, parse_catalogue
from zlh_hooks.domain.plan import CANARY, LeftOut, Plan, PlannedTarget, Release
from zlh_hooks.domain.policy import Policy, RolloutRules

_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes plans."""

    inventory: Inventory
    clock: Clock
    policy: Policy

    def plan_rollout(
        self, line: str, version: str, author: str, *, security: bool = False, emergency: Emergency | None = None
    ) -> Plan:
        """The waves that would bring ``line`` to ``version``; ``NotAllowed`` or ``TargetError`` say what is missing.

        ``emergency``: the one under which it is ordered; it may spare the canary.
        """
        if line not in self.policy.lines:
            raise NotAllowed(f"line {line!r} is not in the policy; it has {', '.join(sorted(self.policy.lines))}")
        guests = self.inventory.list_guests()
        catalogue = parse_catalogue(guests)
        self._refuse_held(line, guests, catalogue.versions_of(line))
        wanted = catalogue.version_of(line, version)
        if wanted.revoked:
            raise NotAllowed(f"version {version} of {line} is revoked; roll out another one")
        release = Release(line=line, version=wanted.version, templates={ref.node: ref.vmid for ref in wanted.refs})
        chosen, left_out = self._choose(guests, release)
        without_canary = emergency is not None and emergency.without_canary is not None
        return Plan(
            id=make_id("r", self.clock.now()),
            release=release,
            previous=_find_previous(catalogue.versions_of(line), wanted),
            targets=assign_waves(chosen, self.policy.rollout, without_canary, _find_version),
            left_out=tuple(left_out),
            rules=self.policy.rollout,
            notices=self.policy.notices,
            deferral=self.policy.deferral,
            line=self.policy.lines[line],
            scratch_vmids=self.policy.scratch_vmids,
            security=security,
            emergency=emergency.id if emergency else None,
            without_canary=without_canary,
            author=author,
            created=self.clock.now(),
        )

    def _refuse_held(self, line: str, guests: Sequence[GuestSummary], versions: Sequence[TemplateVersion]) -> None:
        """Whose hold it is stands in the template's notes, which only a template that carries one is asked for."""
        now, refs = self.clock.now(), {ref for version in versions for ref in version.refs}
        for guest in guests:
            if guest.ref in refs and find_hold(Claim.LINE, guest.tags, now):
                notes = self.inventory.read_config(guest.ref).values.get("description", "")
                held = find_hold(Claim.LINE, guest.tags, now, notes)
                way = f"zlh-hooks hold clear --line {line} ends it"
                raise NotAllowed(f"line {line} is on hold {held}; {way}", held.until if held else None)

    def _choose(self, guests: Sequence[GuestSummary], release: Release) -> tuple[list[GuestSummary], list[LeftOut]]:
        chosen, left_out = [], []
        for guest in sorted(guests, key=lambda guest: guest.vmid):
            kind = self.policy.kind_of(guest.vmid, guest.tags)
            if kind is None or kind[1].line != release.line or guest.template or not guest.is_container:
                continue
            reason = self._leave_out(guest, kind[0], kind[1].exchange, release)
            if reason:
                left_out.append(LeftOut(vmid=guest.vmid, name=guest.name, reason=reason))
            else:
                chosen.append(guest)
        return chosen, left_out

    def _leave_out(self, guest: GuestSummary, kind: str, exchange: bool, release: Release) -> str | None:
        if not exchange:
            return f"policy does not exchange roots of {kind} guests"
        if tag.value_of(tag.VERSION, guest.tags) == release.version:
            return f"it is on {release.version} already"
        if guest.ref.node not in release.templates:
            return f"no template of {release.line} {release.version} on {guest.ref.node}"
        return None


def assign_waves(
    guests: Sequence[GuestSummary],
    rules: RolloutRules,
    without_canary: bool,
    find_version: Callable[[GuestSummary], str | None],
) -> tuple[PlannedTarget, ...]:
    """Canaries are running guests if there are any: a stopped one proves nothing."""
    ordered = sorted(guests, key=lambda guest: (not guest.running, guest.vmid))
    ringed = sorted(ordered, key=lambda guest: f"{tag.OURS}ring.canary" not in guest.tags)
    targets: list[PlannedTarget] = []
    for wave, size in enumerate(rules.plan_batches(len(ringed), without_canary), CANARY + without_canary):
        for guest in ringed[len(targets) : len(targets) + size]:
            version, node = find_version(guest), guest.ref.node
            target = PlannedTarget(vmid=guest.vmid, node=node, name=guest.name, from_version=version, wave=wave)
            targets.append(target)
    return tuple(targets)


def make_id(letter: str, now: datetime) -> str:
    """A short name that people can say: ``r1124-x7km``."""
    return f"{letter}{now:%m%d}-" + "".join(secrets.choice(_ALPHABET) for _ in range(4))


def _find_version(guest: GuestSummary) -> str | None:
    return tag.value_of(tag.VERSION, guest.tags)


def _find_previous(versions: Sequence[TemplateVersion], wanted: TemplateVersion) -> str | None:
    """The version that has `stable` now, if it is not the wanted one already."""
    return next((known.version for known in reversed(versions) if known.is_stable and known != wanted), None)
