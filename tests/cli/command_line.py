"""Commands as pages name them, read by the command line's own parser and not carried out."""

import re
import shlex
from inspect import signature
from typing import Any

import pytest
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


def find_commands(text: str) -> list[str]:
    """Every command of zlh-hooks in a code span or a line of code, each once; ``a && b`` are two."""
    spans = re.findall(r"(?<!`)`(zlh-hooks [^`\n]+)`", text)
    lines = re.findall(r"^\s*(zlh-hooks [^\n]+)$", text, re.MULTILINE)
    parts = [part.strip() for found in (*spans, *lines) for part in found.split("&&")]
    return list(dict.fromkeys(part for part in parts if part.startswith("zlh-hooks")))


def make_runner() -> CliRunner:
    """With both streams apart: Click 8.1 mixes them unless it is told not to, 8.2 never does and cannot be told."""
    apart: dict[str, Any] = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner.__init__).parameters else {}
    return CliRunner(**apart)


def list_verbs(known: Any = None, words: tuple[str, ...] = ()) -> list[Any]:
    """Every command that does something, as parameters of a test: its parser, under the words that lead to it."""
    known = known or get_command(app)
    if not isinstance(known, TyperGroup):
        return [pytest.param(known, id=" ".join(words))]
    context = known.make_context(known.name, [], resilient_parsing=True)
    below = [(name, known.get_command(context, name)) for name in known.list_commands(context)]
    own = [pytest.param(known, id=" ".join(words))] if words and known.invoke_without_command else []
    return [*own, *(verb for name, found in below for verb in list_verbs(found, (*words, name)))]


def parse(command: str) -> None:
    """``UsageError`` if there is no such command, option or kind of value."""
    words = [FILLED_IN.get(word, word) for word in shlex.split(command, comments=True)]
    known: Any = get_command(app)
    context: Any = None
    rest = words[1:]
    while isinstance(known, TyperGroup):
        context = known.make_context(known.name, rest, parent=context)
        protected = getattr(context, "_protected_args", None)  # Click 8.2 hides what 8.1 shows
        rest = [*(context.protected_args if protected is None else protected), *context.args]
        if not rest and known.invoke_without_command:
            return
        name, found, rest = known.resolve_command(context, rest)
        assert found is not None
        known = found
        known.name = name
    known.make_context(known.name, rest, parent=context)
