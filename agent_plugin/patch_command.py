"""The words of ``zlh-agent-plugin patch``."""

import argparse

from agent_plugin import patch as story
from agent_plugin.fault import BadInput
from agent_plugin.packages import AptPrograms
from agent_plugin.patch_act import PatchHands
from agent_plugin.patch_state import Patch
from agent_plugin.patch_wanted import PatchWanted, parse_packages
from agent_plugin.place import Place
from agent_plugin.setting import Settings, parse_probe
from agent_plugin.systemd import SystemdPrograms
from agent_plugin.unit import SystemdUnits

REVERT = "revert"


def add_patch(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("back", nargs="?", choices=[REVERT], help="go back from the last patch that was proved")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--security", action="store_true", help="every security fix that the guest's sources have")
    what.add_argument("--packages", nargs="+", metavar="NAME=VERSION", help="exactly these")
    what.add_argument("--none", action="store_true", help="finish what is open, and say what waits for a restart")
    parser.add_argument(
        "--probe",
        metavar="COMMAND",
        help="must end with 0 before and after; its path is absolute; else that of the settings",
    )


def carry_out(options: argparse.Namespace, place: Place, settings: Settings) -> Patch:
    """What the options say; ``BadInput`` if that is nothing, or two things."""
    hands = make_hands(place, settings)
    chosen = bool(options.security or options.packages or options.none)
    if options.back:
        if chosen or options.probe:
            raise BadInput("patch revert: no option is wanted")
        return story.take_back(hands)
    if not chosen:
        raise BadInput("patch: --security, --packages NAME=VERSION ..., --none or revert is wanted")
    wanted = PatchWanted(options.security, parse_packages(options.packages or ()))
    return story.bring(hands, wanted, parse_probe(options.probe or "") or settings.probe)


def make_hands(place: Place, settings: Settings) -> PatchHands:
    """The guest's own programs."""
    return PatchHands(place, settings, SystemdPrograms(), SystemdUnits(), AptPrograms(settings.lock_seconds))


def tell(ended: Patch) -> "list[str]":
    """What a person reads of it."""
    why = f" ({ended.reason})" if ended.reason else ""
    lines = [f"patch {ended.txn}: {ended.outcome}{why}"]
    lines += [f"{one.name}: {one.old} -> {one.new}" for one in ended.upgrades] if ended.outcome == "installed" else []
    lines += [f"impact: {ended.impact}"] if ended.impact else []
    lines += [f"restarted: {name}" for name in ended.restarted]
    lines += [f"waits for a restart: {name}" for name in ended.waits]
    return lines + [f"kept as it was, the new one lies beside it: {path}" for path in ended.beside]


def is_good(ended: Patch) -> bool:
    """Whether it ended as was asked for."""
    wanted = ("reverted",) if ended.taken_back else ("installed", "nothing", "waits")
    return ended.outcome in wanted
