"""JSON from strangers: parsed without trust, walked by a dotted path, told in words that hold none of it."""

import json

from zlh_hooks.adapters.probes.answer import BadAnswer


def parse_document(body: bytes | str) -> object:
    """The JSON value; ``BadAnswer`` for anything else, however deeply nested or long its numbers."""
    try:
        document: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadAnswer("the answer is not JSON") from error
    return document


def find_value(document: object, path: str) -> object:
    """``servers.0.state``: names in objects, indices from 0 in lists. ``BadAnswer`` says which part is not there."""
    value, walked = document, ""
    for key in path.split("."):
        walked = f"{walked}.{key}".lstrip(".")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and len(key) < 10 and int(key) < len(value):
            value = value[int(key)]
        else:
            raise BadAnswer(f"the answer has no {walked}")
    return value


def render_scalar(value: object) -> str | None:
    """Text as it is, numbers, booleans and null as JSON writes them; None for lists and objects."""
    if isinstance(value, str):
        return value
    return None if isinstance(value, (list, dict)) else json.dumps(value)


def find_count(document: object, path: str) -> int:
    """A whole number of 32 bits; -1 is what some servers say for unknown."""
    value = find_value(document, path)
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**31) <= value < 2**31:
        raise BadAnswer(f"{path} is not a count")
    return value
