"""Rules of pages: text of the policy stays text, and HTML is what browsers and screen readers need."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.domain.handbook_bench import STEP, make_component, make_tables
from zlh_hooks.adapters.markdown import render_html
from zlh_hooks.adapters.page_template import escape_cell, escape_markdown, render_block, render_frame, render_markdown
from zlh_hooks.domain.handbook import Handbook, Page
from zlh_hooks.domain.policy import Policy


class Reader(HTMLParser):
    """What a browser sees: elements in their order, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.text = list[str](), ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def squeeze(text: str) -> str:
    """Without blanks, unseen signs and the quotes of code."""
    return "".join(one for one in text if one.isprintable() and one not in " `'")


hostile = st.text(alphabet=st.sampled_from("ab1.)-+*_#=>< |`~\\[](!&;:\"'\n\t/$^{}%"), max_size=40) | st.text(
    max_size=40
)


@given(text=hostile)
def test_no_text_becomes_anything_but_text_and_code(text: str) -> None:
    seen = Reader(render_html(f"{escape_markdown(text)}\n"))
    assert set(seen.tags) <= {"p", "code"}
    assert squeeze(seen.text) == squeeze(text)


@given(text=hostile)
def test_no_text_leaves_its_list_item_or_its_cell(text: str) -> None:
    item = Reader(render_html(f"- {escape_markdown(text)}\n- end\n"))
    assert item.tags.count("ul") == 1 and item.tags.count("li") == 2
    cells = Reader(render_html(f"| a | b |\n|---|---|\n| {escape_cell(text)} | end |\n"))
    assert (cells.tags.count("td"), cells.tags.count("tr")) == (2, 2)


@given(text=hostile)
def test_no_command_leaves_its_block(text: str) -> None:
    seen = Reader(render_html(f"1. step\n\n   {render_block(text).replace(chr(10), chr(10) + '   ')}\n\n   after\n"))
    assert [tag for tag in seen.tags if tag not in ("p", "code")] == ["ol", "li", "pre"]


def test_words_between_backticks_are_code_and_a_lone_backtick_is_none() -> None:
    assert escape_markdown("`uname -r` says *X*") == r"`uname -r` says \*X\*"
    assert escape_markdown("a ` b") == "a ' b"


def test_a_number_with_a_point_in_it_begins_no_list_and_stays_as_it_is() -> None:
    assert [escape_markdown(text) for text in ("99.5", "1. x", "1.")] == ["99.5", r"1\. x", r"1\."]


EVIL = "<script>alert(1)</script> [x](javascript:alert(1)) ![y](https://evil.example/z) \n# H\n- l | c"


def make_evil() -> Policy:
    """Every text that a policy's author chooses freely."""
    step = STEP | {"do": EVIL, "by_hand": EVIL + "\n```\n" + EVIL, "expect": EVIL}
    component = make_component(
        title=EVIL, felt=EVIL, reason=EVIL, point_of_no_return=EVIL, steps=[step], way_back=[step],
        consequences=[{"impact": "restart", "what": EVIL, "evidence": EVIL}],
    )  # fmt: skip
    roles: dict[str, Any] = {name: {"title": EVIL, "duty": EVIL} for name in ("platform", "service")}
    window = {"name": EVIL, "rule": "FREQ=DAILY", "start": "04:00", "length_minutes": 60, "reason": EVIL}
    freeze = {"name": EVIL, "first": "2026-12-01", "last": "2026-12-02", "reason": EVIL}
    symptom = {"title": EVIL, "signal": EVIL, "time_limit": "5m", "decides": "service", "steps": [step], "reason": EVIL}
    ladder = {"leads": ["24h"], "reason": EVIL}
    person = {"name": EVIL, "roles": ["platform"], "mail": "a@example.net", "keys": [EVIL]}
    contact = {"name": EVIL, "mail": "a@example.net", "status_page": "https://status.example.net"}
    probe = {"kind": "tcp", "port": 443}
    point = {"title": EVIL, "component": "edge", "probe": probe, "behind": {"nodes": [EVIL]}, "reason": EVIL}
    availability = {
        "goal_percent": 99,
        "reason": EVIL,
        "credits": [{"below_percent": 98, "credit_percent": 5, "reason": EVIL}],
        "watch": {"reference": probe, "points": {"edge": point}},
    }
    return Policy.model_validate(
        make_tables(
            availability=availability,
            roles=roles, people={"x": person}, components={"pbs": component}, windows=[window], freezes=[freeze],
            symptoms={"x": symptom}, notices={"ladders": [ladder]}, contact=contact,
            lines={"a": {"data_paths": ["/a\n```\n<script>"], "probes": [{"kind": "agent"}]}},
            kinds={EVIL: {"vmids": ["5000"], "line": "a"}}, responsibility={EVIL: {"ours": [EVIL], "customers": [EVIL]}},
        )
    )  # fmt: skip


@pytest.mark.parametrize("page", Page)
def test_no_page_does_what_a_text_of_the_policy_says(page: Page) -> None:
    book = Handbook(make_evil())
    html = render_frame(page, book, render_html(render_markdown(page, book)), tuple(Page))
    tags = Reader(html).tags
    assert not {"script", "img"} & set(tags)
    assert "javascript:" not in re.sub(r">[^<]*<", "><", html)
    assert tags.count("h1") == 1


@pytest.mark.parametrize("page", Page)
def test_a_policy_that_says_next_to_nothing_has_pages_all_the_same(page: Page) -> None:
    text = render_markdown(page, Handbook(Policy(time_zone="UTC")))
    assert text.startswith("# ")
    assert "None" not in text


def test_columns_are_told_to_screen_readers_and_a_wide_table_scrolls_in_its_own_frame() -> None:
    html = render_html("| a |\n|---|\n| b |\n")
    assert '<th scope="col">' in html
    assert re.match(r'<div class="table" tabindex="0" role="region" aria-label="[^"]+"', html)


def test_headings_have_the_names_that_links_use_and_each_its_own() -> None:
    html = render_html("## Hosts (Proxmox VE)\n\n## Do\n\n## Do\n")
    assert re.findall(r'id="([^"]+)"', html) == ["hosts-proxmox-ve", "do", "do-1"]


def test_pages_lead_to_each_other_in_the_form_in_which_they_are() -> None:
    assert 'href="runbook.html#edge"' in render_html("[x](runbook.md#edge)\n")
    assert 'href="https://example.net/a.md"' in render_html("<https://example.net/a.md>\n")


def test_customers_are_led_to_no_page_that_is_not_theirs() -> None:
    book = Handbook(Policy.model_validate(make_tables()))
    assert "<nav" not in render_frame(Page.CUSTOMER, book, "", tuple(Page))
    assert 'aria-current="page">Runbook' in render_frame(Page.RUNBOOK, book, "", tuple(Page))
