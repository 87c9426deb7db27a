"""What a series of measurements proves, stated as rules an operator could disagree with."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zlh_hooks.domain.evidence import Measurement, Verdict
from zlh_hooks.domain.health import HealthRules, Judgement, Outcome, Round, judge
from zlh_hooks.domain.probe import Probe, TcpProbe

AT = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
RULES = HealthRules(min_healthy_time=timedelta(seconds=10), healthy_deadline=timedelta(seconds=60))
WORDS = {"H": Verdict.HEALTHY, "U": Verdict.UNHEALTHY, "E": Verdict.ERROR}


def tcp(name: str = "game", successes: int = 1, failures: int = 3) -> TcpProbe:
    return TcpProbe(kind="tcp", name=name, port=25565, needed_successes=successes, needed_failures=failures)


def answer(word: str, probe: str = "game", facts: Mapping[str, str] | None = None) -> Measurement:
    return Measurement(
        probe, WORDS[word], {"H": "ok", "U": "refused", "E": "no route"}[word], AT, timedelta(0), facts or {}
    )


def series(words: str, step: float = 1.0, names: Sequence[str] = ("game",)) -> list[Round]:
    """``"UHH"``: one round each ``step`` seconds; for several probes, ``"UH HH"`` has one word per round."""
    rounds = words.split() if len(names) > 1 else list(words)
    return [
        Round(i * step, tuple(answer(w, n) for w, n in zip(word, names, strict=True))) for i, word in enumerate(rounds)
    ]


def judged(words: str, probe: Probe | None = None, elapsed: float | None = None, step: float = 1.0) -> Judgement:
    rounds = series(words, step)
    return judge([probe or tcp()], rounds, RULES, (len(words) - 1) * step if elapsed is None else elapsed)


def test_a_guest_healthy_for_the_whole_minimum_time_is_healthy() -> None:
    assert judged("H" * 11).outcome is Outcome.HEALTHY


def test_a_guest_healthy_for_less_than_the_minimum_time_is_waited_for() -> None:
    judgement = judged("H" * 10)
    assert judgement.outcome is Outcome.WAITING
    assert judgement.reason == "game healthy for 9s of 10s"


def test_one_unhealthy_answer_starts_the_minimum_time_anew() -> None:
    assert judged("H" * 9 + "U" + "H" * 10).outcome is Outcome.WAITING
    assert judged("H" * 9 + "U" + "H" * 11).outcome is Outcome.HEALTHY


def test_one_failed_measurement_starts_the_minimum_time_anew_and_is_counted_as_an_error() -> None:
    judgement = judged("H" * 9 + "E" + "H" * 10)
    assert (judgement.outcome, judgement.errors) == (Outcome.WAITING, 1)
    assert judged("H" * 9 + "E" + "H" * 11).outcome is Outcome.HEALTHY


def test_without_a_minimum_time_one_healthy_round_is_enough() -> None:
    rules = HealthRules(timedelta(0), timedelta(seconds=12))
    assert judge([tcp()], series("H"), rules, 0.0).outcome is Outcome.HEALTHY


def test_a_probe_that_needs_three_successes_in_a_row_is_not_content_with_two() -> None:
    rules = HealthRules(timedelta(0), timedelta(seconds=60))
    assert judge([tcp(successes=3)], series("HHUHH"), rules, 5).outcome is Outcome.WAITING
    assert judge([tcp(successes=3)], series("HHUHHH"), rules, 6).outcome is Outcome.HEALTHY


def test_every_probe_must_be_healthy_not_just_most() -> None:
    rounds = series("HU " * 11, names=("agent", "game"))
    assert judge([tcp("agent"), tcp("game")], rounds, RULES, 11).outcome is Outcome.WAITING


def test_a_slow_boot_is_not_a_failure() -> None:
    assert judged("U" * 50 + "H" * 11).outcome is Outcome.HEALTHY


def test_a_guest_that_never_answers_is_unhealthy_at_the_deadline_and_not_before() -> None:
    assert judged("U" * 59).outcome is Outcome.WAITING
    judgement = judged("U" * 61)
    assert judgement.outcome is Outcome.UNHEALTHY
    assert judgement.reason == "at the deadline of 1m: game: refused"


def test_a_guest_that_was_healthy_and_fails_thrice_in_a_row_is_unhealthy_at_once() -> None:
    assert judged("HUU").outcome is Outcome.WAITING
    judgement = judged("HUUU")
    assert judgement.outcome is Outcome.UNHEALTHY
    assert judgement.reason == "was healthy, then failed 3 times in a row: game: refused"


def test_errors_between_unhealthy_answers_neither_count_nor_excuse() -> None:
    assert judged("HUEUE").outcome is Outcome.WAITING
    assert judged("HUEUEU").outcome is Outcome.UNHEALTHY


def test_errors_alone_never_make_a_guest_unhealthy() -> None:
    judgement = judged("HEEEEE", elapsed=60)
    assert (judgement.outcome, judgement.errors) == (Outcome.INCONCLUSIVE, 5)
    assert judgement.reason == "at the deadline of 1m only failed measurements stand in the way: game: no route"


def test_unhealthy_answers_right_before_the_deadline_are_not_excused_by_a_last_error() -> None:
    assert judged("U" * 58 + "EE", elapsed=60).outcome is Outcome.UNHEALTHY


def test_a_guest_whose_only_interruption_is_an_error_is_inconclusive_at_the_deadline() -> None:
    assert judged("U" * 40 + "H" * 12 + "E" + "HHHHHHH", elapsed=60).outcome is Outcome.INCONCLUSIVE


def test_one_unhealthy_probe_outweighs_another_that_could_not_be_measured() -> None:
    rounds = series("EU " * 60, names=("agent", "game"))
    judgement = judge([tcp("agent"), tcp("game")], rounds, RULES, 60)
    assert (judgement.outcome, judgement.reason) == (Outcome.UNHEALTHY, "at the deadline of 1m: game: refused")


def test_a_guest_that_never_failed_but_was_asked_too_seldom_is_inconclusive() -> None:
    judgement = judged("HH", step=8.0, elapsed=60)
    assert judgement.outcome is Outcome.INCONCLUSIVE
    assert (
        judgement.reason
        == "at the deadline of 1m never unhealthy, but not asked for long enough: game healthy for 8s of 10s"
    )


def test_answers_after_the_deadline_do_not_count() -> None:
    assert judged("U" * 55 + "H" * 20).outcome is Outcome.UNHEALTHY


def test_without_probes_nothing_is_proved() -> None:
    assert judge([], [Round(0.0, ())], RULES, 0.0) == Judgement(
        Outcome.INCONCLUSIVE, "no probes: nothing can be proved", 0
    )


def test_a_probe_that_has_not_answered_yet_is_waited_for() -> None:
    rounds = series("H" * 20)
    judgement = judge([tcp(), tcp("agent")], rounds, RULES, 19)
    assert (judgement.outcome, judgement.reason) == (Outcome.WAITING, "agent was not asked yet")


@pytest.mark.parametrize(
    ("facts", "detail"),
    [
        ({"state": "crashed"}, "state is crashed, expected running"),
        ({}, "state is not reported, expected running"),
    ],
)
def test_an_unexpected_fact_makes_a_healthy_answer_unhealthy_and_says_both(facts: dict[str, str], detail: str) -> None:
    rounds = [Round(float(i), (answer("H", facts=facts),)) for i in range(61)]
    judgement = judge([tcp()], rounds, RULES, 60, {"game": {"state": ("running",)}})
    assert (judgement.outcome, judgement.reason) == (Outcome.UNHEALTHY, f"at the deadline of 1m: game: {detail}")


def test_expected_facts_that_are_met_change_nothing() -> None:
    rounds = [Round(float(i), (answer("H", facts={"state": "running", "players": "3"}),)) for i in range(11)]
    assert judge([tcp()], rounds, RULES, 10, {"game": {"state": ("running",)}}).outcome is Outcome.HEALTHY


def test_an_agent_whose_state_changes_after_it_was_as_expected_fails_early() -> None:
    states = ["running", "crashed", "crashed", "crashed"]
    rounds = [Round(float(i), (answer("H", facts={"state": s}),)) for i, s in enumerate(states)]
    assert judge([tcp()], rounds, RULES, 3, {"game": {"state": ("running",)}}).outcome is Outcome.UNHEALTHY


WORD_LISTS = st.lists(st.tuples(st.sampled_from("HUE"), st.sampled_from("HUE")), min_size=1, max_size=40)
STEPS = st.floats(0.1, 10)
PROBES = st.builds(lambda s, f: (tcp("agent", s, f), tcp("game", f, s)), st.integers(1, 4), st.integers(1, 4))


def rounds_of(words: Sequence[tuple[str, str]], step: float) -> list[Round]:
    return [Round(i * step, (answer(a, "agent"), answer(g, "game"))) for i, (a, g) in enumerate(words)]


@settings(deadline=None)
@given(WORD_LISTS, STEPS, PROBES)
def test_never_healthy_before_the_minimum_time_nor_unless_the_last_round_is(
    words: list[tuple[str, str]], step: float, probes: tuple[Probe, Probe]
) -> None:
    rounds = rounds_of(words, step)
    if judge(probes, rounds, RULES, rounds[-1].at_seconds).outcome is Outcome.HEALTHY:
        assert rounds[-1].at_seconds >= 10
        inside = [r for r in rounds if rounds[-1].at_seconds - 10 <= r.at_seconds <= 60]
        assert {m.verdict for r in inside for m in r.measurements} <= {Verdict.HEALTHY}


@settings(deadline=None)
@given(WORD_LISTS, STEPS, PROBES, st.floats(60, 1000))
def test_decided_at_the_latest_at_the_deadline(
    words: list[tuple[str, str]], step: float, probes: tuple[Probe, Probe], elapsed: float
) -> None:
    assert judge(probes, rounds_of(words, step), RULES, elapsed).outcome is not Outcome.WAITING


@settings(deadline=None)
@given(WORD_LISTS, STEPS, PROBES, st.floats(0, 1000))
def test_unhealthy_only_if_the_guest_itself_failed_and_inconclusive_only_at_the_deadline(
    words: list[tuple[str, str]], step: float, probes: tuple[Probe, Probe], elapsed: float
) -> None:
    outcome = judge(probes, rounds_of(words, step), RULES, elapsed).outcome
    if outcome is Outcome.UNHEALTHY:
        assert any("U" in pair for pair in words)
    if outcome is Outcome.INCONCLUSIVE:
        assert elapsed >= 60


@settings(deadline=None)
@given(WORD_LISTS, STEPS, PROBES)
def test_every_failed_measurement_is_counted_once(
    words: list[tuple[str, str]], step: float, probes: tuple[Probe, Probe]
) -> None:
    rounds = rounds_of(words, step)
    asked_in_time = [pair for pair, r in zip(words, rounds, strict=True) if r.at_seconds <= 60]
    assert judge(probes, rounds, RULES, 60).errors == sum(pair.count("E") for pair in asked_in_time)


@settings(deadline=None)
@given(st.lists(st.sampled_from("HUE"), min_size=1, max_size=30), st.integers(0, 29))
def test_turning_an_error_into_a_healthy_answer_never_makes_the_judgement_worse(words: list[str], place: int) -> None:
    rank = {Outcome.UNHEALTHY: 0, Outcome.INCONCLUSIVE: 1, Outcome.HEALTHY: 2}
    place %= len(words)
    if words[place] != "E" or words.count("H") == 0:
        return
    better = [*words[:place], "H", *words[place + 1 :]]
    probe = tcp(failures=30)
    before, after = (judged("".join(w), probe, elapsed=60) for w in (words, better))
    assert rank[after.outcome] >= rank[before.outcome]
