"""Rules of the policy's values: kinds of guests, batches, and what an editor is told."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.application.rollout_bench import Bench
from zlh_hooks.domain.plan import dump_plan, parse_plan
from zlh_hooks.domain.policy import Policy, RolloutRules, VmidRange
from zlh_hooks.domain.value import Count

LINE = {"data_paths": ["/data"], "probes": [{"kind": "agent"}]}


def make_policy(**kinds: dict[str, Any]) -> Policy:
    return Policy.model_validate(
        {
            "time_zone": "Europe/Berlin",
            "lines": {"base": LINE},
            "kinds": {k: v | {"line": "base"} for k, v in kinds.items()},
        }
    )


def test_a_guest_is_of_the_kind_that_has_its_number() -> None:
    policy = make_policy(game={"vmids": ["5000-5999", "7000"]}, test={"vmids": ["6000-6999"]})
    found = [policy.kind_of(vmid, ()) for vmid in (4999, 5000, 5999, 7000, 6500)]
    assert [kind and kind[0] for kind in found] == [None, "game", "game", "game", "test"]


def test_a_kind_with_tags_takes_only_guests_that_carry_one_of_them() -> None:
    policy = make_policy(game={"vmids": ["5000-5999"], "tags": ["game", "minecraft"]})
    assert policy.kind_of(5001, ("minecraft", "x")) == ("game", policy.kinds["game"])
    assert policy.kind_of(5001, ("x",)) is None


def test_a_guest_with_the_tags_of_two_kinds_is_left_alone() -> None:
    policy = make_policy(game={"vmids": ["5000-5999"], "tags": ["game"]}, web={"vmids": ["5000-5999"], "tags": ["web"]})
    assert policy.kind_of(5001, ("web",)) == ("web", policy.kinds["web"])
    assert policy.kind_of(5001, ("game", "web")) is None


@pytest.mark.parametrize(("dev", "exchanged"), [({}, False), ({"exchange": True}, True), ({"exchange": False}, False)])
def test_roots_of_dev_guests_are_exchanged_only_if_the_policy_says_so(dev: dict[str, bool], exchanged: bool) -> None:
    policy = make_policy(game={"vmids": ["5000"]}, dev={"vmids": ["6000"]} | dev)
    assert (policy.kinds["game"].exchange, policy.kinds["dev"].exchange) == (True, exchanged)


@pytest.mark.parametrize(
    ("rules", "targets", "batches"),
    [
        ({}, 0, ()),
        ({}, 1, (1,)),
        ({}, 10, (1, 3, 5, 1)),
        ({"canary": 3}, 2, (2,)),
        ({"canary": "10%", "waves": [5]}, 21, (3, 5, 5, 5, 3)),
        ({"waves": ["1%"]}, 4, (1, 1, 1, 1)),
        ({"waves": [2, "100%"]}, 7, (1, 2, 4)),
    ],
)
def test_batches_are_the_canary_then_the_waves_of_which_the_last_repeats(
    rules: dict[str, Any], targets: int, batches: tuple[int, ...]
) -> None:
    assert RolloutRules.model_validate(rules).plan_batches(targets) == batches


counts = st.one_of(st.integers(1, 50), st.integers(1, 100).map("{}%".format))


@given(canary=counts, waves=st.lists(counts, min_size=1, max_size=4), targets=st.integers(0, 300))
def test_every_target_is_in_one_batch_and_no_batch_is_empty(
    canary: int | str, waves: list[int | str], targets: int
) -> None:
    batches = RolloutRules.model_validate({"canary": canary, "waves": waves}).plan_batches(targets)
    assert sum(batches) == targets and all(batches)


@given(percent=st.integers(1, 100), total=st.integers(0, 1000))
def test_a_share_is_rounded_up(percent: int, total: int) -> None:
    found = Count(number=percent, is_percent=True).of(total)
    assert found * 100 >= total * percent > (found - 1) * 100 or found == total == 0


def test_a_policy_survives_the_ledger() -> None:
    policy = Policy.model_validate(
        {
            "time_zone": "Europe/Berlin",
            "windows": [
                {
                    "name": "w",
                    "rule": "FREQ=DAILY;INTERVAL=2",
                    "anchor": "2026-11-23",
                    "start": "04:00",
                    "length_minutes": 9,
                }
            ],
            "freezes": [{"name": "f", "first": "2026-12-23", "last": "2026-12-24"}],
            "lines": {"base": LINE | {"after_promote": [{"kind": "url", "url": "https://portal/hook"}]}},
            "kinds": {"dev": {"vmids": ["5000-5999"], "line": "base"}},
            "rollout": {"canary": "1%", "waves": [1, "50%"], "wait_until_empty": "20m"},
        }
    )
    assert Policy.model_validate(policy.model_dump(mode="json")) == policy


def test_ranges_hold_both_their_ends() -> None:
    numbers = VmidRange.model_validate("5000-5002")
    assert (list(numbers.numbers()), str(numbers)) == ([5000, 5001, 5002], "5000-5002")
    assert [vmid in numbers for vmid in (4999, 5000, 5002, 5003)] == [False, True, True, False]


OURS = ("Policy", "WindowRule", "Freeze", "GuestKind", "Line", "RolloutRules", "Role", "Person", "Contact")
OURS += ("ComponentRule", "Consequence", "Step", "Symptom", "Responsibility")
OURS += ("AvailabilityRules", "CreditStep", "WatchRules", "WatchedPoint", "Behind")


def test_the_schema_describes_every_key_of_the_policy() -> None:
    schema = Policy.model_json_schema()
    tables = {"Policy": schema, **schema["$defs"]}
    silent = [
        f"{name}.{key}"
        for name in OURS
        for key, value in tables[name]["properties"].items()
        if not value.get("description")
    ]
    assert silent == []


def test_the_schema_takes_ranges_and_counts_as_the_file_writes_them() -> None:
    tables = Policy.model_json_schema()["$defs"]
    assert tables["VmidRange"]["type"] == "string"
    assert [kind["type"] for kind in tables["Count"]["anyOf"]] == ["integer", "string"]


def test_a_timestamp_counts_for_thirty_days_at_least() -> None:
    """A publishing machine that is away for some weeks must not stop every guest."""
    base = {"time_zone": "Europe/Berlin"}
    assert Policy.model_validate(base | {"agents": {"timestamp_life": "30d"}}).agents.timestamp_life.days == 30
    with pytest.raises(ValidationError, match=r"30d.* at least: so long may nobody publish"):
        Policy.model_validate(base | {"agents": {"timestamp_life": "29d"}})


@pytest.mark.parametrize(("before", "now"), [(True, "any-time"), (False, "never")])
def test_what_exchange_pending_was_is_refused_with_what_to_write_and_still_read_from_a_plan(
    before: bool, now: str
) -> None:
    with pytest.raises(ValidationError, match=f'found {str(before).lower()}, .*expected "{now}"'):
        RolloutRules.model_validate({"exchange_pending": before})
    bench = Bench().furnish(1)
    known = dump_plan(bench.submit("2"))
    known["rules"]["exchange_pending"] = before
    assert parse_plan(known).rules.exchange_pending == now
