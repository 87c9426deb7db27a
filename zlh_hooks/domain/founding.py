"""The files of a new site: what is asked because it differs from site to site, and the texts that follow from it."""

import json
import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field, ValidationError

from zlh_hooks.domain.duty import MailAddress, PageUrl
from zlh_hooks.domain.value import AbsolutePath, Value, ZoneName

ROLES = ("platform", "service")
"""The shipped policy's roles that two people share; both are on call."""
ON_CALL = "on-call"
NOT_ASKED = ("kinds", "lines", "availability")
"""What nobody can answer at a prompt: numbers of servers, where customer data lies, and what is promised."""
ASKED: tuple[str, ...] = ("time_zone", "contact", "people")
Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")]
Phone = Annotated[str, Field(pattern=r"^[0-9+() /-]*$")]
HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9.:-]+$")]
TokenUser = Annotated[str, Field(pattern=r"^[^@!\s]+@[^@!\s]+$")]
TokenName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9._-]*$")]


class Answers(Value):
    """What differs from site to site; the defaults are placeholders that a person replaces."""

    time_zone: ZoneName
    name: Name = "ZLH"
    mail: MailAddress = "support@example.net"
    status_page: PageUrl = "https://status.example.net"
    first_name: Name = "First person"
    first_mail: MailAddress = "first@example.net"
    first_phone: Phone = ""
    second_name: Name = "Second person"
    second_mail: MailAddress = "second@example.net"
    second_phone: Phone = ""
    host: HostName = "pve1.example.net"
    user: TokenUser = "zlh@pve"
    token_name: TokenName = "hooks"  # noqa: S105 -- its name, not its secret
    token_file: AbsolutePath


QUESTIONS: tuple[tuple[str, str], ...] = (
    ("time_zone", "Time zone in which most customers sleep"),
    ("name", "How customers call the platform"),
    ("mail", "Where customers write"),
    ("status_page", "Where customers see what is going on"),
    ("first_name", "Who answers for hosts, backups, router and monitoring"),
    ("first_mail", "Their mail"),
    ("first_phone", "Their phone"),
    ("second_name", "Who answers for API, portal, templates, agents and edge"),
    ("second_mail", "Their mail"),
    ("second_phone", "Their phone"),
    ("host", "A Proxmox VE host, by the name in its certificate"),
    ("user", "The API token's user"),
    ("token_name", "The API token's name"),
    ("token_file", "File in which the token's secret will lie"),
)


def check_answer(key: str, text: str) -> str:
    """The answer if it may stand there; ``ValueError`` says what would be right."""
    others = {"time_zone": "UTC", "token_file": "/etc/zlh-hooks/token"}
    try:
        Answers.model_validate({**others, key: text})
    except ValidationError as error:
        [flaw, *_] = error.errors()
        raise ValueError(str(flaw.get("ctx", {}).get("error") or flaw["msg"])) from error
    return text


def render_site(answers: Answers, unconfirmed: Iterable[str]) -> str:
    """``policy.d/site.toml``."""
    contact = {"name": answers.name, "mail": answers.mail, "status_page": answers.status_page}
    tables = [("contact", contact), *_list_people(answers)]
    return "\n".join(
        [
            "# What differs here from policy.toml. Made by `zlh-hooks init`; yours to change.",
            f"time_zone = {_quote(answers.time_zone)}",
            "",
            "# What a person looks at before the launch. `zlh-hooks ready` says what nobody has confirmed yet.",
            f"to_confirm = {_quote(list(unconfirmed))}",
            *(line for name, table in tables for line in _render_table(name, table)),
            "",
        ]
    )


def _list_people(answers: Answers) -> list[tuple[str, dict[str, Any]]]:
    """Who has both duties is one person, with one table."""
    first = {"name": answers.first_name, "mail": answers.first_mail, "phone": answers.first_phone}
    second = {"name": answers.second_name, "mail": answers.second_mail, "phone": answers.second_phone}
    if _make_key(answers.first_name, "first") == _make_key(answers.second_name, "second"):
        return [(f"people.{_make_key(answers.first_name, 'first')}", _with_duties(first, ROLES))]
    return [
        (f"people.{_make_key(str(person['name']), other)}", _with_duties(person, (role,)))
        for person, role, other in zip((first, second), ROLES, ("first", "second"), strict=True)
    ]


def _with_duties(person: dict[str, Any], roles: Iterable[str]) -> dict[str, Any]:
    return {**person, "roles": [*roles, ON_CALL], "keys": []}


def _make_key(name: str, other: str) -> str:
    """A short name for the table; ``other`` where nothing of the name can stand in a bare key."""
    return "-".join(re.findall(r"[a-z0-9]+", name.lower())) or other


def render_settings(answers: Answers) -> str:
    """``zlh-hooks.toml``."""
    reach = {
        "host": answers.host,
        "user": answers.user,
        "token_name": answers.token_name,
        "token_file": str(answers.token_file),
    }
    lines = ["# How to reach things; the token's secret lies in a file of its own.", *_render_table("proxmox", reach)]
    return "\n".join([*lines, ""])


def _render_table(name: str, table: dict[str, Any]) -> list[str]:
    return ["", f"[{name}]", *(f"{key} = {_quote(value)}" for key, value in table.items())]


def _quote(value: object) -> str:
    """JSON's texts and lists of texts are TOML's too."""
    return json.dumps(value, ensure_ascii=False)
