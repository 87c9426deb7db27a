"""What the plugin remembers of a patch over its own death."""

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from agent_plugin.apt_output import Upgrade
from agent_plugin.patch_impact import Findings, Unit
from agent_plugin.patch_steps import PATCH, Step
from agent_plugin.patch_wanted import PatchWanted, parse_wanted, render_wanted
from agent_plugin.record import find_record, load_record, save_record
from agent_plugin.state import Before, parse_before
from agent_plugin.story import Event
from agent_plugin.wish_book import TAKEN_BACK


@dataclass(frozen=True)
class PatchBefore:
    """What was seen before anything was touched.

    ``outdated``: who ran replaced files already; ``units``: the services that ran; ``workload``: those of them that
    nobody restarts unasked; ``agent``: how the agent answered; ``beside``: files of settings that lay beside others.
    """

    outdated: Findings = field(default_factory=Findings)
    units: Mapping[str, Unit] = field(default_factory=dict)
    workload: tuple[str, ...] = ()
    agent: Before = field(default_factory=Before)
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Patch:
    """One patch. ``probe``: the words of a command that must end with 0 before and after, or none.

    ``upgrades``: every package that changes; ``auto``: those that were not installed by hand; ``impact``, ``restart``
    and ``waits`` as decided from evidence, ``impact`` empty until then; ``restarted``: what was; ``beside``: new files
    of settings that lie beside those that were kept. ``taken_back``: a person goes back; ``blame``: it failed, and the
    packages are why. ``wish``: the id of the operators' wish that it carries out, empty if a person began it;
    ``live_only``: nothing is brought that somebody who plays would feel. ``back_wish``: the wish that takes it back.
    """

    txn: str
    wanted: PatchWanted
    probe: tuple[str, ...] = ()
    step: Step = Step.PLAN
    transitions: int = 0
    upgrades: tuple[Upgrade, ...] = ()
    auto: tuple[str, ...] = ()
    before: PatchBefore = field(default_factory=PatchBefore)
    impact: str = ""
    restart: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    taken_back: bool = False
    outcome: str = ""
    reason: str = ""
    blame: bool = False
    wish: str = ""
    live_only: bool = False
    back_wish: str = ""

    @property
    def is_open(self) -> bool:
        """Whether something is left to do."""
        return self.step is not Step.END

    @property
    def names(self) -> "tuple[str, ...]":
        """The packages that change."""
        return tuple(upgrade.name for upgrade in self.upgrades)

    @property
    def ends(self) -> "Mapping[str, str]":
        """Wish to what this end is for it: of what is taken back, one has failed by that and the other is done."""
        back = TAKEN_BACK if self.outcome == "reverted" else self.outcome
        ends = {self.wish: self.outcome, self.back_wish: back}
        return {wish: outcome for wish, outcome in ends.items() if wish}

    def after(self, event: Event) -> "Patch":
        """The same patch one step on."""
        return replace(self, step=PATCH.advance(self.step, event), transitions=self.transitions + 1)

    def take_up(self) -> "Patch":
        """As its successor goes on. Before a wish has touched anything, whoever wished is asked again: it may be
        wished no more, or its window be shut.
        """
        if self.wish and self.step in PATCH.untouched:
            return replace(self.after(Event.FAILED), reason=f"{self.step.value}: interrupted, nothing was touched")
        return self.after(Event.INTERRUPTED)


def begin(wanted: PatchWanted, probe: "tuple[str, ...]" = (), wish: str = "", live_only: bool = False) -> Patch:
    """A new patch."""
    return Patch(secrets.token_hex(6), wanted, probe, wish=wish, live_only=live_only)


def begin_back(brought: Patch, before: PatchBefore, wish: str = "") -> Patch:
    """The way back of one that was proved, or of one that is stuck; ``before``: what is seen now.

    ``wish``: the one that takes it back; a person who goes on with a way back that is stuck ends its wish as well.
    """
    again = replace(brought, before=replace(before, beside=brought.before.beside), back_wish=wish or brought.back_wish)
    return replace(again, step=Step.REVERT, transitions=0, taken_back=True, outcome="", blame=False)


def save_patch(path: Path, patch: Patch) -> None:
    """``OSError`` leaves what was there."""
    values = {**asdict(patch), "wanted": render_wanted(patch.wanted)}
    values["before"]["outdated"] = {
        "units": sorted(patch.before.outdated.units),
        "others": sorted(patch.before.outdated.others),
    }
    save_record(path, values)


def load_patch(path: Path) -> "Patch | None":
    """The patch; None if there was none. ``ValueError`` if the file holds something else."""
    return load_record(path, _parse)


def find_patch(path: Path) -> "Patch | None":
    """The patch, for telling of it; a damaged file tells nothing."""
    return find_record(path, _parse)


def _parse(values: "dict[str, Any]") -> Patch:
    values["wanted"], values["step"] = parse_wanted(values["wanted"]), Step(values["step"])
    values["upgrades"] = tuple(Upgrade(**one) for one in values["upgrades"])
    values["before"] = _parse_before(dict(values["before"]))
    for name in ("probe", "auto", "restart", "restarted", "waits", "beside"):
        values[name] = tuple(values[name])
    return Patch(**values)


def _parse_before(values: "dict[str, Any]") -> PatchBefore:
    outdated = values["outdated"]
    values["outdated"] = Findings(frozenset(outdated["units"]), frozenset(outdated["others"]))
    values["units"] = {name: Unit(**unit) for name, unit in values["units"].items()}
    values["workload"], values["beside"] = tuple(values["workload"]), tuple(values["beside"])
    values["agent"] = parse_before(values["agent"])
    return PatchBefore(**values)
