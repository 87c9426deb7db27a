"""Commands as pages name them, read by the command line's own parser and not carried out."""

import re
import shlex
from inspect import signature
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from zlh_hooks.cli.app import app

(UsageError,) = typer.BadParameter.__bases__
"""Click's own; newer Typer carries a Click of its own."""
FILLED_IN = {
    "VMID": "5001",
    "VERSION": "2026.11.1",
    "OLD-VERSION": "2026.10.1",
    "ROLLOUT": "r1123-abcd",
    "YYYY-MM": "2026-11",
    "BEGIN": "2027-02-03T04:00",
    "END": "2027-02-03T06:00",
}
_HELP = "--help"
_DEBIAN = Path(__file__).parents[2] / "debian"


def find_commands(text: str) -> list[str]:
    """Every command of zlh-hooks in a code span or a line of code, each once; ``a && b`` and ``a|b`` are two.

    What stands behind two blanks, or is read from a file, is none of it.
    """
    spans = re.findall(r"(?<!`)`(zlh-hooks [^`\n]+)`", text)
    lines = re.findall(r"^\s*(zlh-hooks [^\n]+)$", text, re.MULTILINE)
    parts = [re.split(r" {2,}| < ", part.strip())[0] for found in (*spans, *lines) for part in found.split("&&")]
    return list(dict.fromkeys(one for part in parts if part.startswith("zlh-hooks") for one in _spell_out(part)))


def _spell_out(command: str) -> list[str]:
    """Those that ``status|watch`` stands for, of which only the verbs are named."""
    choice = re.search(r"[a-z-]+(?:\|[a-z-]+)+", command)
    return [command.replace(choice[0], f"{one} {_HELP}") for one in choice[0].split("|")] if choice else [command]


def find_missing_units(text: str) -> list[str]:
    """Units of ours that systemctl is to be told of, and that no Debian package has."""
    named = re.findall(r"systemctl [a-z][a-z -]*?(zlh-hooks-[a-z-]+(?:\.[a-z]+)?)", text)
    return [unit for unit in named if not (_DEBIAN / (unit if "." in unit else f"{unit}.service")).exists()]


def make_runner() -> CliRunner:
    """With both streams apart: Click 8.1 mixes them unless it is told not to, 8.2 never does and cannot be told."""
    apart: dict[str, Any] = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner.__init__).parameters else {}
    return CliRunner(**apart)


def parse(command: str) -> None:
    """``UsageError`` if there is no such command, option or kind of value. Of a noun alone, or help, only the name counts."""
    words = [FILLED_IN.get(word, word) for word in shlex.split(command, comments=True)]
    known: Any = get_command(app)
    context: Any = None
    rest = words[1:]
    while isinstance(known, TyperGroup):
        if not rest:
            return
        context = known.make_context(known.name, rest, parent=context)
        protected = getattr(context, "_protected_args", None)  # Click 8.2 hides what 8.1 shows
        rest = [*(context.protected_args if protected is None else protected), *context.args]
        if not rest and known.invoke_without_command:
            return
        name, found, rest = known.resolve_command(context, rest)
        assert found is not None
        known = found
        known.name = name
    if rest != [_HELP]:
        known.make_context(known.name, rest, parent=context)
