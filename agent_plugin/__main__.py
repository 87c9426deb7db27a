"""``zlh-agent-plugin check|install|update|revert|patch|status|key|answer``.

Exit code 0: all is well; 1: not now, or gone back; 2: wrong input.
"""

import argparse
import socket
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from agent_plugin import patch as patch_story
from agent_plugin import patch_command, update
from agent_plugin.fault import BadInput, PluginError
from agent_plugin.patch_state import Patch
from agent_plugin.place import Place
from agent_plugin.refusal import REFUSALS
from agent_plugin.report import build_status, write_status
from agent_plugin.setting import read_settings
from agent_plugin.source import FileSource, Source
from agent_plugin.state import BlockList, Transaction, find_transaction
from agent_plugin.story import moves
from agent_plugin.swap import Hands
from agent_plugin.systemd import SystemdPrograms
from agent_plugin.wanted import Wanted
from agent_plugin.wire import Check, Wished, render_status
from agent_plugin.words import make_printable


def main(words: Sequence[str]) -> int:
    """Run one command as its words say; the exit code."""
    options = build_parser().parse_args(words)
    try:
        return int(options.run(options))
    except BadInput as error:
        return _complain(2, f"error: {error}")
    except ImportError as error:
        return _complain(1, f"not done: a library is missing: {error}; python3-cryptography is the distribution's")
    except (PluginError, OSError) as error:
        return _complain(1, f"not done: {error}")


def _complain(code: int, text: str) -> int:
    print(make_printable(text), file=sys.stderr)
    return code


def build_parser() -> argparse.ArgumentParser:
    """The words that the command takes; its manual pages are made of it."""
    parser = argparse.ArgumentParser(
        prog="zlh-agent-plugin", description="Swaps the agent of this guest, and patches its packages."
    )
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    check = verbs.add_parser("check", help="finish what is open, ask what this guest shall have, and bring it")
    check.set_defaults(run=_check)
    install = verbs.add_parser("install", help="bring a release from a file: prove it, or go back")
    install.add_argument("--file", type=Path, required=True, help="the release, a .tar.gz with zlh-agent at its top")
    install.add_argument("--sha256", required=True, help="of the file, from whoever published it")
    install.add_argument("--version", required=True, help="what the agent calls itself at /health")
    install.add_argument("--again", action="store_true", help="also if it failed here before")
    install.set_defaults(run=_install)
    verbs.add_parser("update", help="finish a swap or a patch that was interrupted").set_defaults(run=_update)
    verbs.add_parser("revert", help="go back to the previous release, and block this one").set_defaults(run=_revert)
    patch = verbs.add_parser("patch", help="bring packages while the game runs: prove them, or go back")
    patch_command.add_patch(patch)
    patch.set_defaults(run=_patch)
    verbs.add_parser("status", help="print the status document").set_defaults(run=_status)
    verbs.add_parser("key", help="print the id of the key that signs reports; make it first").set_defaults(run=_key)
    verbs.add_parser("answer", help="answer one connection of the report's port").set_defaults(run=_answer)
    return parser


def _hands(source: "Source | None" = None) -> Hands:
    place = Place()
    return Hands(place, SystemdPrograms(), read_settings(place.settings), source)


def _install(options: argparse.Namespace) -> int:
    hands = _hands(FileSource(options.file))
    try:
        size = options.file.stat().st_size
    except OSError as error:
        raise BadInput(f"--file: {error}") from error
    wanted = Wanted(options.version, options.sha256.lower(), size)
    if options.again:
        BlockList(hands.place.blocked).lift(wanted.release)
    return _tell(update.install(hands, wanted))


def _check(_options: argparse.Namespace) -> int:
    hands = _hands()
    if not hands.settings.url:
        return _finish(hands)
    codes, has_moved = _finish_touched(hands)
    try:
        from agent_plugin import follow, patch_follow
    except ImportError as error:
        raise PluginError(f"a library is missing: {error}") from error
    checked = follow.check(hands)
    codes.append(_tell_check(checked.agent, follow.FAILED_HERE))
    if checked.wish is not None and not has_moved:
        patch_hands = patch_command.make_hands(hands.place, hands.settings)
        codes.append(_tell_wish(patch_follow.follow_wish(patch_hands, checked.wish, datetime.now(timezone.utc))))
    return max(codes)


def _tell_check(found: "Check | Transaction", failed_here: str) -> int:
    if not isinstance(found, Check):
        return _tell(found)
    print(f"{found.outcome}: {found.said}")
    return int(found.outcome in (*REFUSALS, failed_here))


def _tell_wish(wished: "Wished | None") -> int:
    if wished is None:
        return 0
    why = f" ({wished.reason})" if wished.reason else ""
    print(make_printable(f"{wished.ruling}: {wished.said}" + (f"; {wished.state}{why}" if wished.state else "")))
    return int(wished.state in ("failed", "again"))


def _update(_options: argparse.Namespace) -> int:
    return _finish(_hands())


def _finish(hands: Hands) -> int:
    """All that was begun. What nothing was changed for yet comes last: it is dropped, for nobody brings it again."""
    codes, _ = _finish_touched(hands)
    left = update.resume(hands)
    return max(codes) if codes and left is None else max([*codes, _tell(left)])


def _finish_touched(hands: Hands) -> "tuple[list[int], bool]":
    """A release on trial first, for its time runs, then a patch; neither needs a library or a server.

    Exit codes, and whether something in the guest was moved by it.
    """
    judged = update.judge_trial(hands)
    codes = [_tell(judged)] if judged else []
    patched = patch_story.resume(patch_command.make_hands(hands.place, hands.settings))
    codes += [_tell_patch(patched)] if patched else []
    return codes, moves(judged) or moves(patched)


def _revert(_options: argparse.Namespace) -> int:
    return _tell(update.take_back(_hands()))


def _patch(options: argparse.Namespace) -> int:
    place = Place()
    return _tell_patch(patch_command.carry_out(options, place, read_settings(place.settings)))


def _tell_patch(ended: Patch) -> int:
    print("\n".join(patch_command.tell(ended)))
    return 0 if patch_command.is_good(ended) else 1


def _status(_options: argparse.Namespace) -> int:
    place = Place()
    print(render_status(build_status(place, find_transaction(place.transaction))), end="")
    return 0


def _key(_options: argparse.Namespace) -> int:
    from agent_plugin.guest_key import ensure_key

    place = Place()
    print(ensure_key(place).key_id)
    if not place.status.exists():  # nothing was ever done here, and that is a report too
        with update.hold(place):
            write_status(place, None)
    return 0


def _answer(_options: argparse.Namespace) -> int:
    from agent_plugin.report_port import answer, open_desk

    desk = open_desk(Place())
    with socket.socket(fileno=sys.stdin.fileno()) as connection:
        answer(connection, desk)
    return 0


def _tell(ended: "Transaction | None") -> int:
    if ended is None:
        print("nothing to do")
        return 0
    why = f" ({ended.reason})" if ended.reason else ""
    print(f"{ended.release}: {ended.outcome}{why}")
    return 0 if ended.outcome == "installed" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
