"""What is wrong with a file's content, in an operator's words: where, what was found, what would be right."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from zlh_hooks.domain.duration import render_duration

Place = tuple[str | int, ...]
"""Where a value lies in nested tables and arrays: keys and positions from 0."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")
_LONGEST_FOUND = 60
_IN_WORDS = {
    "missing": "a value; it has no default",
    "tuple_type": "an array",
    "dict_type": "a table",
    "mapping_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "string_type": "a text in quotes",
}


class Misfit(ValueError):
    """Values that do not go together. ``place`` is counted from the model whose validator raises it."""

    def __init__(self, place: Place, found: str, expected: str) -> None:
        self.place = place
        self.found = found
        self.expected = expected
        super().__init__(f"{render_place(place)}: found {found}; expected {expected}")


@dataclass(frozen=True, slots=True)
class Flaw:
    """One wrong value."""

    place: Place
    found: str
    expected: str


def list_flaws(error: ValidationError, data: Mapping[str, Any], model: type[BaseModel]) -> tuple[Flaw, ...]:
    """Everything that pydantic found in ``data``, which was to become a ``model``."""
    found = error.errors(include_url=False)
    return tuple(_describe(details, data, model) for details in found if not _is_echo(details, found))


def _is_echo(details: Any, found: Sequence[Any]) -> bool:
    """An array is also called too short when its only item is wrong."""
    place = details["loc"]
    inner = (one["loc"] for one in found if len(one["loc"]) > len(place))
    return bool(details["type"] == "too_short") and any(one[: len(place)] == place for one in inner)


def render_place(place: Place) -> str:
    """As TOML writes it, with positions in brackets: ``rollout.waves[2]``; an odd key is quoted."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part if _BARE_KEY.match(part) else json.dumps(part)}"
    return text.removeprefix(".") or "(top level)"


def render_found(value: object) -> str:
    """A value as it stands in the file, shortened; tables and arrays by their kind."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return json.dumps(render_duration(value))
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_FOUND else f"{text[: _LONGEST_FOUND - 1]}…"


def render_hint(word: str, known: Sequence[str]) -> str:
    """``; did you mean "waves"?``, or nothing if no known word is close."""
    close = get_close_matches(word, known, n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


def has_place(model: BaseModel, key: str) -> bool:
    """Whether ``key``, e.g. ``people.ada.mail``, is a place in the model's tables; arrays are taken whole."""
    value: object = model
    for part in key.split("."):
        if isinstance(value, BaseModel) and part in type(value).model_fields:
            value = getattr(value, part)
        elif isinstance(value, Mapping) and part in value:
            value = value[part]
        else:
            return False
    return True


def _describe(details: Any, data: Mapping[str, Any], model: type[BaseModel]) -> Flaw:
    kind, cause = details["type"], details.get("ctx", {}).get("error")
    place = _drop_tags(details["loc"], data)
    if isinstance(cause, Misfit):
        return Flaw((*place, *cause.place), cause.found, cause.expected)
    if kind == "extra_forbidden":
        known = _known_keys(model, details["loc"][:-1])
        return Flaw(place, "an unknown key", f"one of {', '.join(known)}{render_hint(str(place[-1]), known)}")
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return _describe_tag(details, place)
    found = "nothing" if kind == "missing" else render_found(details["input"])
    return Flaw(place, found, _IN_WORDS.get(kind) or _clean(str(cause or details["msg"])))


def _describe_tag(details: Any, place: Place) -> Flaw:
    """The key that says which kind of table this is names none."""
    context = details["ctx"]
    key = context["discriminator"].strip("'")
    found = render_found(context["tag"]) if "tag" in context else "nothing"
    return Flaw((*place, key), found, context.get("expected_tags", f"a text that says which {key} it is"))


def _clean(message: str) -> str:
    """Pydantic's sentence without its opening words."""
    return re.sub(r"^(Input|Value|String) should (be |have )?", "", message)


def _drop_tags(location: Sequence[str | int], data: object) -> Place:
    """Pydantic's location without the parts that are not in the file: a union's tag, a mapping's ``[key]``."""
    if not location:
        return ()
    *parents, last = location
    place: list[str | int] = []
    for part in parents:
        child = _child(data, part)
        if isinstance(child, Mapping | list):
            place.append(part)
            data = child
    return tuple(place) if last == "[key]" else (*place, last)


def _child(data: object, part: str | int) -> object:
    if isinstance(data, Mapping):
        return data.get(part)
    if isinstance(data, list) and isinstance(part, int) and part < len(data):
        return data[part]
    return None


def _known_keys(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """The keys that may stand there; those of all kinds where a table may be of several."""
    models = [model]
    for part in location:
        fields = [known.model_fields[part] for known in models if isinstance(part, str) and part in known.model_fields]
        if fields:
            models = [inner for field in fields for inner in _models_in(field.annotation)]
    return list(dict.fromkeys(name for known in models for name in known.model_fields))


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
