"""Rules of a person's word: what may be said, what of it is kept, and when it counts no more."""

from datetime import UTC, datetime
from typing import Any

import pytest

from zlh_hooks.domain.attestation import (
    Attestation,
    describe,
    digest_policy,
    drop_confirmed,
    is_confirmed,
    list_keys,
    may_attest,
    read_attestations,
    render_value,
)
from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.policy import Policy
from zlh_hooks.settings import SHIPPED_POLICY, load_policy

NOW = datetime(2026, 11, 25, tzinfo=UTC)
PEOPLE = {
    "ada": {"name": "Ada", "roles": ["platform", "on-call"], "mail": "ada@example.com", "phone": "+43 1"},
    "bob": {"name": "Bob", "roles": ["service"], "mail": "bob@example.com"},
}


def change(**tables: Any) -> Policy:
    shipped = load_policy(SHIPPED_POLICY).model_dump(mode="json", exclude_defaults=True)
    return Policy.model_validate(shipped | {"people": PEOPLE} | tables)


POLICY = change()


def say(policy: Policy, key: str) -> dict[str, Attestation]:
    data = {"key": key, "author": "ada@desk", "note": "", **describe(policy, key)}
    return read_attestations([Entry(1, NOW, Kind.COMMAND, "attested", "", None, data, "", "")])


def test_what_can_be_attested_follows_from_the_policy() -> None:
    keys = list_keys(POLICY)
    assert keys[:3] == ("confirmed.time_zone", "confirmed.contact", "confirmed.people")
    assert {"backup-restored", "monitoring-first", "rehearsed.pbs", "drilled.ada"} <= set(keys)
    assert not {"rehearsed.template", "drilled.bob"} & set(keys)


@pytest.mark.parametrize("key", ["backup", "rehearsed.template", "drilled.eve", "confirmed.time_zon", "confirmed."])
def test_nothing_else_can_be_attested(key: str) -> None:
    assert not may_attest(POLICY, key)


def test_while_no_symptom_says_who_decides_everybody_goes_through_a_drill() -> None:
    assert {"drilled.ada", "drilled.bob"} <= set(list_keys(change(symptoms={})))


def test_the_latest_word_counts() -> None:
    data = {"key": "backup-restored", "author": "ada", "note": "42 minutes"}
    first, second = (Entry(n, NOW, Kind.COMMAND, "attested", "", None, data | {"n": n}, "", "") for n in (1, 2))
    later = Entry(3, NOW, Kind.COMMAND, "attested", "", None, data | {"author": "bob"}, "", "")
    assert read_attestations([first, second, later])["backup-restored"].author == "bob"


def test_a_confirmed_value_is_confirmed_until_it_changes() -> None:
    word = say(POLICY, "confirmed.time_zone")
    assert is_confirmed(POLICY, "time_zone", word)
    assert not is_confirmed(change(time_zone="Asia/Tokyo"), "time_zone", word)
    assert is_confirmed(change(people={"ada": PEOPLE["ada"]}), "time_zone", word)


def test_a_confirmed_table_is_confirmed_until_anything_in_it_changes() -> None:
    word = say(POLICY, "confirmed.people")
    other = PEOPLE | {"bob": PEOPLE["bob"] | {"phone": "+43 2"}}
    assert (is_confirmed(POLICY, "people", word), is_confirmed(change(people=other), "people", word)) == (True, False)


def test_the_record_shows_a_value_and_of_people_nothing_that_could_not_be_taken_back() -> None:
    assert describe(POLICY, "confirmed.time_zone")["value"] == '"Europe/Berlin"'
    kept = describe(POLICY, "confirmed.people")
    assert (kept["value"], "+43" in str(kept)) == ("ada and bob", False)
    assert (render_value(POLICY, "windows"), render_value(change(people={}), "people")) == (
        "an array",
        "an empty table",
    )
    assert describe(POLICY, "backup-restored") == {}


def test_what_is_confirmed_is_on_no_page_to_be_confirmed_and_pages_are_of_another_policy_then() -> None:
    confirmed = drop_confirmed(POLICY, say(POLICY, "confirmed.contact"))
    assert confirmed.to_confirm == ("time_zone", "people", "kinds", "lines", "availability")
    assert digest_policy(confirmed) != digest_policy(POLICY)
    assert digest_policy(POLICY) == digest_policy(change())
