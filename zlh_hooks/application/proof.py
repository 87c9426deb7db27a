"""Asking a guest's probes until they decide: before a change, after it, and after a revert, by the same rules."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from zlh_hooks.application.ports import Clock, Inventory, Prober
from zlh_hooks.domain.errors import Unreadable
from zlh_hooks.domain.evidence import Measurement, Verdict
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.health import Expected, Facts, HealthRules, Judgement, Outcome, Round, judge
from zlh_hooks.domain.probe import Probe
from zlh_hooks.domain.rollout_outage import EXAMINED_SINCE, HEALTHY_SINCE


@dataclass(frozen=True, slots=True)
class Proof:
    """The judgement, the measurements it rests on (the last round), and since when (aware UTC) was asked."""

    judgement: Judgement
    last: tuple[Measurement, ...]
    began: datetime

    @property
    def facts(self) -> dict[str, dict[str, str]]:
        """Probe label to what it learnt in the last round."""
        return {measurement.probe: dict(measurement.facts) for measurement in self.last}

    def times(self) -> dict[str, Any]:
        """For the ledger: since when was asked and, if it is healthy, since when it has answered well, in ISO 8601."""
        seconds = self.judgement.healthy_from_seconds
        healthy = {} if seconds is None else {HEALTHY_SINCE: (self.began + timedelta(seconds=seconds)).isoformat()}
        return {EXAMINED_SINCE: self.began.isoformat(), **healthy}


@dataclass(frozen=True, slots=True)
class Examiner:
    """Puts health questions to guests. ``meanwhile`` is done between two rounds."""

    prober: Prober
    inventory: Inventory
    clock: Clock
    meanwhile: Callable[[], None] = lambda: None

    def examine(
        self,
        ref: GuestRef,
        probes: Sequence[Probe],
        rules: HealthRules,
        expect: Expected,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> Proof:
        """Ask in rounds until the rules decide, at the latest at their deadline, or until ``interrupted``."""
        rounds: list[Round] = []
        began, began_at = self.clock.monotonic(), self.clock.now()
        pause = min((probe.interval for probe in probes), default=timedelta(seconds=1))
        while True:
            rounds.append(Round(self.clock.monotonic() - began, self._ask(ref, probes)))
            judgement = judge(probes, rounds, rules, self.clock.monotonic() - began, expect)
            if judgement.outcome is not Outcome.WAITING or interrupted():
                return Proof(judgement, rounds[-1].measurements, began_at)
            self.meanwhile()
            self.clock.sleep(pause)

    def ask_once(self, ref: GuestRef, probes: Sequence[Probe]) -> Facts:
        """What the probes report at this moment."""
        return {measurement.probe: dict(measurement.facts) for measurement in self._ask(ref, probes)}

    def _ask(self, ref: GuestRef, probes: Sequence[Probe]) -> tuple[Measurement, ...]:
        try:
            address = self.inventory.read_address(ref)
        except Unreadable as error:
            return tuple(self._fail(probe, str(error)) for probe in probes)
        if len(probes) < 2:
            return tuple(self.prober.measure(probe, ref, address) for probe in probes)
        with ThreadPoolExecutor(max_workers=len(probes)) as pool:
            return tuple(pool.map(lambda probe: self.prober.measure(probe, ref, address), probes))

    def _fail(self, probe: Probe, detail: str) -> Measurement:
        """Nobody knows where to ask: that says nothing of the guest."""
        return Measurement(probe.label, Verdict.ERROR, detail, self.clock.now(), timedelta(0))


def baseline_rules(probes: Sequence[Probe]) -> HealthRules:
    """Before a change: healthy now is enough, and a guest that is not is not waited for longer than its probes need."""
    longest = max(
        (max(p.needed_successes, p.needed_failures) * (p.interval + p.timeout) for p in probes),
        default=timedelta(seconds=1),
    )
    return HealthRules(min_healthy_time=timedelta(0), healthy_deadline=longest)


def find_candidate(smoke: Mapping[str, Any] | None) -> Facts:
    """What a healthy guest of a release reports, from the evidence of its smoke test; nothing if there was none."""
    facts: Facts = (smoke or {}).get("facts", {})
    return facts


def expect_state(*known: Facts) -> Expected:
    """Of what probes reported at one time or another, that which must be one of these after any change: the state."""
    return _expect("state", known)


def expect_version(known: Facts) -> Expected:
    """The version a guest on this root must report."""
    return _expect("version", [known])


def _expect(fact: str, known: Sequence[Facts]) -> Expected:
    labels = dict.fromkeys(label for facts in known for label in facts if fact in facts[label])
    values = {label: [facts[label][fact] for facts in known if fact in facts.get(label, {})] for label in labels}
    return {label: {fact: tuple(dict.fromkeys(allowed))} for label, allowed in values.items()}


def merge_expected(*parts: Expected) -> Expected:
    """Several expectations as one."""
    merged: dict[str, dict[str, tuple[str, ...]]] = {}
    for part in parts:
        for label, facts in part.items():
            merged.setdefault(label, {}).update(facts)
    return merged
