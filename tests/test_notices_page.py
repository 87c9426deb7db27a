"""The page on notices says what the code does, and its code does what the page says."""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from tests.adapters.calendar_bench import STAMP, make_event
from tests.clock import START
from zlh_hooks.adapters.directory import COLUMNS, parse_customers, parse_document
from zlh_hooks.adapters.directory_file import parse_table
from zlh_hooks.adapters.feed import render_status
from zlh_hooks.adapters.webhook_shape import PlainShape, render_plain, render_times
from zlh_hooks.domain.notice import Bulletin, Message
from zlh_hooks.settings import load_settings

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "reference" / "notices.md").read_text(encoding="utf-8")


def list_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def list_names(heading: str) -> list[str]:
    """The first column of the table under a heading."""
    table = PAGE.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return re.findall(r"(?m)^\| `([^`]+)` \|", table)


def test_the_page_names_every_column_of_the_directory() -> None:
    assert list_names("column") == list(COLUMNS)


def test_the_directories_on_the_page_are_sound() -> None:
    table, (document, *_) = list_blocks("csv")[0], list_blocks("json")
    assert len(parse_customers(parse_table(table.encode(), "page"), "page")) == 2
    (customer,) = parse_customers(parse_document(document.encode(), "page"), "page")
    assert customer.guests == {5001, 5002}


def test_the_page_names_every_header_and_field_of_a_webhook() -> None:
    message = Message("a", "s", "t", {}, make_event())
    headers = PlainShape("k3y").render("https://x.example/", message, START).headers
    assert list_names("header") == [name for name in headers if name.startswith("X-Zlh")]
    assert json.loads(list_blocks("json")[1]).keys() == render_plain(message).keys()
    fields = PAGE.partition("`event` is null or has ")[2].partition(":")[0]
    assert re.findall("`([^`]+)`", fields) == list(render_times(make_event()))


def test_the_code_on_the_page_tells_a_genuine_message_from_any_other() -> None:
    names: dict[str, object] = {"hmac": hmac, "hashlib": hashlib, "Mapping": Mapping}
    exec(list_blocks("python")[0], names)
    is_genuine = names["is_genuine"]
    assert callable(is_genuine)
    request = PlainShape("k3y").render("https://x.example/", Message("a", "ü", "t"), START)
    now, body = START.timestamp() + 60, request.body
    assert is_genuine(b"k3y", request.headers, body, now)
    assert not is_genuine(b"other", request.headers, body, now)
    assert not is_genuine(b"k3y", request.headers, body + b" ", now)
    assert not is_genuine(b"k3y", {**request.headers, "X-Zlh-Timestamp": str(int(now))}, body, now)
    assert not is_genuine(b"k3y", request.headers, body, now + 600)


def test_the_status_on_the_page_has_the_fields_of_a_real_one() -> None:
    shown = json.loads(list_blocks("json")[2])
    bulletin = Bulletin("scheduled", make_event(), "template", "guest-restart", timedelta(seconds=90), 12, STAMP)
    real = render_status([bulletin], START)
    assert (shown["schema"], list(shown)) == (real["schema"], list(real))
    assert list(shown["bulletins"][0]) == list(real["bulletins"][0])


def test_the_settings_in_the_readme_are_sound(tmp_path: Path) -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    path = tmp_path / "zlh-hooks.toml"
    path.write_text("\n".join(re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)))
    settings = load_settings(path)
    assert settings.directory and settings.mail and settings.webhook and settings.feed and settings.operator
