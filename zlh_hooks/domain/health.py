"""What a series of measurements proves: the same rules before a change, after it and after its revert.

Nothing here waits or asks; ``judge`` is called again after each round with all rounds so far.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from zlh_hooks.domain.duration import render_duration
from zlh_hooks.domain.evidence import Measurement, Verdict
from zlh_hooks.domain.probe import Probe

Facts = Mapping[str, Mapping[str, str]]
"""Probe label to what it learnt."""

Expected = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Probe label to the facts that its healthy answers must state, each as one of the values."""


class Outcome(StrEnum):
    """``inconclusive``: time is over and nothing bad was said of the guest, but it was not proved either."""

    WAITING = "waiting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class HealthRules:
    """How long every probe must be healthy without a break, and by when, counted from the proof's beginning."""

    min_healthy_time: timedelta
    healthy_deadline: timedelta


@dataclass(frozen=True, slots=True)
class Round:
    """All probes asked once. ``at_seconds`` is monotonic, from the beginning of the proof."""

    at_seconds: float
    measurements: tuple[Measurement, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """The decision, one sentence for people, and how many measurements failed by themselves (not the guest's fault).

    ``healthy_from_seconds``: if it is healthy, when the first round was asked since which every answer was healthy.
    """

    outcome: Outcome
    reason: str
    errors: int
    healthy_from_seconds: float | None = None


def judge(
    probes: Sequence[Probe],
    rounds: Sequence[Round],
    rules: HealthRules,
    elapsed_seconds: float,
    expect: Expected | None = None,
) -> Judgement:
    """Decide from ``rounds`` (oldest first), ``elapsed_seconds`` after the proof began.

    ``HEALTHY`` when each probe was healthy in all rounds of the last ``min_healthy_time`` and often enough in a row.
    ``UNHEALTHY`` as soon as a probe that was healthy once has ``needed_failures`` unhealthy answers in a row (errors
    between them neither count nor excuse), or at the deadline. ``INCONCLUSIVE`` at the deadline if the guest would
    have passed had no measurement failed, or if it never gave an unhealthy answer. Rounds begun after the deadline do
    not count. A probe's label is unique among ``probes``.
    """
    deadline = rules.healthy_deadline.total_seconds()
    counted = [each for each in rounds if each.at_seconds <= deadline]
    courses = [_trace(probe, counted, (expect or {}).get(probe.label, {})) for probe in probes]
    outcome, reason = _decide(courses, rules, elapsed_seconds >= deadline)
    errors = sum(m.verdict is Verdict.ERROR for each in counted for m in each.measurements)
    healthy_from = max(course.healthy_from() for course in courses) if outcome is Outcome.HEALTHY else None
    return Judgement(outcome, reason, errors, healthy_from)


@dataclass(frozen=True, slots=True)
class _Course:
    """One probe's answers with their instants in seconds, oldest first, expectations applied."""

    probe: Probe
    answers: tuple[tuple[float, Measurement], ...]

    def streak(self, *verdicts: Verdict) -> tuple[int, float]:
        """How many of the last answers had one of the verdicts, and how many seconds lie between first and last."""
        instants: list[float] = []
        for at, answer in reversed(self.answers):
            if answer.verdict not in verdicts:
                break
            instants.append(at)
        return len(instants), instants[0] - instants[-1] if instants else 0.0

    def healthy_from(self) -> float:
        """When the first of its last unbroken healthy answers was asked for, in seconds."""
        count, _ = self.streak(Verdict.HEALTHY)
        return self.answers[-count][0]

    def is_proved(self, rules: HealthRules, *verdicts: Verdict) -> bool:
        """Whether the last answers with these verdicts are enough, in number and in time."""
        count, seconds = self.streak(*verdicts)
        return count >= self.probe.needed_successes and seconds >= rules.min_healthy_time.total_seconds()

    def has_fallen(self) -> bool:
        """Whether it was healthy once and has failed often enough in a row since."""
        said = [answer.verdict for _, answer in self.answers if answer.verdict is not Verdict.ERROR]
        last = said[-self.probe.needed_failures :]
        return Verdict.HEALTHY in said and last == [Verdict.UNHEALTHY] * self.probe.needed_failures

    def is_guilty(self, rules: HealthRules) -> bool:
        """Whether it would be unproved even if every failed measurement had been healthy."""
        failed = any(answer.verdict is Verdict.UNHEALTHY for _, answer in self.answers)
        return failed and not self.is_proved(rules, Verdict.HEALTHY, Verdict.ERROR)

    def last_detail(self, verdict: Verdict) -> str:
        """``label: detail`` of the last answer with that verdict."""
        details = (answer.detail for _, answer in reversed(self.answers) if answer.verdict is verdict)
        return f"{self.probe.label}: {next(details, 'not asked')}"

    def describe(self, rules: HealthRules) -> str:
        """How far the proof has come, for people."""
        if not self.answers:
            return f"{self.probe.label} was not asked yet"
        last = self.answers[-1][1]
        if last.verdict is not Verdict.HEALTHY:
            return f"{self.probe.label}: {last.detail}"
        count, seconds = self.streak(Verdict.HEALTHY)
        if seconds >= rules.min_healthy_time.total_seconds():
            return f"{self.probe.label} healthy {count} of {self.probe.needed_successes} times in a row"
        so_far = render_duration(timedelta(seconds=round(seconds)))
        return f"{self.probe.label} healthy for {so_far} of {render_duration(rules.min_healthy_time)}"


def _decide(courses: Sequence[_Course], rules: HealthRules, is_over: bool) -> tuple[Outcome, str]:
    if not courses:
        return Outcome.INCONCLUSIVE, "no probes: nothing can be proved"
    open_ones = [course for course in courses if not course.is_proved(rules, Verdict.HEALTHY)]
    if not open_ones:
        return Outcome.HEALTHY, f"every probe healthy for {render_duration(rules.min_healthy_time)}"
    fallen = next((course for course in open_ones if course.has_fallen()), None)
    if fallen is not None:
        what = f"was healthy, then failed {fallen.probe.needed_failures} times in a row"
        return Outcome.UNHEALTHY, f"{what}: {fallen.last_detail(Verdict.UNHEALTHY)}"
    if is_over:
        return _decide_at_deadline(open_ones, rules)
    return Outcome.WAITING, "; ".join(course.describe(rules) for course in open_ones)


def _decide_at_deadline(open_ones: Sequence[_Course], rules: HealthRules) -> tuple[Outcome, str]:
    at = f"at the deadline of {render_duration(rules.healthy_deadline)}"
    guilty = [course.last_detail(Verdict.UNHEALTHY) for course in open_ones if course.is_guilty(rules)]
    if guilty:
        return Outcome.UNHEALTHY, f"{at}: {'; '.join(guilty)}"
    errors = [c.last_detail(Verdict.ERROR) for c in open_ones if any(a.verdict is Verdict.ERROR for _, a in c.answers)]
    if errors:
        return Outcome.INCONCLUSIVE, f"{at} only failed measurements stand in the way: {'; '.join(errors)}"
    slow = "; ".join(course.describe(rules) for course in open_ones)
    return Outcome.INCONCLUSIVE, f"{at} never unhealthy, but not asked for long enough: {slow}"


def _trace(probe: Probe, rounds: Sequence[Round], expected: Mapping[str, tuple[str, ...]]) -> _Course:
    own = ((each.at_seconds, m) for each in rounds for m in each.measurements if m.probe == probe.label)
    return _Course(probe, tuple((at, _compare(measurement, expected)) for at, measurement in own))


def _compare(measurement: Measurement, expected: Mapping[str, tuple[str, ...]]) -> Measurement:
    """A healthy answer that states something else than expected is unhealthy; others stay as they are."""
    wrong = [
        f"{fact} is {measurement.facts.get(fact, 'not reported')}, expected {' or '.join(values)}"
        for fact, values in expected.items()
        if measurement.facts.get(fact) not in values
    ]
    if measurement.verdict is not Verdict.HEALTHY or not wrong:
        return measurement
    return replace(measurement, verdict=Verdict.UNHEALTHY, detail="; ".join(wrong))


def is_installing(facts: Facts) -> bool:
    """Whether an agent says that its guest, which the platform made just now, is still being filled."""
    return any(one.get("state") == "installing" for one in facts.values())
