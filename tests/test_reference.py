"""Reference pages that are printed from the code say what the code says."""

import re
from pathlib import Path

import pytest

from agent_plugin.patch_impact import Impact
from agent_plugin.patch_steps import PATCH
from agent_plugin.refusal import TROUBLE, Refusal
from agent_plugin.steps import SWAP
from agent_plugin.story import LONGEST
from agent_plugin.wish import WishFault
from agent_plugin.wish_book import STATES as STATES_OF_A_WISH
from tests.cli.command_line import find_commands, find_missing_units, parse
from zlh_hooks.application.agent_report_desk import ALARMS, Standing
from zlh_hooks.domain.steps import ROLLOUT_TABLE, TARGET_TABLE, render_diagram

REPOSITORY = Path(__file__).parents[1]
AGENTS = REPOSITORY / "docs" / "reference" / "agents.md"
PATCH_PAGE = REPOSITORY / "docs" / "reference" / "agent-patch.md"
REPORT = REPOSITORY / "docs" / "reference" / "agent-report.md"
SWAP_PAGE = REPOSITORY / "docs" / "reference" / "agent-swap.md"
STATES = REPOSITORY / "docs" / "reference" / "states.md"
PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])


def render_states() -> str:
    """The page as it should be. Print it: ``python -m tests.test_reference > docs/reference/states.md``."""
    rollout, target = (f"```mermaid\n{render_diagram(table)}\n```\n" for table in (ROLLOUT_TABLE, TARGET_TABLE))
    return (
        "# States\n\nPrinted from the tables in `zlh_hooks/domain/steps.py`; nothing else decides a state.\n"
        f"\n## A rollout\n\n{rollout}\n## A target\n\n{target}"
    )


def test_the_page_of_states_shows_the_tables_that_decide() -> None:
    assert STATES.read_text() == render_states()


def test_the_page_of_agents_names_every_refusal_and_whether_it_is_trouble() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| .+ \| (yes|no) \|$", AGENTS.read_text(), re.MULTILINE)
    assert rows == [(refusal.value, "yes" if refusal in TROUBLE else "no") for refusal in Refusal]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_command_on_a_page_is_one(page: Path) -> None:
    for command in find_commands(page.read_text()):
        parse(command)


@pytest.mark.parametrize("page", [AGENTS, REPORT, PATCH_PAGE, REPOSITORY / "README.md"], ids=lambda page: page.stem)
def test_commands_are_found_on_a_page_that_names_some(page: Path) -> None:
    assert find_commands(page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_unit_that_a_page_tells_to_start_or_stop_is_in_a_package(page: Path) -> None:
    assert find_missing_units(page.read_text()) == []


def test_the_page_of_reports_names_every_standing_and_its_exit_code() -> None:
    rows = re.findall(r"^\| `([a-z]+)` \| .+ \| ([01]) \|$", REPORT.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted((standing.value, "1" if standing in ALARMS else "0") for standing in Standing)


def test_the_page_of_the_swap_shows_the_table_that_decides() -> None:
    """Print it: ``python -c "from agent_plugin.steps import SWAP; print(SWAP.render_diagram())"``."""
    assert f"```mermaid\n{SWAP.render_diagram()}\n```\n" in SWAP_PAGE.read_text()


def test_the_page_of_patches_shows_the_table_that_decides_and_every_impact() -> None:
    """Print it: ``PATCH.render_diagram()`` of ``agent_plugin.patch_steps``, as for the swap."""
    page = PATCH_PAGE.read_text()
    assert f"```mermaid\n{PATCH.render_diagram()}\n```\n" in page
    rows = re.findall(r"^\| `([a-z-]+)` \| .+ \| .+ \|$", page, re.MULTILINE)
    assert rows == [*STATES_OF_A_WISH, *(impact.value for impact in Impact)]
    assert f"After {LONGEST} steps it goes back" in page


def test_the_page_of_patches_names_every_fault_of_a_wish() -> None:
    rows = re.findall(r"^\| (`wish-[a-z`, -]+`) \| [^|]+ \|$", PATCH_PAGE.read_text(), re.MULTILINE)
    assert [name for row in rows for name in re.findall("wish-[a-z]+", row)] == [fault.value for fault in WishFault]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_of_a_page_leads_to_a_file_of_this_repository(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


if __name__ == "__main__":
    print(render_states(), end="")
