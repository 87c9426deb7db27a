"""Tables for people on a terminal, plain lines in a pipe, one JSON document with --json."""

import json
import sys
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal; in a pipe a line per row, its columns apart by tabs, under a line of names."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            typer.echo("\t".join(map(_clean, row)))
        return
    table = open_table(columns)
    for row in rows:
        table.add_row(*(Text(_clean(cell)) for cell in row))
    Console().print(table)


def open_table(columns: Sequence[str]) -> Table:
    """An empty one. On a narrow terminal a long word goes on in the next line: an id that is cut helps nobody."""
    return Table(*(Column(name, overflow="fold") for name in columns))


def print_json(value: Any) -> None:
    """One JSON document, keys in their order; instants in ISO 8601, durations in seconds."""
    typer.echo(json.dumps(value, indent=2, default=_render))


def _clean(cell: str) -> str:
    """On one line, and without what a terminal would obey: cells hold what guests say of themselves."""
    return "".join(character if character.isprintable() else " " for character in cell)


def _render(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)
