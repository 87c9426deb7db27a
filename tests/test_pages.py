"""The pages of the shipped policy: in the repository as they would be printed, and true to the command line.

Print them anew: ``make pages``.
"""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from tests.cli.command_line import find_commands, parse
from zlh_hooks import wiring
from zlh_hooks.domain.deferral_rules import DeferralRules
from zlh_hooks.domain.handbook import Page
from zlh_hooks.domain.window_rule import Component
from zlh_hooks.domain.wording import render_anchor
from zlh_hooks.settings import SHIPPED_POLICY, load_policy

FOLDER = Path(__file__).parents[1] / "docs" / "policy"
POLICY = load_policy(SHIPPED_POLICY)
PAGES = {page: wiring.open_press(POLICY, False, tuple(Page)).render(page) for page in Page}


@pytest.mark.parametrize("page", Page)
def test_the_pages_of_the_repository_are_those_of_the_shipped_policy(page: Page) -> None:
    assert (FOLDER / f"{page}.md").read_text() == PAGES[page], "stale: make pages"


@pytest.mark.parametrize("command", sorted({command for text in PAGES.values() for command in find_commands(text)}))
def test_every_command_on_a_page_is_one_of_the_command_line(command: str) -> None:
    parse(command)


@pytest.mark.parametrize("page", Page)
def test_links_within_the_pages_lead_somewhere(page: Page) -> None:
    headings = {other: set(map(render_anchor, re.findall(r"^#+ (.*)$", text, re.M))) for other, text in PAGES.items()}
    for name, anchor in re.findall(r"\]\(([a-z-]*)(?:\.md)?#?([^)]*)\)", PAGES[page]):
        target = Page(name) if name else page
        assert not anchor or anchor in headings[target]


def test_the_runbook_tells_every_component_in_order_and_how_to_do_it_by_hand() -> None:
    titles = re.findall(r"^## (.*)$", PAGES[Page.RUNBOOK], re.M)
    assert len(titles) == len(Component)
    assert (titles[0], titles[-1]) == ("Backup server (PBS)", "Hosts (Proxmox VE)")
    steps = [step for rule in POLICY.components.values() for step in rule.all_steps()]
    for step in steps:
        assert step.by_hand.strip().splitlines()[0] in PAGES[Page.RUNBOOK]


def test_customers_read_the_windows_the_promise_and_that_data_does_not_go_back() -> None:
    text = PAGES[Page.CUSTOMER]
    assert "Every Tuesday, 04:00 to 06:00 (Europe/Berlin)" in text
    assert "On the first Wednesday of every month, 04:00 to 08:00 (Europe/Berlin)" in text
    assert "an interruption longer than 15 minutes: 7 days, 24 hours and 1 hour before" in text
    assert "Your worlds and files never go back in time" in text
    assert "tell you at least 3 days before" in text


def test_customers_read_what_is_promised_what_counts_and_what_they_get_back() -> None:
    text = PAGES[Page.CUSTOMER]
    assert (
        "Each month your server can be used 99.5 % of the time: away for at most 3 hours 36 minutes in 30 days" in text
    )
    assert "does not count, up to its announced end; later minutes do" in text
    assert "- Below 97 %: 50 % of the month's fee back" in text
    assert "Ask at <support@example.net>: which server, which month" in text


def test_a_lower_cap_and_stricter_emergencies_stand_on_the_pages_at_once() -> None:
    assert POLICY.availability is not None
    strict = POLICY.availability.model_copy(update={"cap_percent": Decimal(10), "emergencies": "unplanned"})
    press = wiring.open_press(POLICY.model_copy(update={"availability": strict}), False, tuple(Page))
    assert "- Below 97 %: 10 % of the month's fee back" in press.render(Page.CUSTOMER)
    assert "An emergency is unplanned for everybody." in press.render(Page.INTERNAL)
    assert "An emergency is planned for whoever was told of it" in PAGES[Page.INTERNAL]


def test_where_nothing_is_promised_nothing_is_said_of_it() -> None:
    press = wiring.open_press(POLICY.model_copy(update={"availability": None}), False, tuple(Page))
    assert "What we promise" not in press.render(Page.CUSTOMER)
    assert "Downtime and credit" not in press.render(Page.INTERNAL)


def test_customers_and_operators_read_how_far_a_date_can_be_moved_and_that_it_cannot_where_it_cannot() -> None:
    words = "can wait up to 21 days, for a security fix up to 7 days from the first date"
    assert words in PAGES[Page.CUSTOMER]
    assert "Why: most dates that do not suit are a week off" in PAGES[Page.INTERNAL]
    none = DeferralRules.model_validate({"limit": "0s", "security_limit": "0s"})
    for deferral in (None, none):
        press = wiring.open_press(POLICY.model_copy(update={"deferral": deferral}), False, tuple(Page))
        assert "It cannot be moved." in press.render(Page.CUSTOMER)
        assert "Choose another one" not in press.render(Page.CUSTOMER)
        assert "No date can be moved by customers." in press.render(Page.INTERNAL)
        assert not any("zlh-hooks defer" in press.render(page) for page in Page)


def test_customers_read_that_their_own_restart_may_bring_it_only_where_no_date_is_promised() -> None:
    words = "If you restart your server while its new system waits, it comes then"
    assert words not in PAGES[Page.CUSTOMER]
    pending = POLICY.model_copy(update={"rollout": POLICY.rollout.model_copy(update={"exchange_pending": "any-time"})})
    assert words not in wiring.open_press(pending, False, tuple(Page)).render(Page.CUSTOMER)
    in_window = "while we wait for its players, that brings the new system"
    assert in_window in PAGES[Page.CUSTOMER]
    never = POLICY.model_copy(update={"rollout": POLICY.rollout.model_copy(update={"exchange_pending": "never"})})
    assert in_window not in wiring.open_press(never, False, tuple(Page)).render(Page.CUSTOMER)
    unpromised = pending.model_copy(update={"notices": None})
    assert words in wiring.open_press(unpromised, False, tuple(Page)).render(Page.CUSTOMER)


def test_customers_do_not_read_our_insides() -> None:
    assert not re.search(r"zlh-hooks|VMID|role|runbook|nobody yet", PAGES[Page.CUSTOMER])
    assert len(PAGES[Page.CUSTOMER].split()) < 860, "two minutes are about 500 words, and lists read faster"


@pytest.mark.parametrize("page", Page)
def test_a_draft_says_what_a_person_has_yet_to_confirm(page: Page) -> None:
    confirmed = POLICY.model_copy(update={"to_confirm": ()})
    assert "**Draft.** A person has yet to confirm: the time zone" in PAGES[page]
    assert "Draft" not in wiring.open_press(confirmed, False, (page,)).render(page)


def test_whom_to_call_is_a_list_of_its_own_on_the_emergency_page() -> None:
    person = {"name": "Ada", "mail": "ada@example.com", "phone": "+49 30 1", "roles": [next(iter(POLICY.roles))]}
    policy = type(POLICY).model_validate(
        POLICY.model_dump(mode="json", by_alias=True, exclude_none=True) | {"people": {"ada": person}}
    )
    text = wiring.open_press(policy, False, (Page.EMERGENCY,)).render(Page.EMERGENCY)
    before, _, after = text.partition("\nWhom to call:\n")
    assert before.rstrip().endswith("[tell them](#tell-them)")
    assert re.match(r"\n- .*: Ada, \+49 30 1, ", after)
