"""The states of an agent's rollout, made from the one before it. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from packaging.version import Version

from agent_plugin.desired import Block, Build, Desired, Pin, Ring, meets
from agent_plugin.desired_wire import render_state
from agent_plugin.opening import Opening
from zlh_hooks.adapters.rollout_ring import BACK_TO, is_for_everybody, list_ring, name_ring, without_pins_of_rollouts
from zlh_hooks.domain.agent_release import Release, Span
from zlh_hooks.domain.agent_series import BACK, CONDEMN, END, SeriesOrder, name_wave
from zlh_hooks.domain.errors import NotAllowed


def make_series(before: Desired, order: SeriesOrder) -> tuple[int, dict[str, bytes]]:
    """The pins' number, and act to state. ``before`` has rings and windows as they are now."""
    states = _Maker(without_pins_of_rollouts(before), order)
    return states.number, {act: render_state(state) for act, state in states.make().items()}


@dataclass(frozen=True, slots=True)
class _Maker:
    before: Desired
    order: SeriesOrder

    @property
    def number(self) -> int:
        return next_pin(self.before)

    def make(self) -> dict[str, Desired]:
        waves = sorted(self.order.waves)
        back = self._go_back()
        block = Block(f"==={self.order.version}", f"rollout {self.order.rollout} went back from it")
        return {
            **{name_wave(wave): self._let_follow(wave) for wave in waves},
            END: self._promote(),
            BACK: back,
            CONDEMN: replace(back, blocked=(*back.blocked, block)),
        }

    def _pin(self, line: str, ring: str) -> Pin:
        order = self.order
        pin = make_pin(self.number, line, ring, order.version, order.builds[order.version])
        return replace(pin, back_to=order.ways_back, also_open=tuple(map(make_opening, order.also_open)))

    def _let_follow(self, last: int) -> Desired:
        ring = self._name_ring()
        vmids = [vmid for wave, members in self.order.waves.items() if wave <= last for vmid in members]
        return self._with([list_ring(ring, vmids)], [self._pin(line, ring) for line in self.order.lines], self.number)

    def _promote(self) -> Desired:
        """Every pin of the lines that is older, and one for whoever has none.

        Under the one number, so that a guest that failed on the version does not try it once more.
        """
        lines, version = self.order.lines, Version(self.order.version)
        older = [pin for pin in self.before.pins if pin.line in lines and Version(pin.version) < version]
        kept = tuple(pin for pin in self.before.pins if pin not in older)
        everybody = next((ring.name for ring in self.before.rings if is_for_everybody(ring)), None)
        if everybody is None:
            raise NotAllowed(
                "no ring of the policy's [agents] has percent = 100: nobody would have the version in the end"
            )
        places = dict.fromkeys([*((pin.line, pin.ring) for pin in older), *((line, everybody) for line in lines)])
        taken = {(pin.line, pin.ring) for pin in kept}
        pins = tuple(self._pin(*place) for place in places if place not in taken)
        return replace(self.before, pins=(*kept, *pins), last_pin=self.number)

    def _go_back(self) -> Desired:
        """To the version that each came from, at any hour, though it may be blocked by now."""
        came_from = sorted(self.order.came_from.items())
        rings = [list_ring(self._name_ring(f"{BACK_TO}{version}"), vmids) for version, vmids in came_from]
        pins = [
            self._lead_back(make_pin(number, line, ring.name, version, self.order.builds[version]))
            for number, ((version, _), ring) in enumerate(zip(came_from, rings, strict=True), self.number + 1)
            for line in self.order.lines
        ]
        others = [*self._lead_others_back(self.number + len(rings) + 1)]
        rings += [Ring(others[0].ring, percent=100)] if others else []
        back = self._with(rings, [*pins, *others], self.number + len(rings))
        blocked = (one for one in back.blocked if not any(meets(version, one.versions) for version, _ in came_from))
        return replace(back, blocked=tuple(blocked))

    def _lead_others_back(self, number: int) -> Iterator[Pin]:
        """Who was not planned and followed in the end goes to what was pinned for everybody; nobody else does."""
        version, ring = self.order.version, self._name_ring("/back-of-others")
        everybody = {ring.name for ring in self.before.rings if is_for_everybody(ring)}
        for pin in self.before.pins:
            if pin.line in self.order.lines and pin.ring in everybody and Version(pin.version) < Version(version):
                yield self._lead_back(replace(pin, number=number, ring=ring, come_from=f"==={version}"))

    def _lead_back(self, pin: Pin) -> Pin:
        open_now = Span("way back", self.before.made, self.before.made + self.order.life)
        return replace(pin, downgrade=True, also_open=(make_opening(open_now),))

    def _name_ring(self, what: str = "") -> str:
        return name_ring(self.order.rollout, what)

    def _with(self, rings: Sequence[Ring], pins: Sequence[Pin], last_pin: int) -> Desired:
        before = self.before
        return replace(before, rings=(*rings, *before.rings), pins=(*before.pins, *pins), last_pin=last_pin)


def next_pin(state: Desired) -> int:
    """A number that no pin ever had; states that were made before pins were counted say less."""
    return 1 + max(state.last_pin, *(pin.number for pin in state.pins), 0)


def make_pin(number: int, line: str, ring: str, version: str, builds: Sequence[Release], asked: str = "") -> Pin:
    """A pin to these builds of the version."""
    by_machine = {build.machine: Build(build.sha256, build.size) for build in builds}
    return Pin(number, line, ring, version, asked or version, by_machine)


def make_opening(span: Span) -> Opening:
    """As agents read it, in whole seconds."""
    return Opening(span.name, span.start.replace(microsecond=0), span.last_start.replace(microsecond=0))
