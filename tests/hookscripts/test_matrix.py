"""Whatever a node is like, the guest goes on, unless it is marked down: every combination, each a real process."""

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from tests.hookscripts.config import CONFIGS
from tests.hookscripts.node import PVE, call_hook, needs_root
from tests.hookscripts.point import PLACES, RIGHT, UNKNOWN_PHASE, Case, generate, generate_points
from tests.hookscripts.world import Answer, Call, Configs, Environment, Performance, Spool
from zlh_hooks.domain.guest_note import NAME, GuestKind, GuestNote, parse_guest_note

pytestmark = needs_root


def is_vetoed(environment: Environment, case: Case) -> bool:
    config = CONFIGS[case.config]
    is_start = case.phase == "pre-start" and case.clock == RIGHT
    return is_start and environment.configs.are_readable and config.is_down


def is_noted(environment: Environment, case: Case) -> bool:
    concerns_us = not environment.configs.are_readable or CONFIGS[case.config].is_ours
    return case.phase != UNKNOWN_PHASE and concerns_us and environment.spool is Spool.GOOD


def find_offences(environment: Environment, case: Case, answer: Answer, notes: list[GuestNote]) -> list[str]:
    """What is not as promised, in words."""
    vetoed, noted = is_vetoed(environment, case), is_noted(environment, case)
    expected_notes = 1 if answer.attempts == 1 else max(1, len(notes))
    kind = PLACES[case.place] if environment.configs.are_readable else GuestKind.UNKNOWN
    rules = {
        f"exit code {answer.exit_code}": answer.exit_code == int(vetoed),
        f"{len(notes)} notes": len(notes) == (expected_notes if noted else 0),
        "a wrong note": all((note.phase, note.kind, note.vetoed) == (case.phase, kind, vetoed) for note in notes[-1:]),
        f"standard output {answer.out!r}": answer.out == "",
        f"standard error {answer.err!r}": says_what_it_must(environment, case, answer.err),
        "it holds what it inherited": answer.let_go,
    }
    return [f"{environment} {case}: {rule}" for rule, is_kept in rules.items() if not is_kept]


def says_what_it_must(environment: Environment, case: Case, err: str) -> bool:
    """A line for a veto, one for a config that cannot be read, one for a note that cannot be written; no other."""
    concerns_us = case.phase != UNKNOWN_PHASE and (not environment.configs.are_readable or CONFIGS[case.config].is_ours)
    expected = {
        "must not start before": is_vetoed(environment, case),
        "goes on, for its config": concerns_us and not environment.configs.are_readable,
        f"{case.phase} is not noted: ": concerns_us and (environment.spool is not Spool.GOOD or "left to it" in err),
    }
    lines = err.splitlines()
    starts_well = all(line.startswith("zlh-hooks: guest ") for line in lines)
    return (
        starts_well
        and len(lines) == sum(expected.values())
        and all((text in err) is it for text, it in expected.items())
    )


def check(environment: Environment, cases: tuple[Case, ...], record: Callable[[str, object], None]) -> None:
    numbers = count(5001)
    calls = tuple(case.as_call(next(numbers)) for case in cases)
    performance = call_hook(environment, calls, at_once=24 if environment.configs.hang else 3)
    record("points", len(calls))
    record_times(environment, cases, performance.answers, record)
    notes = sort_notes(performance)
    answered = zip(cases, calls, performance.answers, strict=True)
    found = [
        find_offences(environment, case, answer, notes.get(int(call.guest), [])) for case, call, answer in answered
    ]
    assert [offence for offences in found for offence in offences][:10] == []
    assert performance.elsewhere == ()


def record_times(
    environment: Environment,
    cases: tuple[Case, ...],
    answers: tuple[Answer, ...],
    record: Callable[[str, object], None],
) -> None:
    """A call that was repeated, for it was late, is told, and so is the slowest that counted."""
    slowest, case = max(zip(answers, cases, strict=True), key=lambda one: one[0].seconds)
    record("late seconds", [seconds for answer in answers for seconds in answer.late])
    record("slowest seconds", [slowest.seconds, f"{environment} {case}"])


def sort_notes(performance: Performance) -> dict[int, list[GuestNote]]:
    assert [name for name in performance.notes if not NAME.fullmatch(name)] == []
    sorted_notes: dict[int, list[GuestNote]] = {}
    for text in performance.notes.values():
        assert text == json.dumps(json.loads(text), separators=(",", ":"))
        note = parse_guest_note(text)
        sorted_notes.setdefault(note.guest, []).append(note)
    return sorted_notes


CROSS = [Environment(spool=spool) for spool in Spool] + [Environment(configs=configs) for configs in Configs]


@pytest.mark.parametrize("environment", CROSS, ids=lambda one: f"{one.spool}-{one.configs}")
def test_a_guest_goes_on_with_one_thing_wrong_on_its_node(
    environment: Environment, record_property: Callable[[str, object], None]
) -> None:
    is_readable = environment.configs.are_readable
    starts = generate(("pre-start",), CONFIGS, (RIGHT,), is_readable)
    stops = generate(("post-stop",), ("ordinary", "ours", "down"), (RIGHT,), is_readable)
    check(environment, starts + stops, record_property)


@pytest.mark.matrix
@pytest.mark.parametrize("configs", Configs)
@pytest.mark.parametrize("spool", Spool)
def test_a_guest_goes_on_whatever_is_wrong_on_its_node(
    spool: Spool, configs: Configs, record_property: Callable[[str, object], None]
) -> None:
    check(Environment(spool, configs), generate_points(configs), record_property)


def test_a_call_that_was_late_is_repeated_and_told_apart(tmp_path: Path) -> None:
    script = tmp_path / "late-once"
    script.write_text('#!/bin/sh\n[ -e "$0.was" ] || { : >"$0.was"; sleep 0.2; echo "no answer in 0.3 s" >&2; }\n')
    script.chmod(0o755)
    (answer,) = call_hook(Environment(), (Call(("5001", "pre-start"), environment=PVE),), script).answers
    assert (answer.attempts, answer.err) == (2, "")
    assert answer.late[0] > 0.2
    told: dict[str, object] = {}
    record_times(Environment(), generate_points(Configs.GONE)[:1], (answer,), told.__setitem__)
    assert told["late seconds"] == [answer.late[0]]
