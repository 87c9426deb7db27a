"""Time, real and fake."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.clock import START, FakeClock
from zlh_hooks.adapters.clock import SystemClock


@pytest.fixture
def timedatectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a stand-in for ``timedatectl`` is found first."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "timedatectl"


def write_program(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_the_time_is_aware_and_utc() -> None:
    before = datetime.now(UTC)
    now = SystemClock().now()
    assert now.utcoffset() == timedelta()
    assert before <= now <= datetime.now(UTC)


def test_sleeping_takes_at_least_the_length_and_a_negative_length_none() -> None:
    clock = SystemClock()
    began = clock.monotonic()
    clock.sleep(timedelta(seconds=-5))
    clock.sleep(timedelta(milliseconds=20))
    assert 0.02 <= clock.monotonic() - began < 5


@pytest.mark.parametrize(("answer", "expected"), [("yes", True), ("no", False), ("", None), ("perhaps", None)])
def test_the_clock_is_synchronised_only_if_the_system_says_so(
    timedatectl: Path, answer: str, expected: bool | None
) -> None:
    write_program(timedatectl, f'[ "$*" = "show -p NTPSynchronized --value" ] && echo "{answer}"')
    assert SystemClock().read_synchronised() is expected


def test_a_system_that_cannot_answer_is_unknown_and_not_synchronised(timedatectl: Path) -> None:
    write_program(timedatectl, "echo yes; exit 1")
    assert SystemClock().read_synchronised() is None


def test_a_system_that_hangs_is_unknown_after_the_time_out(timedatectl: Path) -> None:
    write_program(timedatectl, "exec sleep 60")
    assert SystemClock().read_synchronised(timedelta(milliseconds=100)) is None


def test_a_system_without_timedatectl_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert SystemClock().read_synchronised() is None


def test_on_the_fake_clock_both_times_advance_by_what_was_slept() -> None:
    clock = FakeClock()
    clock.sleep(timedelta(minutes=5))
    assert (clock.now(), clock.monotonic()) == (START + timedelta(minutes=5), 300.0)


def test_a_callback_of_the_fake_clock_sees_the_new_time_and_may_sleep_itself() -> None:
    clock = FakeClock()
    seen: list[datetime] = []

    def note(now: datetime) -> None:
        seen.append(now)
        if len(seen) == 1:
            clock.sleep(timedelta(seconds=1))

    clock.on_sleep.append(note)
    clock.sleep(timedelta(seconds=10))
    assert seen == [START + timedelta(seconds=10), START + timedelta(seconds=11)]
