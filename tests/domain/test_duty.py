"""Rules of duties: who may be named where, and what a page may be led to."""

import pytest

from tests.domain.handbook_bench import ADA, STEP, make_tables
from tests.domain.test_component_rule import faults
from zlh_hooks.domain.duty import holders_of
from zlh_hooks.domain.policy import Policy

SYMPTOM = {"title": "No servers", "signal": "orders fail", "time_limit": "10m", "decides": "service", "steps": [STEP]}
CONTACT = {"name": "ZLH", "mail": "support@example.net", "status_page": "https://status.example.net"}
SHARED = {"ours": ["the system"], "customers": ["the code"]}


def test_people_have_roles_that_exist() -> None:
    assert faults(people={"ada": ADA | {"roles": ["platform", "servce"]}}) == [
        ("people.ada.roles.1", '"servce"', 'a name of [roles]: platform, service; did you mean "service"?')
    ]


def test_a_symptom_is_decided_by_a_role_that_exists() -> None:
    assert faults(symptoms={"provisioning": SYMPTOM | {"decides": "ada"}})[0][0] == "symptoms.provisioning.decides"


def test_a_person_has_a_role_once() -> None:
    assert faults(people={"ada": ADA | {"roles": ["platform", "platform"]}}) == [
        ("people.ada.roles", '["platform", "platform"]', "each name once")
    ]


def test_responsibility_is_shared_in_guests_of_a_kind_that_exists() -> None:
    assert faults(responsibility={"dev": SHARED}) == [("responsibility.dev", '"dev"', "a name of [kinds]: none yet")]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mail", "support"),
        ("mail", "a@b.c> <script>"),
        ("status_page", "javascript:alert(1)"),
        ("status_page", "https://status.example.net/a b"),
        ("status_page", 'https://status.example.net/"onclick="x'),
    ],
)
def test_a_contact_is_an_address_and_a_page_and_nothing_besides(key: str, value: str) -> None:
    assert [place for place, *_ in faults(contact=CONTACT | {key: value})] == [f"contact.{key}"]


def test_who_holds_a_role_is_told_in_the_policys_order() -> None:
    bob = ADA | {"name": "Bob", "roles": ["service", "platform"]}
    policy = Policy.model_validate(make_tables(people={"bob": bob, "ada": ADA}))
    assert [person.name for person in holders_of("platform", policy.people)] == ["Bob", "Ada"]
    assert [person.name for person in holders_of("service", policy.people)] == ["Bob"]


PLACES = ("time_zone", "people", "people.ada.mail", "rollout.canary")
NO_PLACES = ("people.bob", "timezone", "people.ada.mail.x", "")


@pytest.mark.parametrize("key", PLACES)
def test_what_is_to_be_confirmed_is_a_place_in_the_policy(key: str) -> None:
    assert Policy.model_validate(make_tables(to_confirm=["contact", key])).to_confirm == ("contact", key)


@pytest.mark.parametrize("key", NO_PLACES)
def test_what_is_no_place_in_the_policy_cannot_be_confirmed(key: str) -> None:
    assert [place for place, *_ in faults(to_confirm=["people", key])] == ["to_confirm.1"]
