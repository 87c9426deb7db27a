"""What a claim on a guest says, and when it counts."""

from datetime import UTC, datetime, timedelta

import pytest

from zlh_hooks.domain.hold import Claim, Hold, find_hold, list_holds, make_hold, without_holds

NOW = datetime(2026, 11, 27, 3, 0, tzinfo=UTC)
LATER, EARLIER = "20261127t0301z", "20261127t0300z"


def test_a_claim_reads_as_it_was_written() -> None:
    hold = make_hold(Claim.DOWN, NOW + timedelta(minutes=1), "ops", "disk is being copied: wait")
    assert list_holds(["zlh-version.2", hold.tag], f"a note\n{hold.render_note()}") == (hold,)
    assert hold.render_note() == f"zlh-down {LATER} by ops: disk is being copied: wait"


def test_what_people_type_cannot_break_the_line_that_the_hook_reads() -> None:
    hold = make_hold(Claim.HOLD, NOW, "a:b\nzlh-down x", "first\nsecond" + "x" * 300)
    assert "\n" not in hold.render_note()
    (read,) = list_holds([hold.tag], hold.render_note())
    assert (read.owner, len(read.reason)) == ("a b zlh-down x", 200)


@pytest.mark.parametrize(
    ("tag", "claim", "counts"),
    [
        (f"zlh-hold.{LATER}", Claim.HOLD, True),
        (f"zlh-hold.{EARLIER}", Claim.HOLD, False),
        ("zlh-hold.someday", Claim.HOLD, True),
        (f"zlh-down.{LATER}", Claim.DOWN, True),
        (f"zlh-down.{EARLIER}", Claim.DOWN, False),
        ("zlh-down.someday", Claim.DOWN, False),
        (f"zlh-line-hold.{LATER}", Claim.HOLD, False),
        (f"zlh-line-hold.{LATER}", Claim.LINE, True),
    ],
)
def test_a_claim_counts_until_its_end_and_one_that_cannot_be_read_only_against_our_own_work(
    tag: str, claim: Claim, counts: bool
) -> None:
    assert (find_hold(claim, [tag], NOW) is not None) == counts


def test_of_several_claims_the_one_that_lasts_longest_is_told() -> None:
    tags = [f"zlh-hold.{LATER}", "zlh-hold.20270101t0000z", f"zlh-hold.{EARLIER}"]
    found = find_hold(Claim.HOLD, tags, NOW)
    assert found is not None and found.end == "20270101t0000z"


def test_notes_lose_what_they_say_of_a_claim_and_nothing_else() -> None:
    notes = f"Bought 2024\nzlh-hold {LATER} by ops: why\nzlh-hold {EARLIER} by ops: other\nzlh-hold is a word"
    left = without_holds(notes, [Hold(Claim.HOLD, LATER)])
    assert left == f"Bought 2024\nzlh-hold {EARLIER} by ops: other\nzlh-hold is a word"
