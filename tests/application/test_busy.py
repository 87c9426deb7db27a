"""A guest says that it is in work from its exchange to the end of its proof, on its way back likewise, and no longer."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from tests.application.rollout_bench import Bench, make_policy
from tests.datacentre import Crash, turns_unhealthy
from zlh_hooks.application.busy import UNSIGNED
from zlh_hooks.domain import tag
from zlh_hooks.domain.busy import is_busy
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import TargetError
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.steps import RolloutState, TargetState

GUESTS, GUEST = 2, 5001
MINUTE = timedelta(minutes=1)
NIGHT = {"name": "night", "rule": "FREQ=DAILY", "start": "04:20", "length_minutes": 120}
WRITES_OF_A_ROLLOUT = 4
"""What was staged is marked twice; the exchange; its version."""


def tags_of(bench: Bench, vmid: int = GUEST) -> tuple[str, ...]:
    return bench.datacentre.containers[vmid].config.tags


def signs(bench: Bench) -> list[str]:
    return [one for vmid in bench.datacentre.containers for one in tags_of(bench, vmid) if one.startswith(tag.BUSY)]


@dataclass
class Witness:
    """Whether the guest is signed as in work each time that one of these calls is made."""

    bench: Bench
    seen: list[tuple[str, bool]] = field(default_factory=list)

    def watch(self, *methods: str) -> "Witness":
        for method in methods:
            self.bench.datacentre.faults.always(method, self._looking(method), after=False)
        return self

    def _looking(self, method: str) -> Callable[[], None]:
        def look() -> None:
            if GUEST in self.bench.datacentre.faults.log[-1].vmids:
                self.seen.append((method, is_busy(tags_of(self.bench), self.bench.clock.now())))

        return look

    def of(self, method: str) -> set[bool]:
        return {busy for seen, busy in self.seen if seen == method}


def test_a_guest_is_in_work_from_its_exchange_to_its_proof_and_nothing_more_is_written_for_it() -> None:
    bench = Bench().furnish(GUESTS)
    witness = Witness(bench).watch("reboot", "exchange", "move_volume")
    assert bench.run("2").state is RolloutState.SUCCEEDED
    assert (witness.of("move_volume"), witness.of("exchange"), witness.of("reboot")) == ({False}, {False}, {True})
    assert bench.executed("write_config")["write_config", GUEST] == WRITES_OF_A_ROLLOUT
    assert signs(bench) == []


def test_the_sign_stands_while_a_proof_is_waited_for_and_a_worker_that_died_blocks_nobody_for_long() -> None:
    bench = Bench().furnish(GUESTS)
    plan = bench.submit("2")
    bench.datacentre.faults.die_after("reboot", vmid=GUEST)
    with pytest.raises(Crash):
        bench.work(plan)
    rules, now = plan.rules, bench.clock.now()
    longest = rules.shutdown_timeout + rules.start_timeout + rules.healthy_deadline + 2 * MINUTE
    assert is_busy(tags_of(bench), now)
    assert not is_busy(tags_of(bench), now + longest)


def die_in_the_proof(bench: Bench) -> Plan:
    plan = bench.submit("2")
    bench.datacentre.faults.die_after("reboot", vmid=GUEST)
    with pytest.raises(Crash):
        bench.work(plan)
    bench.datacentre.faults.restart()
    bench.deadline += timedelta(hours=8)
    bench.clock.sleep(timedelta(hours=8))
    return plan


def test_a_proof_that_is_taken_up_when_the_sign_has_ended_is_signed_anew() -> None:
    bench = Bench().furnish(GUESTS)
    plan = die_in_the_proof(bench)
    written = bench.executed("write_config")["write_config", GUEST]
    assert bench.work(plan).of(GUEST).state is TargetState.HEALTHY
    assert bench.executed("write_config")["write_config", GUEST] == written + 2  # its sign and its version
    assert signs(bench) == []


def test_a_sign_that_cannot_be_written_costs_a_note_and_nothing_else() -> None:
    bench = Bench().furnish(GUESTS)
    plan = die_in_the_proof(bench)
    bench.datacentre.faults.refuse("write_config", TargetError("no more than 60 tags"), vmid=GUEST)
    assert bench.work(plan).of(GUEST).state is TargetState.HEALTHY
    (note,) = bench.entries(Kind.NOTE, UNSIGNED, GUEST)
    assert "no more than 60 tags" in note.data["reason"]


@pytest.mark.parametrize("story", ["at once", "ordered"])
def test_on_its_way_back_a_guest_is_in_work_from_the_write_to_the_proof(story: str) -> None:
    bench = Bench().furnish(GUESTS)
    if story == "at once":
        bench.spoil(GUEST, behaviour=turns_unhealthy("2"))
    plan = bench.submit("2")
    witness = Witness(bench).watch("reboot")
    progress = bench.work(plan)
    if story == "ordered":
        bench.order("revert")()
        progress = bench.work(plan)
    assert progress.of(GUEST).state is TargetState.REVERTED
    assert [busy for _, busy in witness.seen] == [True, True]
    assert signs(bench) == []


def pending() -> Bench:
    return Bench(make_policy(windows=[NIGHT], exchange_pending="any-time")).furnish(GUESTS)


def test_a_guest_whose_new_root_waits_for_a_restart_is_not_in_work_until_we_restart_it() -> None:
    bench = pending()
    waiting: list[list[str]] = []
    bench.later(10 * MINUTE, lambda: waiting.append(signs(bench)))
    witness = Witness(bench).watch("reboot")
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert (waiting, witness.of("reboot"), signs(bench)) == ([[]], {True}, [])


def test_a_guest_whose_customer_brings_the_new_root_is_in_work_while_that_is_proved() -> None:
    bench = pending()
    bench.later(10 * MINUTE, lambda: bench.datacentre.restart_inside(GUEST))
    proving: list[bool] = []
    bench.later(10 * MINUTE + timedelta(seconds=12), lambda: proving.append(is_busy(tags_of(bench), bench.clock.now())))
    plan = bench.submit("2")
    assert bench.work(plan).of(GUEST).state is TargetState.HEALTHY
    assert (proving, signs(bench)) == ([True], [])


def test_what_a_guest_was_signed_with_goes_with_an_exchange_that_is_taken_back() -> None:
    bench = Bench().furnish(GUESTS)
    second = 5002
    edit = bench.datacentre.edit_config
    bench.datacentre.faults.afterwards("exchange", lambda: edit(second, lock="backup"), vmid=second)
    bench.later(timedelta(hours=1), lambda: edit(second, lock=""))
    plan = bench.submit("2")
    assert bench.work(plan).of(second).state is not TargetState.SKIPPED
    assert bench.tend(plan, timedelta(hours=2)).of(second).state is TargetState.SKIPPED
    assert bench.runs(second) == "1"
    assert signs(bench) == []
