"""The desired state of agents in this project's words, and as agents read it. Pure: bytes in, bytes out."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from agent_plugin.agreement import Released, agree, path_of
from agent_plugin.desired import (
    ANY_MACHINE,
    Block,
    Decision,
    Desired,
    Guest,
    Nothing,
    Pin,
    Ring,
    Ruling,
    WishRuling,
    decide,
    decide_wish,
)
from agent_plugin.desired_wire import MalformedState, parse_state, render_state
from agent_plugin.patch_wanted import PatchWanted
from agent_plugin.refusal import Refused
from agent_plugin.wish import Wish, choose_packages
from zlh_hooks.adapters.desired_series import make_opening, make_pin, make_series, next_pin
from zlh_hooks.adapters.rollout_ring import (
    with_ends_of_rollouts,
    with_rings,
    without_pins_of_rollouts,
    without_ways_back_of_packages,
)
from zlh_hooks.adapters.wish_series import make_wish_series
from zlh_hooks.domain.agent_release import (
    FAILED_HERE,
    Explanation,
    GuestFacts,
    Members,
    PinOrder,
    PinRow,
    Release,
    Surroundings,
)
from zlh_hooks.domain.agent_series import PatchSeriesOrder, PinSeries, Series, SeriesOrder, WishSeries
from zlh_hooks.domain.agent_wish import WishOrder, WishRow
from zlh_hooks.domain.errors import NotAllowed, SettingsError


class DesiredStates:
    """Makes the next state from the present one. None stands for the time before the first."""

    def pin(
        self,
        data: bytes | None,
        order: PinOrder,
        builds: Sequence[Release],
        ways_back: Sequence[str],
        around: Surroundings,
    ) -> bytes:
        """The ring of the line has this pin, under a new number, in place of the one that it had."""
        state = without_pins_of_rollouts(_parse(data, around.made), order.line)
        number = next_pin(state)
        pin = replace(
            make_pin(number, order.line, order.ring, builds[0].version, builds, order.asked),
            come_from=order.come_from,
            back_to=tuple(ways_back),
            downgrade=order.downgrade,
            also_open=(make_opening(order.emergency),) if order.emergency else (),
        )
        pins = (*_others(state.pins, order.line, order.ring), pin)
        return self.refresh(render_state(replace(state, pins=pins, last_pin=number)), around)

    def unpin(self, data: bytes | None, line: str, ring: str, around: Surroundings) -> bytes:
        """The ring of the line follows no version of its own any more; ``NotAllowed`` if it does not now."""
        state = without_pins_of_rollouts(_parse(data, around.made), line)
        others = _others(state.pins, line, ring)
        if len(others) == len(state.pins):
            raise NotAllowed(f"line {line} has no pin in ring {ring}")
        return self.refresh(render_state(replace(state, pins=others)), around)

    def wish(self, data: bytes | None, order: WishOrder, around: Surroundings) -> bytes:
        """The ring of the line has this wish, under a number that was never given, in place of the one that it had."""
        state = without_ways_back_of_packages(_parse(data, around.made), [order.line])
        number = state.last_wish + 1
        wishes = (*_others(state.wishes, order.line, order.ring), _make_wish(number, order))
        return self.refresh(render_state(replace(state, wishes=wishes, last_wish=number)), around)

    def unwish(self, data: bytes | None, line: str, ring: str, around: Surroundings) -> bytes:
        """Nothing is wished for the ring of the line any more; ``NotAllowed`` if nothing is now."""
        state = _parse(data, around.made)
        others = _others(state.wishes, line, ring)
        if len(others) == len(state.wishes):
            raise NotAllowed(f"line {line} has no wish in ring {ring}")
        return self.refresh(render_state(replace(state, wishes=others)), around)

    def block(self, data: bytes | None, versions: str, reason: str, around: Surroundings) -> bytes:
        """Nobody installs these versions."""
        state = _parse(data, around.made)
        kept = tuple(block for block in state.blocked if block.versions != versions)
        return self.refresh(render_state(replace(state, blocked=(*kept, Block(versions, reason)))), around)

    def unblock(self, data: bytes | None, versions: str, around: Surroundings) -> bytes:
        """They may be installed again; ``NotAllowed`` if they were not blocked in these words."""
        state = _parse(data, around.made)
        kept = tuple(block for block in state.blocked if block.versions != versions)
        if len(kept) == len(state.blocked):
            known = ", ".join(block.versions for block in state.blocked) or "nothing"
            raise NotAllowed(f"{versions} is not blocked; blocked: {known}")
        return self.refresh(render_state(replace(state, blocked=kept)), around)

    def refresh(self, data: bytes | None, around: Surroundings) -> bytes:
        """The same pins with rings and windows as they are now; of a rollout only stays what it left in the end."""
        rings = tuple(Ring(ring.name, ring.vmids, ring.percent) for ring in around.rings)
        windows, jitter = tuple(map(make_opening, around.windows)), timedelta(seconds=around.jitter_seconds)
        state = with_rings(with_ends_of_rollouts(_parse(data, around.made)), rings)
        return render_state(replace(state, made=around.made, jitter=jitter, windows=windows))

    def series(self, data: bytes | None, order: SeriesOrder, around: Surroundings) -> PinSeries:
        """The states of a rollout of the agent; ``NotAllowed`` if no ring of the policy has everybody."""
        pin, states = make_series(_parse(self.refresh(data, around), around.made), order)
        return PinSeries(Series(data, states), pin)

    def patch_series(self, data: bytes | None, order: PatchSeriesOrder, around: Surroundings) -> WishSeries:
        """The states of a rollout of packages; ``SettingsError`` for words that are none."""
        wanted = _parse_wanted(not order.packages, order.packages)
        return make_wish_series(data, _parse(self.refresh(data, around), around.made), order, wanted)

    def list_pins(self, data: bytes | None) -> tuple[PinRow, ...]:
        """Every pin, by line and ring."""
        pins = sorted(_parse(data, datetime.now(UTC)).pins, key=lambda pin: (pin.line, pin.ring))
        return tuple(
            PinRow(pin.number, pin.line, pin.ring, pin.asked, pin.version, pin.downgrade, "; ".join(_names(pin)))
            for pin in pins
        )

    def list_wishes(self, data: bytes | None) -> tuple[WishRow, ...]:
        """Every wish, by line and ring."""
        wishes = sorted(_parse(data, datetime.now(UTC)).wishes, key=lambda wish: (wish.line, wish.ring))
        return tuple(
            WishRow(wish.number, wish.line, wish.ring, wish.words, "; ".join(_names(wish)), wish.id) for wish in wishes
        )

    def find_keepers(self, data: bytes | None, now: datetime) -> Callable[[int, str], str | None]:
        """By which rule a guest of that number and line shall keep its packages; None if it need not.

        As a new rollout's states say it: what leads back from the one before is not in them.
        """
        state = _parse(data, now)
        state = without_ways_back_of_packages(state, [wish.line for wish in state.wishes])

        def find(vmid: int, line: str) -> str | None:
            decision = decide_wish(state, vmid, line, now)
            return decision.rule if decision.ruling is WishRuling.NOTHING else None

        return find

    def list_members(self, data: bytes | None) -> tuple[Members, ...]:
        """Its rings, as they were when it was made."""
        rings = _parse(data, datetime.now(UTC)).rings
        return tuple(Members(ring.name, ring.vmids, ring.percent) for ring in rings)

    def list_blocked(self, data: bytes | None) -> tuple[tuple[str, str], ...]:
        """What nobody installs, and why."""
        return tuple((block.versions, block.reason) for block in _parse(data, datetime.now(UTC)).blocked)

    def explain(self, data: bytes | None, facts: GuestFacts, releases: Sequence[Release], now: datetime) -> Explanation:
        """What the guest makes of the state: the same functions decide there."""
        guest = Guest(facts.vmid, facts.line, facts.installed, facts.machine or ANY_MACHINE)
        state = _parse(data, now)
        decision, wished = decide(state, guest, now), decide_wish(state, facts.vmid, facts.line, now)
        ruling, rule = _judge(decision, guest, facts, releases)
        version = decision.pin.version if decision.pin else None
        about_packages = wished.ruling.value, wished.rule, wished.opens
        about_guest = facts.installed, facts.source
        return Explanation(facts.vmid, facts.line, ruling, rule, version, decision.opens, *about_packages, *about_guest)


def _judge(decision: Decision, guest: Guest, facts: GuestFacts, releases: Sequence[Release]) -> tuple[str, str]:
    """The ruling's word and the rule. Of a guest that waits it is said what will be when its time has come."""
    if decision.ruling not in (Ruling.INSTALL, Ruling.WAITS) or decision.pin is None:
        return decision.ruling.value, decision.rule
    word, rule = _agree(decision, guest, releases)
    if word == Ruling.INSTALL and facts.failed_pin == decision.pin.number:
        word, rule = FAILED_HERE, f"{decision.rule}; under this pin it failed here: {facts.failure}"
    if decision.ruling is Ruling.INSTALL or word == Ruling.INSTALL:
        return decision.ruling.value if word == Ruling.INSTALL else word, rule
    return decision.ruling.value, f"{decision.rule}, and will say {word}: {rule.removeprefix(f'{decision.rule}; ')}"


def _agree(decision: Decision, guest: Guest, releases: Sequence[Release]) -> tuple[str, str]:
    path = path_of(decision, guest)
    listed = next((one for one in releases if one.path == path), None)
    try:
        found = agree(decision, guest, _describe(listed) if listed else None)
    except Refused as refused:
        return refused.refusal.value, str(refused)
    return (found.ruling.value, found.rule) if isinstance(found, Nothing) else (Ruling.INSTALL.value, found.rule)


def _describe(release: Release) -> Released:
    return Released(release.sha256, release.size, release.come_from, release.back_to)


def _parse(data: bytes | None, now: datetime) -> Desired:
    if data is None:
        return Desired(now)
    try:
        return parse_state(data)
    except MalformedState as error:
        raise SettingsError(
            "desired/state.json", "content", str(error), "the state as this program wrote it"
        ) from error


Given = TypeVar("Given", Pin, Wish)


def _others(given: tuple[Given, ...], line: str, ring: str) -> tuple[Given, ...]:
    return tuple(one for one in given if (one.line, one.ring) != (line, ring))


def _make_wish(number: int, order: WishOrder) -> Wish:
    openings = (make_opening(order.emergency),) if order.emergency else ()
    return Wish(number, order.line, order.ring, _parse_wanted(order.security, order.packages), openings)


def _parse_wanted(security: bool, packages: Sequence[str]) -> PatchWanted:
    try:
        return choose_packages(security, packages)
    except ValueError as error:
        raise SettingsError("wish", "--package", str(error), "NAME=VERSION, as apt-get install takes it") from error


def _names(given: Pin | Wish) -> list[str]:
    return [f"{opening.name} until {opening.last_start:%Y-%m-%d %H:%M} UTC" for opening in given.also_open]
