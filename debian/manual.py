"""usage: manual.py DIRECTORY VERSION SECONDS

The manual pages of zlh-hooks and of zlh-agent-plugin, one for each command, from what ``--help`` knows, into folders as
``man`` has them. ``SECONDS`` of the epoch are the pages' date, so that the same source makes the same pages.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from typer.main import get_command

from agent_plugin.__main__ import build_parser
from zlh_hooks.cli.app import EPILOG, app

PROGRAM = "zlh-hooks"
SECTIONS = {1: "User Commands", 8: "System Administration"}
Rows = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Page:
    """What one command's page says; ``name`` is the words that are typed."""

    name: str
    summary: str
    usage: str
    text: str
    arguments: Rows
    options: Rows
    commands: Rows
    section: int = 1
    notes: str = field(default="", kw_only=True)

    @property
    def program(self) -> str:
        """The first word."""
        return self.name.split()[0]

    @property
    def file(self) -> str:
        """As ``man`` finds it below its folder: words joined by hyphens."""
        return f"man{self.section}/{self.name.replace(' ', '-')}.{self.section}"


def list_pages() -> tuple[Page, ...]:
    """Each program's page, and one for each command below it, at any depth."""
    return (*_walk(get_command(app), PROGRAM, None), *_walk_parser(build_parser()))


def _walk_parser(parser: argparse.ArgumentParser, summary: str = "") -> Iterator[Page]:
    """Of a program whose words argparse knows."""
    formatter = parser._get_formatter()
    verbs = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    told = {one.dest: one.help or "" for verb in verbs for one in verb._choices_actions}
    rows = [
        (bool(one.option_strings), (formatter._format_action_invocation(one), formatter._expand_help(one)))
        for one in parser._actions
        if one not in verbs
    ]
    arguments, options = (tuple(row for is_option, row in rows if is_option is wanted) for wanted in (False, True))
    text = parser.description or f"{summary[:1].upper()}{summary[1:]}."
    usage = " ".join(parser.format_usage().split()).removeprefix(f"usage: {parser.prog} ")
    yield Page(parser.prog, text.rstrip("."), usage, text, arguments, options, tuple(told.items()), section=8)
    for verb in verbs:
        for name, below in verb.choices.items():
            yield from _walk_parser(below, told[name])


def _walk(command: Any, word: str, parent: Any) -> Iterator[Page]:
    """``parent``: the context in which the command is typed."""
    context = command.context_class(command, info_name=word, parent=parent)
    below = {name: command.get_command(context, name) for name in _list_words(command, context)}
    yield _describe(command, context, below)
    for name, one in below.items():
        yield from _walk(one, name, context)


def _list_words(command: Any, context: Any) -> list[str]:
    return command.list_commands(context) if hasattr(command, "list_commands") else []


def _describe(command: Any, context: Any, below: dict[str, Any]) -> Page:
    summary = command.get_short_help_str(200).rstrip(".")
    commands = tuple((name, one.get_short_help_str(200)) for name, one in below.items())
    usage = " ".join(command.collect_usage_pieces(context))
    rows = {kind: _list_rows(command, context, kind) for kind in ("argument", "option")}
    text = command.help or ""
    notes = EPILOG if context.parent is None else ""
    return Page(context.command_path, summary, usage, text, rows["argument"], rows["option"], commands, notes=notes)


def _list_rows(command: Any, context: Any, kind: str) -> Rows:
    wanted = (one for one in command.get_params(context) if one.param_type_name == kind)
    return tuple(row for row in (one.get_help_record(context) for one in wanted) if row)


def render(page: Page, version: str, date: str) -> str:
    """The page in man(7)'s language."""
    title = page.name.replace(" ", "-")
    head = (escape(title.upper()), str(page.section), date, f"{page.program} {escape(version)}", SECTIONS[page.section])
    parts = [" ".join((".TH", *(f'"{one}"' for one in head)))]
    parts += [".SH NAME", f"{escape(title)} \\- {escape(page.summary)}"]
    parts += [".SH SYNOPSIS", f"\\fB{escape(page.name)}\\fR {escape(page.usage)}"]
    parts += [".SH DESCRIPTION", *(escape(line) or ".PP" for line in page.text.splitlines())]
    for heading, rows in (("ARGUMENTS", page.arguments), ("OPTIONS", page.options), ("COMMANDS", page.commands)):
        parts += _render_rows(heading, rows)
    if page.notes:
        parts += [".SH NOTES", escape(page.notes)]
    if page.name != page.program:
        parts += [".SH SEE ALSO", f"\\fB{escape(page.program)}\\fR({page.section})"]
    return "\n".join(parts) + "\n"


def _render_rows(heading: str, rows: Rows) -> list[str]:
    lines = [part for words, text in rows for part in (".TP", f"\\fB{escape(words)}\\fR", escape(text) or "\\&")]
    return [f".SH {heading}", *lines] if lines else []


def escape(text: str) -> str:
    """One line that roff prints as it stands; a hyphen stays one that can be typed."""
    flat = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{flat}" if flat.startswith((".", "'")) else flat


def main(directory: str, version: str, seconds: str) -> None:
    """Write them all."""
    date = datetime.fromtimestamp(int(seconds), UTC).date().isoformat()
    for page in list_pages():
        path = Path(directory) / page.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(page, version, date), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
