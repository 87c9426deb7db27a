"""Wire format 1 of the desired state: what the sample says is understood, nothing is lost, and faults are named."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_plugin.desired import Block, Build, Desired, Pin, Ring
from agent_plugin.desired_wire import MalformedState, NewerFormat, parse_state, render_state
from agent_plugin.opening import Opening

SAMPLE = Path(__file__).parents[1] / "samples" / "wire" / "desired-1.json"
TIMES = st.integers(0, 7_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
NUMBERS = st.integers(0, 2**40)
VERSIONS = st.sampled_from(["1.5.0", "2.0rc1", "1!3.0", "0.1+build.7"])
SPECIFIERS = st.sampled_from(["", ">=1.3", "~=1.5", "==1.*,!=1.2"])
OPENINGS = st.builds(Opening, st.text(), TIMES, TIMES)
PINS = st.builds(
    Pin,
    *(NUMBERS, st.text(), st.text(), VERSIONS, st.text()),
    builds=st.dictionaries(st.text(min_size=1), st.builds(Build, st.text(), NUMBERS), max_size=2),
    come_from=SPECIFIERS,
    back_to=st.lists(VERSIONS, max_size=2).map(tuple),
    also_open=st.lists(OPENINGS, max_size=2).map(tuple),
)
SPANS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=2).map(tuple)
STATES = st.builds(
    Desired,
    TIMES,
    st.integers(0, 10**6).map(lambda seconds: timedelta(seconds=seconds)),
    st.lists(OPENINGS, max_size=2).map(tuple),
    st.lists(st.builds(Ring, st.text(), SPANS, NUMBERS), max_size=2).map(tuple),
    st.lists(PINS, max_size=2).map(tuple),
    st.lists(st.builds(Block, SPECIFIERS, st.text()), max_size=2).map(tuple),
    last_pin=NUMBERS,
)


def test_the_sample_of_format_1_is_understood() -> None:
    state = parse_state(SAMPLE.read_bytes())
    (pin,) = state.pins
    assert (state.made, state.jitter) == (datetime(2026, 11, 26, 6, tzinfo=UTC), timedelta(minutes=30))
    assert (pin.version, pin.come_from, pin.back_to, pin.downgrade) == ("1.5.0", ">=1.3", ("1.4.2", "1.4.1"), False)
    assert pin.builds["amd64"].size == 3145728
    assert pin.also_open[0].name == "emergency e1126-ab12"
    assert state.rings[0] == Ring("canary", ((5001, 5003), (5100, 5100)), 5)
    assert state.windows[0].last_start == datetime(2026, 12, 1, 4, 30, tzinfo=UTC)
    assert state.blocked == (Block(">=1.4.5,<1.4.8", "loses saves"),)


def test_fields_of_later_versions_are_kept_wherever_they_stand() -> None:
    data = SAMPLE.read_bytes()
    assert json.loads(render_state(parse_state(data))) == json.loads(data)


@given(STATES)
def test_nothing_is_lost_on_the_way(state: Desired) -> None:
    assert parse_state(render_state(state)) == state


def change(place: str, value: Any) -> bytes:
    document = json.loads(SAMPLE.read_text())
    *way, last = place.split("/")
    table = document
    for part in way:
        table = table[int(part) if part.isdigit() else part]
    if value is ...:
        del table[last]
    else:
        table[last] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("pins/0/version", "banana", "pins[0].version: found 'banana'; expected a version"),
        ("pins/0/come_from", "1.3", "pins[0].come_from: found '1.3'; expected such as >=1.3"),
        ("pins/0/downgrade", 1, "pins[0].downgrade: found 1; expected a bool"),
        ("pins/0/downgrade", ..., "pins[0].downgrade: found None; expected a bool"),
        ("pins/0/number", True, "pins[0].number: found True; expected a int"),
        ("pins/0/builds/all", [], "pins[0].builds.all: expected an object"),
        ("pins/0/builds/all", {"sha256": "x", "size": -1}, "pins[0].builds.all.size: found -1"),
        ("rings/0/vmids", [5001], "rings[0].vmids: expected pairs of guest numbers"),
        ("windows/0/start", "2026-12-01 03:00", "windows[0].start: found '2026-12-01 03:00'; expected such as"),
        ("blocked", None, "blocked: found None; expected a list"),
        ("format", 0, "format: found 0; expected 1"),
    ],
)
def test_a_fault_is_named_with_its_place(place: str, value: Any, said: str) -> None:
    with pytest.raises(MalformedState) as refused:
        parse_state(change(place, value))
    assert said in str(refused.value)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"[]", b"{", b"3"])
def test_what_is_no_document_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedState):
        parse_state(data)


def test_a_later_format_is_refused_as_such() -> None:
    with pytest.raises(NewerFormat, match="found 2; expected 1"):
        parse_state(change("format", 2))
