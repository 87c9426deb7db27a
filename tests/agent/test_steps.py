"""Rules of the table of a swap."""

from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_plugin.steps import ARMED, LAST, SWAP, TABLE, UNARMED, Step
from agent_plugin.story import EXTRA, LONGEST, Event

STEPS = [step for step in Step if step is not Step.END]


def follow(step: Step, event: Event) -> Iterator[Step]:
    while step is not Step.END:
        step = SWAP.advance(step, event if step in (*UNARMED, *ARMED) else Event.DONE)
        yield step


@pytest.mark.parametrize(("step", "event"), list(product(STEPS, (Event.DONE, Event.FAILED, Event.INTERRUPTED))))
def test_every_step_knows_how_it_ends(step: Step, event: Event) -> None:
    assert isinstance(SWAP.advance(step, event), Step)


def test_every_step_belongs_to_one_part_of_the_story() -> None:
    assert sorted([*UNARMED, *ARMED, *LAST]) == sorted(STEPS)
    assert {step for step, _ in TABLE} == set(STEPS)


@pytest.mark.parametrize("step", UNARMED)
def test_a_failure_before_arming_touches_nothing_that_runs(step: Step) -> None:
    assert not {Step.FLIP, Step.RESTART, Step.REVERT} & set(follow(step, Event.FAILED))


@pytest.mark.parametrize("step", ARMED)
def test_a_failure_after_arming_always_goes_back(step: Step) -> None:
    assert SWAP.advance(step, Event.FAILED) is Step.REVERT


def test_nothing_is_cleaned_but_after_a_commit_or_the_first_release() -> None:
    before = {step for (step, _), after in TABLE.items() if after is Step.CLEAN and step is not Step.CLEAN}
    assert before == {Step.COMMIT, Step.FOUND}


def test_an_outcome_is_never_changed_by_a_report_that_fails() -> None:
    assert SWAP.advance(Step.CLEAN, Event.FAILED) is Step.REPORT
    assert SWAP.advance(Step.REPORT, Event.FAILED) is Step.END


@given(st.lists(st.sampled_from([Event.DONE, Event.FAILED, Event.INTERRUPTED])))
def test_whatever_happens_a_swap_ends_within_its_number_of_steps(events: "list[Event]") -> None:
    step, count = Step.PLAN, 0
    for event in [*events, *[Event.DONE] * (LONGEST + EXTRA)]:
        if step is Step.END:
            break
        step, count = SWAP.advance(step, event if SWAP.may_go_on(step, count) else Event.FAILED), count + 1
    assert step is Step.END
    assert count <= LONGEST + EXTRA + len(Step)
