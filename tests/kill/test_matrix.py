"""A worker killed anywhere is succeeded by one that ends as if nothing had happened, and asks for nothing twice.

The points are generated: after every entry of an undisturbed run, and before and after the execution of every changing
request that it sent. What two stories have in common is tried in one of them.
"""

from collections.abc import Callable

import pytest

from tests.kill.story import STORIES, Story, find_differences, list_points

pytestmark = pytest.mark.process

PARTS = 20
SAMPLES = 3
EARLIER = range(SAMPLES - 1)  # each takes up to half a minute of waiting


@pytest.mark.matrix
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_worker_killed_at_any_point_is_succeeded_by_one_that_ends_the_same(
    story: Story, part: int, record_property: Callable[[str, object], None]
) -> None:
    points = list_points(story)[part::PARTS]
    record_property("points", len(points))
    wrong = [text for point in points for text in find_differences(story, point)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("sample", [*(pytest.param(one, marks=pytest.mark.matrix) for one in EARLIER), SAMPLES - 1])
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_with_the_waits_of_a_real_platform_it_ends_the_same_too(story: Story, sample: int) -> None:
    points = list_points(story)
    point = points[len(points) * (2 * sample + 1) // (2 * SAMPLES)]
    wrong = find_differences(story, point, swift=False)
    assert not wrong, "\n".join(wrong)
