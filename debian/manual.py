"""usage: manual.py DIRECTORY VERSION SECONDS

The manual pages of zlh-hooks, one for each command, from what ``--help`` knows. ``SECONDS`` of the epoch are the pages'
date, so that the same source makes the same pages.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from typer.main import get_command

from zlh_hooks.cli.app import EPILOG, app

PROGRAM = "zlh-hooks"
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

    @property
    def file(self) -> str:
        """As ``man`` finds it: words joined by hyphens, section 1."""
        return f"{self.name.replace(' ', '-')}.1"


def list_pages() -> tuple[Page, ...]:
    """The program's page, and one for each command below it, at any depth."""
    return tuple(_walk(get_command(app), PROGRAM, None))


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
    return Page(context.command_path, summary, usage, text, rows["argument"], rows["option"], commands)


def _list_rows(command: Any, context: Any, kind: str) -> Rows:
    wanted = (one for one in command.get_params(context) if one.param_type_name == kind)
    return tuple(row for row in (one.get_help_record(context) for one in wanted) if row)


def render(page: Page, version: str, date: str) -> str:
    """The page in man(7)'s language."""
    title = page.name.replace(" ", "-")
    parts = [f'.TH "{escape(title.upper())}" "1" "{date}" "zlh-hooks {escape(version)}" "User Commands"']
    parts += [".SH NAME", f"{escape(title)} \\- {escape(page.summary)}"]
    parts += [".SH SYNOPSIS", f"\\fB{escape(page.name)}\\fR {escape(page.usage)}"]
    parts += [".SH DESCRIPTION", *(escape(line) or ".PP" for line in page.text.splitlines())]
    for heading, rows in (("ARGUMENTS", page.arguments), ("OPTIONS", page.options), ("COMMANDS", page.commands)):
        parts += _render_rows(heading, rows)
    if page.name == PROGRAM:
        parts += [".SH NOTES", escape(EPILOG)]
    else:
        parts += [".SH SEE ALSO", f"\\fB{escape(PROGRAM)}\\fR(1)"]
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
    Path(directory).mkdir(parents=True, exist_ok=True)
    for page in list_pages():
        (Path(directory) / page.file).write_text(render(page, version, date), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
