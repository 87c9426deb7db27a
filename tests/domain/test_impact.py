"""Rules of impacts: what is felt more than what, and what follows from it."""

from itertools import pairwise

import pytest

from zlh_hooks.domain.impact import Course, Impact, LiveMode, choose_course


def test_impacts_are_ordered_by_what_customers_feel() -> None:
    assert sorted(Impact, reverse=True) == ["host-reboot", "guest-restart", "restart", "reload", "live"]
    assert all(less < more and more > less and less <= more and more >= less for less, more in pairwise(Impact))


def test_an_impact_is_compared_with_nothing_but_an_impact() -> None:
    with pytest.raises(ValueError, match="'outage' is not a valid Impact"):
        assert Impact.LIVE < "outage"


@pytest.mark.parametrize(
    ("impact", "mode", "course"),
    [
        (Impact.LIVE, "auto", Course.ANY_TIME),
        (Impact.LIVE, "enforce", Course.ANY_TIME),
        (Impact.LIVE, "off", Course.IN_WINDOW),
        (Impact.RELOAD, "auto", Course.IN_WINDOW),
        (Impact.HOST_REBOOT, "off", Course.IN_WINDOW),
        (Impact.RELOAD, "enforce", Course.NEVER),
    ],
)
def test_only_what_nobody_feels_needs_no_window(impact: Impact, mode: LiveMode, course: Course) -> None:
    assert choose_course(impact, mode) is course
