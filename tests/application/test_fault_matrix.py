"""Each fault at each request of a whole rollout and of each way back: what comes of it, by rule.

Requests are generated: all changes that an undisturbed story makes, and each kind of read once; of those that look at a
guest, each kind once between two entries of the ledger.
"""

from collections.abc import Callable

import pytest

from tests.application.fault_kind import FAULTS, find_wrongs, list_points
from tests.application.fault_story import STORIES

SAMPLE = 40


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.matrix), SAMPLE], ids=["all", "sample"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("story", STORIES)
def test_a_fault_at_any_request_costs_at_most_its_guest_and_the_rest_ends_as_if_nothing_had_happened(
    story: str, fault: str, every: int, record_property: Callable[[str, object], None]
) -> None:
    points = list_points(story, fault)[sum(map(ord, fault)) % every :: every]
    record_property("points", len(points))
    wrongs = [wrong for request, variant in points for wrong in find_wrongs(story, fault, request, variant)]
    assert not wrongs, "\n".join(wrongs)
