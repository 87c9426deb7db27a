"""A customer directory in a file: CSV with a line of names, or JSON. It is read again only when it has changed."""

import csv
import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zlh_hooks.adapters.directory import COLUMNS, Rows, parse_customers, parse_document
from zlh_hooks.domain.errors import RoadError, SettingsError
from zlh_hooks.domain.notice import Customer

_NEEDED = ("id", "name")


@dataclass(slots=True)
class DirectoryFile:
    """``path`` ends in .csv or .json. Whoever writes it should replace it whole."""

    path: Path
    _version: tuple[int, ...] | None = None
    _customers: tuple[Customer, ...] = field(default=(), repr=False)

    def list_customers(self) -> tuple[Customer, ...]:
        """All of them, as the file is now."""
        try:
            if _version_of(self.path.stat()) != self._version:
                self._read()
        except OSError as error:
            raise RoadError(f"cannot read {self.path}: {error.strerror or error}") from error
        return self._customers

    def _read(self) -> None:
        with self.path.open("rb") as file:
            version, content = _version_of(os.fstat(file.fileno())), file.read()
        parse = parse_table if self.path.suffix == ".csv" else parse_document
        self._customers = parse_customers(parse(content, str(self.path)), str(self.path))
        self._version = version


def _version_of(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def parse_table(content: bytes, source: str) -> Rows:
    """The rows of a CSV file; an empty cell counts as left out."""
    try:
        lines = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        names = _check_names(next(lines, []), source)
        return [
            (f"line {lines.line_num}", _parse_cells(names, cells, lines.line_num, source)) for cells in lines if cells
        ]
    except (csv.Error, UnicodeDecodeError) as error:
        raise SettingsError(source, "document", str(error), "CSV with commas, in UTF-8") from error


def _check_names(cells: list[str], source: str) -> list[str]:
    names = [cell.strip() for cell in cells]
    wrong = [name for name in names if name not in COLUMNS or names.count(name) > 1]
    missing = [name for name in _NEEDED if name not in names]
    if wrong or missing:
        found = f'"{wrong[0]}"' if wrong else f"no {missing[0]}"
        raise SettingsError(
            source, "line 1", found, f"the columns {', '.join(COLUMNS)}, each once, with commas between"
        )
    return names


def _parse_cells(names: list[str], cells: list[str], line: int, source: str) -> dict[str, Any]:
    if len(cells) > len(names):
        expected = f"at most {len(names)}, as line 1 has; one with a comma in it in double quotes"
        raise SettingsError(source, f"line {line}", f"{len(cells)} cells", expected)
    row: dict[str, Any] = {name: text for name, cell in zip(names, cells, strict=False) if (text := cell.strip(" "))}
    if "guests" in row:
        row["guests"] = [int(word) if word.isascii() and word.isdigit() else word for word in row["guests"].split()]
    return row
