"""``rollout finalize`` tells whom it settled, and whom it kept and why."""

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from tests.application.rollout_bench import Bench, make_policy
from tests.application.test_soak import DAY, NIGHT
from tests.cli.command_line import make_runner
from tests.clock import FakeClock
from tests.datacentre import turns_unhealthy
from zlh_hooks import wiring
from zlh_hooks.application.desk import Desk
from zlh_hooks.cli.app import app
from zlh_hooks.domain.policy import Policy

HALF = timedelta(minutes=30)


@dataclass
class BenchSite:
    """A site in the simulated world, whose worker does its round when it is summoned."""

    bench: Bench

    @property
    def policy(self) -> Policy:
        return self.bench.policy

    @property
    def clock(self) -> FakeClock:
        return self.bench.clock

    def desk(self) -> Desk:
        return self.bench.desk()

    def summon_worker(self) -> None:
        self.bench.engine().open_soak(self.desk().find(None).plan).tend()


def finalize_after(
    length: timedelta, monkeypatch: pytest.MonkeyPatch, *options: str, answer: str | None = None
) -> tuple[int, str]:
    """Exit code and output; of three guests one turned ill an hour after its proof."""
    late = replace(turns_unhealthy("2"), unhealthy_after=3600)
    bench = Bench(make_policy(windows=[NIGHT], soak="72h")).furnish(3).spoil(5002, behaviour=late)
    bench.run("2")
    bench.deadline += DAY
    bench.clock.sleep(length)
    monkeypatch.setattr(wiring, "open_site", lambda config, policy: BenchSite(bench))
    done = make_runner().invoke(app, ["rollout", "finalize", *options], input=answer)
    return done.exit_code, done.stdout


def test_whoever_orders_it_in_a_window_reads_at_once_whom_it_kept_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = finalize_after(DAY + HALF, monkeypatch, "--yes")
    assert code == 1
    assert "old roots are given up now" in said and "2 old roots given up" in said
    assert "5002 old root kept: " in said and "503" in said
    assert "5001 " not in said


def test_whoever_orders_it_between_windows_reads_when_it_will_be(monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = finalize_after(HALF, monkeypatch, "--yes")
    assert code == 0
    assert "old roots are given up from" in said and "kept" not in said


@pytest.mark.parametrize("answer", ["n\n", None], ids=["no", "nobody there"])
def test_it_names_whom_it_concerns_and_does_nothing_without_a_yes(
    answer: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = finalize_after(DAY + HALF, monkeypatch, answer=answer)
    assert code == 1
    assert "way back of 3 guests (5001, 5002, 5003) for good; else it is kept until 2026-11-26" in said
    assert "finalize ordered" not in said


def test_a_yes_is_an_order(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "finalize ordered" in finalize_after(DAY + HALF, monkeypatch, answer="y\n")[1]
