"""The pages as a reader with a phone sees them, and as a screen reader does: in real Chromium, through axe-core."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Browser, open_browser, read_axe
from zlh_hooks import wiring
from zlh_hooks.domain.handbook import Page
from zlh_hooks.settings import SHIPPED_POLICY, load_policy

pytestmark = [pytest.mark.peer, pytest.mark.timeout(300)]
PHONE, DESK = 360, 1280
CUT_OFF = "return [...document.querySelectorAll('.table')].filter(t => t.scrollWidth > t.clientWidth).length"
ACTIVE = """return [...document.querySelectorAll('*')].filter(
    one => one.localName === 'script' || one.getAttributeNames().some(name => name.startsWith('on'))).length"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every page of the shipped policy as HTML."""
    folder = tmp_path_factory.mktemp("pages")
    list(wiring.open_press(load_policy(SHIPPED_POLICY), True, tuple(Page)).publish(folder))
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("page", Page)
def test_everybody_can_read_the_page(browser: Browser, pages: Path, page: Page, width: int, scheme: str) -> None:
    browser.show(pages / f"{page}.html", width, scheme)
    assert browser.run("return matchMedia(`(prefers-color-scheme: ${arguments[0]})`).matches", scheme)
    assert browser.run("return innerWidth") == width
    assert browser.run("return document.documentElement.scrollWidth") <= width, "it has to be pushed sideways"
    assert browser.run(CUT_OFF) == 0, "a table has to be pushed sideways"
    assert browser.run(ACTIVE) == 0, "it has a script"
    assert browser.list_findings(read_axe()) == []


def test_what_nobody_could_read_is_found(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    path.write_text(
        "<title>x</title><p style='color: #eee; background: white'>pale<img src=x><div style='width: 700px'>wide"
    )
    browser.show(path, PHONE, "light")
    found = {finding.partition(":")[0] for finding in browser.list_findings(read_axe())}
    assert {"color-contrast", "html-has-lang", "image-alt"} <= found
    assert browser.run("return document.documentElement.scrollWidth") > PHONE


def test_on_a_phone_one_sees_where_the_next_command_begins(browser: Browser, pages: Path) -> None:
    browser.show(pages / "emergency.html", PHONE, "light")
    block = "document.querySelector('#stop ~ pre')"
    indent = f"getComputedStyle({block}.querySelector('code')).textIndent"
    assert browser.run(f"return parseFloat({indent})") < 0, "wrapped lines stand further in than first ones"
    assert browser.run(f"return {block}.innerText").splitlines() == [
        "zlh-hooks rollout pause --reason 'why'",
        "zlh-hooks rollout status",
    ]


@pytest.mark.parametrize("page", Page)
def test_links_between_pages_lead_to_what_they_say(browser: Browser, pages: Path, page: Page) -> None:
    browser.show(pages / f"{page}.html", DESK, "light")
    links = browser.run("return [...document.links].map(a => a.getAttribute('href'))")
    for link in links:
        name, _, anchor = link.partition("#")
        if name.startswith(("https:", "mailto:")):
            continue
        target = pages / (name or f"{page}.html")
        assert target.exists(), link
        assert not anchor or f'id="{anchor}"' in target.read_text(), link
