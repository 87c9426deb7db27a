"""The demo's story with simulated guests, as it is told where there are no containers."""

import pytest

from tests.lab import demo


@pytest.mark.matrix
def test_the_story_on_simulated_guests_shows_what_it_promises(capfd: pytest.CaptureFixture[str]) -> None:
    assert demo.run_simulated() == 0
    assert "the demo showed what it promises" in capfd.readouterr().out
