"""The states of a rollout of packages, made from the one before it. Pure.

The wish stands under one number and one ring from the first wave to the end, so that guests know it by one id: none
brings it twice, and none that went back from it tries it once more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from agent_plugin.desired import Desired, Ring
from agent_plugin.desired_wire import render_state
from agent_plugin.patch_wanted import PatchWanted
from agent_plugin.wish import Wish
from zlh_hooks.adapters import rollout_ring
from zlh_hooks.adapters.desired_series import make_opening
from zlh_hooks.domain.agent_series import BACK, END, PatchSeriesOrder, Series, WishSeries, name_wave


def make_wish_series(data: bytes | None, before: Desired, order: PatchSeriesOrder, wanted: PatchWanted) -> WishSeries:
    """``before``: what ``data`` says, with rings and windows as they are now."""
    maker = _Maker(rollout_ring.without_ways_back_of_packages(before, order.lines), order, wanted)
    states = {act: render_state(state) for act, state in maker.make().items()}
    ids = {wish.line: wish.id for wish in maker.wishes}, {wish.line: wish.id for wish in maker.ways_back}
    return WishSeries(Series(data, states), *ids, maker.wishes[0].brief)


@dataclass(frozen=True, slots=True)
class _Maker:
    before: Desired
    order: PatchSeriesOrder
    wanted: PatchWanted

    @property
    def wishes(self) -> tuple[Wish, ...]:
        """One for each line."""
        ring, openings = rollout_ring.name_ring(self.order.rollout), tuple(map(make_opening, self.order.also_open))
        first = self.before.last_wish + 1
        return tuple(
            Wish(number, line, ring, self.wanted, openings) for number, line in enumerate(self.order.lines, first)
        )

    @property
    def ways_back(self) -> tuple[Wish, ...]:
        """One for each line: guests that never did the wish do nothing for it, so that it is for everybody."""
        ring, first = rollout_ring.name_ring(self.order.rollout, rollout_ring.BACK), self.wishes[-1].number + 1
        return tuple(
            Wish(number, wish.line, ring, PatchWanted(revert=wish.id)) for number, wish in enumerate(self.wishes, first)
        )

    def make(self) -> Mapping[str, Desired]:
        """Act to state."""
        waves = {name_wave(wave): self._let_follow(wave) for wave in sorted(self.order.waves)}
        return {**waves, END: self._promote(), BACK: self._go_back()}

    def _let_follow(self, last: int) -> Desired:
        vmids = [vmid for wave, members in self.order.waves.items() if wave <= last for vmid in members]
        ring = rollout_ring.list_ring(self.wishes[0].ring, vmids)
        return self._with((ring, *self.before.rings), (*self.before.wishes, *self.wishes))

    def _promote(self) -> Desired:
        """In place of all that these lines were wished; rings that shall keep their packages keep them."""
        lines = self.order.lines
        others = [wish for wish in self.before.wishes if wish.line not in lines or wish.patches.is_nothing]
        ring = Ring(self.wishes[0].ring, percent=100)
        return rollout_ring.without_empty_rings(self._with((*self.before.rings, ring), (*others, *self.wishes)))

    def _go_back(self) -> Desired:
        ring = Ring(self.ways_back[0].ring, percent=100)
        return self._with((ring, *self.before.rings), (*self.before.wishes, *self.ways_back))

    def _with(self, rings: Sequence[Ring], wishes: Sequence[Wish]) -> Desired:
        """Numbers are never given twice, whichever act is the last one that is shown."""
        last = self.ways_back[-1].number
        return replace(self.before, rings=tuple(rings), wishes=tuple(wishes), last_wish=last)
