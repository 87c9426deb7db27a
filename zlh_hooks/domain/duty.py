"""Who answers for what, as the policy writes it: roles and people, who decides at which symptom, what is whose."""

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from zlh_hooks.domain.component_rule import ComponentRule, Sentence, Step
from zlh_hooks.domain.flaw import Misfit, Place, render_found, render_hint
from zlh_hooks.domain.value import PositiveDuration, Value
from zlh_hooks.domain.window_rule import Component

MailAddress = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9._+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$", examples=["support@example.net"])
]
PageUrl = Annotated[
    str, Field(pattern=r"^https?://[^\s/<>\"\\]+[^\s<>\"\\]*$", examples=["https://status.example.net"])
]


def _check_unique(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        raise ValueError("each name once")
    return names


class Role(Value):
    """A duty that somebody always has."""

    title: Sentence = Field(description="How people call it.")
    duty: Sentence = Field(description="What whoever has it answers for.")


class Person(Value):
    """Somebody on duty."""

    name: Sentence = Field(description="As colleagues call them.")
    roles: Annotated[tuple[str, ...], AfterValidator(_check_unique)] = Field(
        min_length=1, description="Names of [roles]."
    )
    mail: MailAddress = Field(description="Where they read.")
    phone: str = Field(default="", pattern=r"^[0-9+() /-]*$", description="Where they are woken.")
    keys: tuple[Sentence, ...] = Field(default=(), description="Keys, tokens and accounts that they hold.")


class Contact(Value):
    """How customers reach the platform, and where they look."""

    name: Sentence = Field(description="How customers call the platform.")
    mail: MailAddress = Field(description="Where customers write.")
    status_page: PageUrl = Field(description="Where customers see what is going on.")


class Symptom(Value):
    """A sign that a change goes back, whatever its plan says."""

    title: Sentence = Field(description="What is broken.")
    signal: Sentence = Field(description="What is seen, and where.")
    time_limit: PositiveDuration = Field(description="Not better after so long: go back.")
    decides: str = Field(description="The role that decides; nobody else need be asked.")
    steps: tuple[Step, ...] = Field(min_length=1, description="How to go back.")
    reason: str = Field(default="", description="Why this limit.")


class Responsibility(Value):
    """Inside one kind of guest: what we look after, and what the customer does."""

    ours: tuple[Sentence, ...] = Field(min_length=1, description="What we patch, keep and bring back.")
    customers: tuple[Sentence, ...] = Field(min_length=1, description="What is the customer's own.")


def check_roles(
    roles: Mapping[str, Role],
    people: Mapping[str, Person],
    components: Mapping[Component, ComponentRule],
    symptoms: Mapping[str, Symptom],
) -> None:
    """``Misfit``, counted from the policy, if somebody or something names a role that is not there."""
    named: list[tuple[Place, str]] = []
    for component, rule in components.items():
        named += [(("components", component, "owner"), rule.owner), (("components", component, "deputy"), rule.deputy)]
    named += [(("symptoms", name, "decides"), symptom.decides) for name, symptom in symptoms.items()]
    for name, person in people.items():
        named += [(("people", name, "roles", position), role) for position, role in enumerate(person.roles)]
    for place, role in named:
        if role not in roles:
            raise Misfit(place, render_found(role), _expect("roles", role, roles))


def check_kinds(responsibility: Iterable[str], kinds: Iterable[str]) -> None:
    """``Misfit``, counted from the policy, if responsibility is shared in guests of no kind."""
    known = sorted(kinds)
    for name in responsibility:
        if name not in known:
            raise Misfit(("responsibility", name), render_found(name), _expect("kinds", name, known))


def _expect(table: str, word: str, names: Iterable[str]) -> str:
    known = sorted(names)
    return f"a name of [{table}]: {', '.join(known) or 'none yet'}{render_hint(word, known)}"


def holders_of(role: str, people: Mapping[str, Person]) -> tuple[Person, ...]:
    """Who has the role, in the policy's order."""
    return tuple(person for person in people.values() if role in person.roles)
