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
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.steps import TargetState

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
    bench.deadline += length
    bench.clock.sleep(length)
    return finalize(bench, monkeypatch, *options, answer=answer)


def finalize(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *options: str, answer: str | None = None
) -> tuple[int, str]:
    """Exit code and output; of the latest rollout."""
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


def test_one_whose_proof_is_still_owed_is_named_too_because_it_loses_its_old_root_once_it_is_proved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(make_policy(windows=[NIGHT], soak="72h")).furnish(2)
    bench.datacentre.power_off(5002)
    assert bench.run("2").of(5002).state is TargetState.PROVING
    assert "way back of 2 guests (5001, 5002) for good" in finalize(bench, monkeypatch, answer="n\n")[1]


def test_whose_time_is_over_already_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    said = finalize_after(4 * DAY, monkeypatch, answer="n\n")[1]
    assert "its time was over at 2026-11-26" in said and "goes in the next window" in said


def test_one_guest_is_no_guests(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(make_policy(windows=[NIGHT], soak="72h")).furnish(1)
    bench.run("2")
    assert "way back of 1 guest (5001) for good" in finalize(bench, monkeypatch, answer="n\n")[1]


def test_what_cannot_be_finalized_is_refused_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(make_policy(windows=[NIGHT])).furnish(1)
    bench.submit("2")
    monkeypatch.setattr(wiring, "open_site", lambda config, policy: BenchSite(bench))
    done = make_runner().invoke(app, ["rollout", "finalize"], input="y\n")
    assert isinstance(done.exception, NotAllowed)
    assert "is PLANNED: it cannot finalize; what it can: abort" in str(done.exception) and "Give up" not in done.stdout


def test_nobody_is_asked_about_no_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(make_policy(windows=[NIGHT], soak="1h")).furnish(1)
    plan = bench.submit("2")
    bench.work(plan)
    assert bench.tend(plan, DAY + HALF).count(TargetState.SETTLED) == 1
    code, said = finalize(bench, monkeypatch)
    assert code == 0
    assert said == f"nothing to do: no guest of {plan.id} has a way back to give up\n"


def test_a_yes_is_an_order(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "finalize ordered" in finalize_after(DAY + HALF, monkeypatch, answer="y\n")[1]
