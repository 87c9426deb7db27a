"""What the tables of a file are made of: the frozen table itself, and single values as people write them."""

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from zlh_hooks.domain.duration import Duration
from zlh_hooks.domain.flaw import render_hint
from zlh_hooks.domain.tag import is_valid

_VMIDS = re.compile(r"(\d+)(?:-(\d+))?")
_COUNT = re.compile(r"([1-9]\d*)(%?)")
_CLOCK = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d")


class Value(BaseModel):
    """A table of a file: never changed, and without keys that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class VmidRange(Value):
    """Guest numbers from ``first`` to ``last``, both included; written ``"5000-5999"`` or ``"5000"``."""

    first: int = Field(ge=100, le=999_999_999)
    last: int = Field(ge=100, le=999_999_999)

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        """Values of the class pass through, and its fields by name, as code writes them."""
        if isinstance(value, cls | Mapping):
            return value
        match = _VMIDS.fullmatch(str(value)) if isinstance(value, str | int) else None
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 100 <= first <= last <= 999_999_999:
            raise ValueError(
                'guest numbers such as "5000-5999" or "5000", from 100 to 999999999, the smaller one first'
            )
        return {"first": first, "last": last}

    @model_serializer
    def _render(self) -> str:
        return str(self)

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, Any]:
        """As the file has it."""
        return {"type": "string", "pattern": f"^{_VMIDS.pattern}$", "examples": ["5000-5999", "5000"]}

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    def __contains__(self, vmid: object) -> bool:
        return isinstance(vmid, int) and self.first <= vmid <= self.last

    def numbers(self) -> Iterator[int]:
        """Every number of the range, ascending."""
        return iter(range(self.first, self.last + 1))

    def overlaps(self, other: "VmidRange") -> bool:
        """Whether a number lies in both."""
        return self.first <= other.last and other.first <= self.last


class Count(Value):
    """A number of targets, or a share of all of them; written ``3`` or ``"25%"``."""

    number: int = Field(ge=1)
    is_percent: bool = False

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        """Values of the class pass through, and its fields by name, as code writes them."""
        if isinstance(value, cls | Mapping):
            return value
        match = _COUNT.fullmatch(str(value)) if isinstance(value, str | int) else None
        if match is None or (match[2] and int(match[1]) > 100):
            raise ValueError('a whole number from 1, or a share from "1%" to "100%"')
        return {"number": int(match[1]), "is_percent": bool(match[2])}

    @model_serializer
    def _render(self) -> int | str:
        return f"{self.number}%" if self.is_percent else self.number

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, Any]:
        """As the file has it."""
        share = {"type": "string", "pattern": "^(?:[1-9][0-9]?|100)%$", "examples": ["25%"]}
        return {"anyOf": [{"type": "integer", "minimum": 1}, share]}

    def of(self, total: int) -> int:
        """How many of ``total``; shares are rounded up."""
        return -(-total * self.number // 100) if self.is_percent else self.number


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        hint = render_hint(name, sorted(available_timezones()))
        raise ValueError(f"an IANA time zone such as Europe/Berlin{hint}") from error
    return name


ZoneName = Annotated[str, AfterValidator(_check_zone)]


def _parse_clock(value: object) -> time:
    """TOML has times of its own, so ``04:00:00`` without quotes is one too."""
    if isinstance(value, time) and value == value.replace(second=0, microsecond=0, tzinfo=None):
        return value
    if isinstance(value, str) and _CLOCK.fullmatch(value):
        return time.fromisoformat(value)
    raise ValueError('a local time of day such as "04:00", from "00:00" to "23:59"')


LocalTime = Annotated[
    time,
    BeforeValidator(_parse_clock),
    PlainSerializer(lambda value: value.strftime("%H:%M"), return_type=str),
    WithJsonSchema({"type": "string", "pattern": rf"^(?:{_CLOCK.pattern})$", "examples": ["04:00"]}),
]


def _parse_date(value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise ValueError("a date such as 2026-12-24")


LocalDate = Annotated[date, BeforeValidator(_parse_date), WithJsonSchema({"type": "string", "format": "date"})]


def _check_absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("an absolute path, which means the same wherever the command is started")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_check_absolute)]


def _check_tag(text: str) -> str:
    if not is_valid(text):
        raise ValueError("a tag as Proxmox stores them: lower-case letters, digits and _.+-")
    return text


Tag = Annotated[str, AfterValidator(_check_tag)]


def _check_positive(length: timedelta) -> timedelta:
    if not length:
        raise ValueError("a duration above 0s")
    return length


PositiveDuration = Annotated[Duration, AfterValidator(_check_positive)]


def _parse_percent(value: object) -> Decimal:
    """TOML's numbers; exact, so that a bound is met or missed and never nearly."""
    expected = "a number from 0 to 100 with at most three decimals"
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError(expected)
    number = Decimal(str(value))
    if not number.is_finite() or not 0 <= number <= 100 or number != round(number, 3):
        raise ValueError(expected)
    return number


Percent = Annotated[
    Decimal,
    BeforeValidator(_parse_percent),
    PlainSerializer(float, return_type=float),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 100, "examples": [99.5]}),
]
