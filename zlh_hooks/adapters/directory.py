"""What every customer directory says, wherever it comes from: rows, each checked, and no guest with two owners.

A row has ``id``, ``name``, ``guests``, ``mail``, ``webhook`` and ``time_zone``; the last three may be left out.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt, ValidationError

from zlh_hooks.domain.address import Line, MailAddress, WebAddress, parse_line
from zlh_hooks.domain.errors import SettingsError
from zlh_hooks.domain.flaw import list_flaws, render_found, render_place
from zlh_hooks.domain.notice import Customer
from zlh_hooks.domain.value import Value, ZoneName

Rows: TypeAlias = Sequence[tuple[str, Mapping[str, Any]]]
"""Where a row stands (``line 3``, ``row 2``) and what it says."""
_MOST_FAULTS = 20


def _render_number(value: object) -> object:
    """Other systems number their customers."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Vmid = Annotated[StrictInt, Field(ge=100, le=999_999_999)]


class Row(Value):
    """One customer, as the source has it."""

    id: Annotated[str, BeforeValidator(_render_number), AfterValidator(parse_line)]
    name: Line
    guests: tuple[Vmid, ...] = ()
    mail: MailAddress | None = None
    webhook: WebAddress | None = None
    time_zone: ZoneName | None = None


COLUMNS = tuple(Row.model_fields)


def parse_customers(rows: Rows, source: str) -> tuple[Customer, ...]:
    """The customers; ``SettingsError`` names source, row, what was found and what would be right, of every fault."""
    read = {place: _parse_row(row, place, source) for place, row in rows}
    faults = [fault for found in read.values() if isinstance(found, list) for fault in found]
    good = {place: found for place, found in read.items() if isinstance(found, Row)}
    faults += [*_find_doubles(good, source)]
    if faults:
        first, *more = faults[:_MOST_FAULTS]
        first.more = tuple(more)
        raise first
    return tuple(_make_customer(row) for row in good.values())


def _make_customer(row: Row) -> Customer:
    return Customer(row.id, row.name, frozenset(row.guests), row.mail, row.webhook, row.time_zone)


def _parse_row(row: Mapping[str, Any], place: str, source: str) -> Row | list[SettingsError]:
    try:
        return Row.model_validate(row)
    except ValidationError as error:
        flaws = list_flaws(error, row, Row)
        return [SettingsError(source, f"{place}: {render_place(one.place)}", one.found, one.expected) for one in flaws]


def _find_doubles(rows: Mapping[str, Row], source: str) -> Iterator[SettingsError]:
    ids: dict[str, str] = {}
    owners: dict[int, str] = {}
    for place, row in rows.items():
        if (first := ids.setdefault(row.id, place)) != place:
            yield SettingsError(source, f"{place}: id", render_found(row.id), f"an id of its own: {first} has this one")
        for vmid in row.guests:
            if (first := owners.setdefault(vmid, place)) != place:
                yield SettingsError(source, f"{place}: guests", str(vmid), f"one owner for each guest: {first} has it")


def parse_document(text: bytes, source: str) -> Rows:
    """The rows of a JSON document: an array of objects."""
    try:
        document = json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise SettingsError(source, "document", f"no JSON ({error})", "an array of customers, in UTF-8") from error
    rows = document if isinstance(document, list) else [None]
    odd = [row for row in rows if not isinstance(row, dict)]
    if odd:
        found = render_found(odd[0] if isinstance(document, list) else document)
        raise SettingsError(source, "document", found, "an array of customers, each an object")
    return [(f"row {number}", row) for number, row in enumerate(rows, 1)]
